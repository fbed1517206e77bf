//! `cardinal inspect`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cardinal_converter::import::sha256;
use cardinal_converter::{Error, host};
use cardinal_format::{Conv, File, Op, Preprocess, Residual, Resize, Shape, Tensor};
use serde::Serialize;

use super::target::{Footprint, TargetArgs};
use super::{bytes, print, print_json, read};

/// Show what a .cardinal file holds
///
/// Examples: cardinal inspect resnext50.cardinal
///           cardinal inspect micro.cardinal --target cortex-m7 --flash 1M --ram 320K
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The model
    model: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    kind: &'static str,
    output: Option<[u32; 3]>,
    kernel: Option<[u8; 2]>,
    stride: Option<[u8; 2]>,
    cardinality: Option<u32>,
    adds_shortcut: bool,
    /// If the shortcut is a convolution of its own; weights and multiply-adds are then those of both.
    projection: Option<Shortcut>,
    weight_bytes: usize,
    multiply_adds: u64,
    code_bits: Option<usize>,
    scale: Option<f32>,
    zero_point: Option<i8>,
    arena_offset: Option<u32>,
}

#[derive(Serialize)]
struct Shortcut {
    /// Height, width and channels of what it reads.
    input: [u32; 3],
    stride: [u8; 2],
}

#[derive(Serialize)]
struct Document {
    model: PathBuf,
    file_bytes: usize,
    /// SHA-256 of what decides the output: two files with this in common compute the same.
    content_sha256: String,
    arena_bytes: usize,
    input: [u32; 3],
    classes: usize,
    labels: Vec<String>,
    preprocess: String,
    multiply_adds: u64,
    provenance: serde_json::Value,
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footprint: Option<Footprint>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    let file_bytes = read(&args.model)?;
    let model = host::open(&file_bytes).map_err(Error::model(&args.model))?;
    let file = model.file();
    let layers: Vec<Layer> = file.ops().map(|(name, op)| layer(file, name, &op)).collect();
    let document = Document {
        model: args.model.clone(),
        file_bytes: file_bytes.len(),
        content_sha256: sha256(&file.content()),
        arena_bytes: file.arena_len(),
        input: sides(file.image()),
        classes: file.classes(),
        labels: file.labels().map(str::to_owned).collect(),
        preprocess: describe(file.preprocess(), file.image()),
        multiply_adds: layers.iter().map(|l| l.multiply_adds).sum(),
        provenance: serde_json::from_str(file.provenance()).unwrap_or_default(),
        layers,
        footprint: args.target.footprint(file)?,
    };
    if args.json {
        print_json("cardinal.inspect/1", &document)?;
    } else {
        print(&(text(&document) + &document.footprint.as_ref().map_or_else(String::new, Footprint::text)))?;
    }
    let fits = document.footprint.as_ref().is_none_or(Footprint::fits);
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sides(shape: Shape) -> [u32; 3] {
    [shape.height, shape.width, shape.channels]
}

fn layer(file: &File<'_>, name: &str, op: &Op<'_>) -> Layer {
    let output: Option<Tensor> = op.output().and_then(|id| file.tensor(id));
    let (kind, window, weight_bytes) = match op {
        Op::Conv(conv) => ("convolution", Some(conv.window), conv.weights.len() + conv.channels.len()),
        Op::MaxPool(pool) => ("max-pool", Some(pool.window), 0),
        Op::GlobalAvgPool(_) => ("global average pool, int16", None, 0),
        Op::Linear(linear) => ("linear", None, linear.weights.len() + linear.channels.len()),
    };
    let projection = match op {
        Op::Conv(Conv { residual: Some(Residual::Projection(projection)), .. }) => Some(projection),
        _ => None,
    };
    let projected = projection.and_then(|p| file.tensor(p.input)).map_or([0; 3], |t| sides(t.shape));
    let cardinality = match op {
        Op::Conv(conv) => Some(conv.cardinality),
        _ => None,
    };
    Layer {
        name: name.to_owned(),
        kind,
        output: output.map(|t| sides(t.shape)),
        kernel: window.map(|w| w.kernel),
        stride: window.map(|w| w.stride),
        cardinality,
        adds_shortcut: op.residual().is_some(),
        projection: projection.map(|p| Shortcut { input: projected, stride: p.stride }),
        weight_bytes: weight_bytes + projection.map_or(0, |p| p.weights.len() + p.channels.len()),
        multiply_adds: file.multiply_adds(op),
        code_bits: output.map(|t| 8 * t.code_type.byte_len()),
        scale: output.map(|t| t.qparams.scale),
        zero_point: output.map(|t| t.qparams.zero_point),
        arena_offset: output.map(|t| t.offset),
    }
}

fn describe(spec: &Preprocess, image: Shape) -> String {
    let resize = match spec.resize {
        Resize::Exact => format!("resized to {}×{}", image.height, image.width),
        Resize::Square(edge) => format!("resized to {edge}×{edge}, centre {}×{}", image.height, image.width),
        Resize::ShortEdge(edge) => format!("short edge to {edge}, centre {}×{}", image.height, image.width),
    };
    let channels = image.channels as usize;
    let (mean, std) = (&spec.mean[..channels], &spec.std[..channels]);
    format!("{:?}, {resize}, {:?}, mean {mean:?}, std {std:?}", spec.colour, spec.filter).to_lowercase()
}

fn text(document: &Document) -> String {
    let mut text = String::new();
    let [height, width, channels] = document.input;
    let _ = writeln!(
        text,
        "file        {}, arena {}",
        bytes(document.file_bytes as u64),
        bytes(document.arena_bytes as u64)
    );
    let _ = writeln!(text, "content     sha256 {}", document.content_sha256);
    let _ = writeln!(text, "input       {height}×{width}×{channels}: {}", document.preprocess);
    let _ = writeln!(text, "classes     {} {}", document.classes, shorten(&document.labels));
    let _ = writeln!(text, "cost        {:.1} M multiply-adds an image", document.multiply_adds as f64 / 1e6);
    // What calibration images are known by is for machines.
    let shown = document.provenance.as_object().into_iter().flatten().filter(|(key, _)| *key != "calibration_images");
    for (key, value) in shown {
        let _ = writeln!(text, "{key:<12}{value}");
    }
    let _ = writeln!(
        text,
        "\n{:<24}{:<26}{:>14}{:>8}{:>7}{:>10}{:>12}{:>12}{:>6}",
        "layer", "kind", "output", "kernel", "groups", "weights", "mult-adds", "scale", "zero"
    );
    for layer in &document.layers {
        let kind = match &layer.projection {
            Some(projection) => format!("convolution + projection/{}", projection.stride[0]),
            None if layer.adds_shortcut => "convolution + shortcut".into(),
            None => layer.kind.into(),
        };
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let kernel = layer.kernel.zip(layer.stride).map(|(k, s)| format!("{}×{}/{}", k[0], k[1], s[0]));
        let _ = writeln!(
            text,
            "{:<24}{kind:<26}{:>14}{:>8}{:>7}{:>10}{:>12}{:>12}{:>6}",
            layer.name,
            or_dash(layer.output.map(|[h, w, c]| format!("{h}×{w}×{c}"))),
            or_dash(kernel),
            or_dash(layer.cardinality.map(|c| c.to_string())),
            layer.weight_bytes,
            layer.multiply_adds,
            or_dash(layer.scale.map(|s| format!("{s:.6}"))),
            or_dash(layer.zero_point.map(|z| z.to_string())),
        );
    }
    text
}

fn shorten(labels: &[String]) -> String {
    match labels {
        [] => "(no labels)".into(),
        [.., last] if labels.len() > 12 => format!("({}, …, {last})", labels[..6].join(", ")),
        _ => format!("({})", labels.join(", ")),
    }
}
