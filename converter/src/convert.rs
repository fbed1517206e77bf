//! A checkpoint and images in, the bytes of a `.cardinal` file out, with a report of what it cost.

use cardinal_format::quant::QParams;
use cardinal_format::write::{Contents, to_bytes};
use cardinal_format::{FormatError, Op, Preprocess, Tensor, TensorId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::calibrate::{Calibration, DIGEST_LEN, Options, calibrate, calibrate_on};
use crate::equalize::{ChannelFactors, Equalized};
use crate::evaluate::Comparison;
use crate::graph::Graph;
use crate::host::{Runner, open};
use crate::images::Dataset;
use crate::import::{Imported, Settings, SourceFile};
use crate::plan::plan;
use crate::quantize::{Known, quantize};
use crate::refine::{Refined, Trial, refine};
use crate::{Error, labels, progress};

/// What a file says about its making, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the converter.
    pub cardinal: String,
    /// The checkpoint.
    pub source: SourceFile,
    /// How it was read; with these settings it can be read again.
    pub settings: Settings,
    /// How scales were found.
    pub calibration: CalibrationRecord,
    /// What channels are multiplied by inside ([`equalize`](crate::equalize)): a layer's values have to be divided by it.
    #[serde(default, skip_serializing_if = "ChannelFactors::is_empty")]
    pub channel_factors: ChannelFactors,
    /// What the images used for it are known by ([`image_digest`](crate::calibrate::image_digest)), one after the other.
    #[serde(default)]
    pub calibration_images: String,
}

impl Provenance {
    /// What the images used for calibration are known by.
    pub fn calibration_images(&self) -> impl Iterator<Item = &str> {
        self.calibration_images.as_bytes().chunks(DIGEST_LEN).filter_map(|digest| std::str::from_utf8(digest).ok())
    }
}

/// How scales were found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// Thresholds.
    pub method: String,
    /// Images used.
    pub images: usize,
    /// Seed of the draw.
    pub seed: u64,
}

/// What a conversion did, for people and scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// "ResNeXt-50 32×4d, blocks 3-4-6-3".
    pub network: String,
    /// Height, width, channels.
    pub input: [u32; 3],
    /// Number of classes.
    pub classes: usize,
    /// Parameters, batch norm folded.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub multiply_adds: u64,
    /// Size of the checkpoint's float32 parameters, and of the file.
    pub float_bytes: u64,
    /// Size of the file.
    pub file_bytes: usize,
    /// Bytes of the buffer that a session needs.
    pub arena_bytes: usize,
    /// How scales were found.
    pub calibration: CalibrationRecord,
    /// With `--method auto`: what was tried.
    pub trials: Vec<Trial>,
    /// Share of the calibration images whose best class stays the same.
    pub agreement: f64,
    /// Signal-to-quantization-noise ratio of the logits over the calibration images, dB.
    pub logit_sqnr_db: f64,
    /// Layers whose output is expected to lose most, worst first: name and SQNR in dB.
    pub weakest_layers: Vec<(String, f64)>,
    /// With `--method auto`: the layers whose rounding costs the logits most, worst first.
    pub costly_layers: Vec<CostlyLayer>,
}

/// A layer whose rounding costs much, and what was tried on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostlyLayer {
    /// Its name.
    pub name: String,
    /// SQNR of the logits if only this layer's output is rounded to int8, dB.
    pub logit_sqnr_db: f64,
    /// Thresholds that were tried for it; the figures are those of the whole int8 network.
    pub tried: Vec<Trial>,
}

/// A finished conversion.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it cost.
    pub report: Report,
    /// The network that was quantized: the imported one with its channels equalized where that helped, and what each
    /// channel of each layer's output was multiplied by (empty for 1 everywhere).
    pub equalized: Option<Equalized>,
    /// What its layers' thresholds were chosen from.
    pub calibration: Calibration,
}

/// A quantized and planned network as the bytes of a file, with the arena's length.
///
/// # Errors
/// Weights or an arena that the format cannot hold.
pub fn encode(
    graph: &Graph,
    preprocess: &Preprocess,
    calibration: &Calibration,
    known: Option<&Known<'_>>,
    labels: &[&str],
    provenance: &str,
) -> Result<(Vec<u8>, usize), Error> {
    let layers = quantize(graph, calibration, preprocess, known)?;
    let plan = plan(graph.image.byte_len(), &layers);

    // Every offset lies below the arena's length.
    let Ok(arena_len) = u32::try_from(plan.arena_len) else {
        return Err(Error::Usage(format!("an arena of {} bytes is too large: choose a smaller input", plan.arena_len)));
    };

    let shapes = std::iter::once((graph.image, QParams::IMAGE))
        .chain(layers.iter().filter_map(|layer| Some((layer.shape, layer.qparams?))));
    let tensors: Vec<Tensor> = shapes
        .zip(&plan.tensors)
        .map(|((shape, qparams), &offset)| Tensor { offset: offset as u32, shape, qparams })
        .collect();
    let ops: Vec<(&str, Op<'_>)> =
        layers.iter().enumerate().map(|(i, layer)| (layer.name.as_str(), layer.op(TensorId((i + 1) as u16)))).collect();
    let contents = Contents {
        arena_len,
        logits_offset: plan.logits as u32,
        classes: graph.classes() as u32,
        tensors: &tensors,
        ops: &ops,
        preprocess: *preprocess,
        labels,
        provenance,
    };
    let bytes = to_bytes(&contents).map_err(|cause| match cause {
        FormatError::Op { op, .. } if usize::from(op) < layers.len() => {
            Error::WriteLayer { layer: layers[usize::from(op)].name.clone(), cause }
        }
        _ => Error::Write(cause),
    })?;
    Ok((bytes, plan.arena_len))
}

/// Calibrates, quantizes, plans, writes, and compares the result with the float network on the calibration images.
///
/// Labels that the checkpoint does not have are [`labels::by_default`].
///
/// # Errors
/// Images that cannot be read, or a network whose numbers int8 cannot hold; each with its name.
pub fn convert(imported: &Imported, images: &Dataset, options: Options) -> Result<Converted, Error> {
    converted(imported, images, options).map_err(|error| error.of_network(&imported.source.file))
}

/// See [`convert`].
fn converted(imported: &Imported, images: &Dataset, options: Options) -> Result<Converted, Error> {
    let Imported { graph, preprocess, .. } = imported;
    let first = calibrate(graph, preprocess, images, options)?;
    let refined = if options.refine { Some(refine(imported, images, &first, options)?) } else { None };
    let equalized = refined.as_ref().and_then(|refined| refined.equalized.as_ref());
    let (network, calibration) = match equalized {
        Some(Equalized { graph, .. }) => {
            let options = Options { refine: false, ..options };
            (graph, calibrate_on(graph, preprocess, images, first.drawn.clone(), options)?)
        }
        None => (graph, first),
    };
    let names = imported.labels.clone().unwrap_or_else(|| labels::by_default(graph.classes(), images.classes()));
    let trials = refined.as_ref().map_or(Vec::new(), |refined| refined.trials.clone());
    let method = match trials.iter().find(|trial| trial.kept) {
        Some(trial) => format!("{}, {}", options.method, trial.name),
        None => options.method.to_string(),
    };
    let record = CalibrationRecord { method, images: calibration.drawn.len(), seed: options.seed };
    let provenance = Provenance {
        cardinal: env!("CARGO_PKG_VERSION").to_owned(),
        source: imported.source.clone(),
        settings: Settings { labels: None, ..imported.settings.clone() },
        calibration: record.clone(),
        channel_factors: equalized
            .map_or_else(ChannelFactors::default, |equalized| ChannelFactors::new(graph, &equalized.factors)),
        calibration_images: calibration.digests.concat(),
    };
    let provenance = serde_json::to_string(&provenance).map_err(|error| Error::Usage(error.to_string()))?;
    let labels: Vec<&str> = names.iter().map(String::as_str).collect();
    let known = refined.as_ref().and_then(Refined::known);
    let (bytes, arena_bytes) = encode(network, preprocess, &calibration, known.as_ref(), &labels, &provenance)?;

    let comparison = compare(&bytes, imported, images, &calibration)?;
    let (multiply_adds, parameters) = graph.cost();
    let mut weakest_layers: Vec<(String, f64)> = graph
        .layers
        .iter()
        .zip(&calibration.layers)
        .filter_map(|(layer, calibrated)| Some((layer.name.clone(), calibrated.as_ref()?.sqnr_db)))
        .collect();
    weakest_layers.sort_by(|a, b| a.1.total_cmp(&b.1));
    weakest_layers.truncate(5);
    let report = Report {
        network: imported.summary.to_string(),
        input: [graph.image.height, graph.image.width, graph.image.channels],
        classes: graph.classes(),
        parameters,
        multiply_adds,
        float_bytes: 4 * parameters,
        file_bytes: bytes.len(),
        arena_bytes,
        calibration: record,
        trials,
        agreement: comparison.agreement(),
        logit_sqnr_db: comparison.sqnr_db(),
        weakest_layers,
        costly_layers: Vec::new(),
    };
    let equalized = refined.and_then(|refined| refined.equalized);
    Ok(Converted { bytes, report, equalized, calibration })
}

/// The file beside the float network on the calibration images.
pub(crate) fn compare(
    bytes: &[u8],
    imported: &Imported,
    images: &Dataset,
    calib: &Calibration,
) -> Result<Comparison, Error> {
    let model = open(bytes).map_err(Error::model("the converted model"))?;
    let input = [imported.graph.image.height, imported.graph.image.width];
    let bar = progress::bar(calib.drawn.len(), "comparing");
    let logits = calib.drawn.par_iter().map_init(
        || Runner::new(model),
        |runner, &index| -> Result<Vec<f32>, Error> {
            let pixels = images.prepare(index, &imported.preprocess, input)?;
            bar.inc(1);
            runner.logits(&pixels).map_err(Error::model("the converted model"))
        },
    );
    let logits: Vec<Vec<f32>> = logits.collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    let mut comparison = Comparison::default();
    calib.logits.iter().zip(&logits).for_each(|(float, int8)| comparison.add(float, int8));
    Ok(comparison)
}
