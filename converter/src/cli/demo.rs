//! `cardinal demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use cardinal_converter::calibrate::Options;
use cardinal_converter::convert::{Report, convert};
use cardinal_converter::engine::Network;
use cardinal_converter::evaluate::{Evaluation, evaluate};
use cardinal_converter::{Error, embedded, host, output};
use serde::Serialize;

use super::{bytes, eval, print, print_json};

/// Convert and evaluate the network that comes with Cardinal
///
/// A small ResNeXt for Fashion-MNIST, from its PyTorch checkpoint through calibration to int8, and its accuracy on 2,000
/// test images beside the float network's. Needs no files and no network.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Keep the converted model
    #[arg(short, long, value_name = "MODEL")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    conversion: Report,
    evaluation: Evaluation,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let network = embedded::network()?;
    eprintln!("{}: {}, trained on Fashion-MNIST", embedded::NAME, network.summary);
    let images = embedded::calibration_images()?;
    let converted = convert(&network, &images, &Options { images: Some(images.len()), ..Options::default() })?;
    let model = host::open(&converted.bytes).map_err(Error::model("the converted model"))?;
    let float = Network::float32(&network)?;
    let evaluation = evaluate(&Network::int8(model), &embedded::test_images()?, Some(&float))?;
    if let Some(path) = &args.output {
        output::write(path, &converted.bytes)?;
    }
    if args.json {
        print_json("cardinal.demo/1", &Document { conversion: converted.report, evaluation })?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = &converted.report;
    let mut text = eval::text(converted.bytes.len(), &evaluation);
    text += &format!(
        "float32 weights {}, arena {}, {:.1} M multiply-adds an image\n\n",
        bytes(report.float_bytes),
        bytes(report.arena_bytes as u64),
        report.multiply_adds as f64 / 1e6
    );
    text += "Now with your own checkpoint and some of its training images:\n\
             \n  cardinal convert resnext50.pth --calib path/to/train\
             \n  cardinal predict resnext50.cardinal photo.jpg\
             \n  cardinal eval resnext50.cardinal path/to/val --float resnext50.pth\n";
    if let Some(path) = &args.output {
        text += &format!("\nThe demo's model is {}: try `cardinal inspect` on it.\n", path.display());
    }
    text += "\n(`cargo run --release --` stands for `cardinal` until you `cargo install --path converter`.)\n";
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
