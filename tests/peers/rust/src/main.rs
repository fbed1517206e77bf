//! A worker of tests/peers/speed.py: `cardinal-peers rten|tract NETWORK.onnx`.
//!
//! Runs the network once on made-up pixels and prints `ready`, the seconds since its start and the process's largest
//! resident set in bytes. For every line with a number it then runs that many times and prints each run's seconds.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use tract_onnx::prelude::*;

const SHAPE: [usize; 4] = [1, 3, 224, 224];

type Run = Box<dyn FnMut() -> Result<(), Box<dyn Error>>>;

fn pixels() -> Vec<f32> {
    (0..SHAPE.iter().product::<usize>()).map(|i| (i * 7 % 255) as f32 / 127.5 - 1.0).collect()
}

fn with_rten(path: &str) -> Result<Run, Box<dyn Error>> {
    let model = rten::Model::load_file(path)?;
    let input = NdTensor::from_data(SHAPE, pixels());
    Ok(Box::new(move || {
        model.run_one(input.view().into(), None)?;
        Ok(())
    }))
}

fn with_tract(path: &str) -> Result<Run, Box<dyn Error>> {
    let plan = tract_onnx::onnx()
        .model_for_path(path)?
        .with_input_fact(0, f32::fact(SHAPE).into())?
        .into_optimized()?
        .into_runnable()?;
    let input = tract_ndarray::Array4::from_shape_vec(SHAPE, pixels())?.into_tensor();
    Ok(Box::new(move || {
        plan.run(tvec!(input.clone().into()))?;
        Ok(())
    }))
}

/// The largest resident set so far, as Linux counts it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut run = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["rten", path] => with_rten(path)?,
        ["tract", path] => with_tract(path)?,
        _ => return Err("usage: cardinal-peers rten|tract NETWORK.onnx".into()),
    };
    run()?;
    println!("ready {} {}", start.elapsed().as_secs_f64(), peak().unwrap_or(0));
    for line in std::io::stdin().lock().lines() {
        let mut times = Vec::new();
        for _ in 0..line?.trim().parse::<usize>()? {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed().as_secs_f64().to_string());
        }
        println!("{}", times.join(" "));
        std::io::stdout().flush()?;
    }
    Ok(())
}
