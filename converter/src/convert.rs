//! A checkpoint and images in, the bytes of a `.cardinal` file out, with a report of what it cost.

use cardinal_calib::{Calibrated, Method};
use cardinal_format::quant::QParams;
use cardinal_format::write::{Contents, to_bytes};
use cardinal_format::{CodeType, FormatError, Op, Preprocess, Tensor, TensorId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::auto::{BEYOND, CostlyLayer, Found, Trial, auto};
use crate::calibrate::{Calibration, DIGEST_LEN, Drawn, Observed, Options, Recipe, State, signs, thresholds};
use crate::equalize::{ChannelFactors, Equalized, equalize};
use crate::evaluate::Comparison;
use crate::graph::Graph;
use crate::host::{Runner, open};
use crate::images::{Dataset, spread};
use crate::import::{Imported, Settings, SourceFile, sha256};
use crate::inputs::{LayerInputs, gather};
use crate::plan::plan;
use crate::quantize::{Known, quantize};
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
    /// What speaks against the calibration images, a sentence each.
    pub signs: Vec<String>,
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
    calibrated: &[Option<Calibrated>],
    known: Option<&Known<'_>>,
    labels: &[&str],
    provenance: &str,
) -> Result<(Vec<u8>, usize), Error> {
    let layers = quantize(graph, calibrated, preprocess, known)?;
    let plan = plan(graph.image.volume(), &layers);

    // Every offset lies below the arena's length.
    let Ok(arena_len) = u32::try_from(plan.arena_len) else {
        return Err(Error::Usage(format!("an arena of {} bytes is too large: choose a smaller input", plan.arena_len)));
    };

    let image = |offset| Tensor { offset, shape: graph.image, qparams: QParams::IMAGE, code_type: CodeType::I8 };
    let [image_offset, offsets @ ..] = &plan.tensors[..] else {
        return Err(Error::Usage("the network reads no image".into()));
    };
    let written = layers.iter().zip(offsets).filter_map(|(layer, &offset)| layer.tensor(offset as u32));
    let tensors: Vec<Tensor> = std::iter::once(image(*image_offset as u32)).chain(written).collect();
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
pub fn convert(imported: &Imported, images: &Dataset, options: &Options) -> Result<Converted, Error> {
    convert_resuming(imported, images, options, State::none())
}

/// As [`convert`], from where a cut run got to. The state is removed at the end.
///
/// # Errors
/// As [`convert`].
pub fn convert_resuming(
    imported: &Imported,
    images: &Dataset,
    options: &Options,
    mut state: State,
) -> Result<Converted, Error> {
    let converted = converted(imported, images, options, &mut state);
    let converted = converted.map_err(|error| error.of_network(&imported.source.file))?;
    state.done()?;
    Ok(converted)
}

/// What decides the result of a conversion, for [`State::open`].
pub fn identity(imported: &Imported, images: &Dataset, options: &Options) -> String {
    let Options { seed, recipe, .. } = options;
    let drawn = spread(images.labels(), options.images_for(&imported.graph), *seed);
    let names: Vec<String> = drawn.iter().map(|&index| images.name(index)).collect();
    let recipe = recipe.as_ref().map_or("auto".to_owned(), Recipe::to_string);
    let settings = format!("{:?}", imported.settings);
    let version = env!("CARGO_PKG_VERSION");
    sha256(&[format!("{version}\n{}\n{settings}\n{recipe}\n{names:?}", imported.source.sha256).as_bytes()])
}

/// A network, what the images showed of it, and how it becomes int8.
struct Prepared {
    recipe: Recipe,
    equalized: Option<Equalized>,
    observed: Observed,
    inputs: Option<LayerInputs>,
    trials: Vec<Trial>,
    costly: Vec<CostlyLayer>,
    signs: Vec<String>,
}

/// Follows the recipe that was given, or finds one.
fn prepare(imported: &Imported, drawn: &Drawn<'_>, options: &Options, state: &mut State) -> Result<Prepared, Error> {
    let graph = &imported.graph;
    let (recipe, observed, inputs, trials, costly) = match &options.recipe {
        None => {
            let Found { recipe, observed, inputs, trials, costly } = auto(imported, drawn, state)?;
            (recipe, observed, inputs, trials, costly)
        }
        Some(recipe) => {
            let observed = state.observe("images", graph, drawn, recipe.uses(Method::Sensitivity))?;
            let inputs = if recipe.needs_inputs() { Some(gather(graph, drawn)?) } else { None };
            (recipe.clone(), observed, inputs, Vec::new(), Vec::new())
        }
    };
    let signs = signs(graph, &observed);
    let equalized = (recipe.equalize > 0.0).then(|| {
        let peaks: Vec<Vec<f32>> = observed.peaks.iter().map(|peaks| peaks.peaks(BEYOND)).collect();
        equalize(graph, &peaks, recipe.equalize)
    });
    let observed = match &equalized {
        Some(Equalized { graph, .. }) => {
            let again = state.observe("equalized", graph, drawn, recipe.uses(Method::Sensitivity))?;
            // They are the logits of the network as it came that count.
            Observed { logits: observed.logits, digests: observed.digests, ..again }
        }
        None => observed,
    };
    Ok(Prepared { recipe, equalized, observed, inputs, trials, costly, signs })
}

/// See [`convert`].
fn converted(imported: &Imported, images: &Dataset, options: &Options, state: &mut State) -> Result<Converted, Error> {
    let Imported { graph, preprocess, .. } = imported;
    let indices = spread(images.labels(), options.images_for(graph), options.seed);
    if indices.is_empty() {
        return Err(Error::Usage("calibration needs at least one image (--calib-images)".into()));
    }
    let drawn = Drawn::new(images, graph, preprocess, indices);
    let Prepared { recipe, equalized, observed, inputs, trials, costly, signs } =
        prepare(imported, &drawn, options, state)?;
    let network = equalized.as_ref().map_or(graph, |equalized| &equalized.graph);
    let layers = thresholds(network, &observed, &recipe)?;

    let names = imported.labels.clone().unwrap_or_else(|| labels::by_default(graph.classes(), images.classes()));
    let record = CalibrationRecord { method: recipe.to_string(), images: drawn.len(), seed: options.seed };
    let mut digests = observed.digests.clone();
    digests.sort_unstable();
    let factors = equalized.as_ref().map_or(&[][..], |equalized| &equalized.factors);
    let provenance = Provenance {
        cardinal: env!("CARGO_PKG_VERSION").to_owned(),
        source: imported.source.clone(),
        settings: Settings { labels: None, ..imported.settings.clone() },
        calibration: record.clone(),
        channel_factors: ChannelFactors::new(graph, factors),
        calibration_images: digests.concat(),
    };
    let provenance = serde_json::to_string(&provenance).map_err(|error| Error::Usage(error.to_string()))?;
    let labels: Vec<&str> = names.iter().map(String::as_str).collect();
    let known = inputs.as_ref().map(|inputs| Known { inputs, factors, recipe: &recipe, found: None });
    let (bytes, arena_bytes) = encode(network, preprocess, &layers, known.as_ref(), &labels, &provenance)?;

    let comparison = compare(&bytes, &drawn, &observed.logits)?;
    let (multiply_adds, parameters) = graph.cost();
    let mut weakest_layers: Vec<(String, f64)> = graph
        .layers
        .iter()
        .zip(&layers)
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
        costly_layers: costly,
        signs,
    };
    let histograms = observed.observers.iter().map(|o| o.as_ref().map(|o| o.histogram().clone())).collect();
    let calibration = Calibration { drawn: drawn.indices().to_vec(), layers, histograms };
    Ok(Converted { bytes, report, equalized, calibration })
}

/// The file beside the float network on calibration images; `logits` are float's.
pub(crate) fn compare(bytes: &[u8], drawn: &Drawn<'_>, logits: &[Vec<f32>]) -> Result<Comparison, Error> {
    let model = open(bytes).map_err(Error::model("the converted model"))?;
    let bar = progress::bar(drawn.len(), "comparing");
    let places: Vec<usize> = (0..drawn.len()).collect();
    let int8 = places.par_iter().map_init(
        || Runner::new(model),
        |runner, &place| -> Result<Vec<f32>, Error> {
            let pixels = drawn.pixels(place)?;
            bar.inc(1);
            runner.logits(&pixels).map_err(Error::model("the converted model"))
        },
    );
    let int8: Vec<Vec<f32>> = int8.collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    let mut comparison = Comparison::default();
    logits.iter().zip(&int8).for_each(|(float, int8)| comparison.add(float, int8));
    Ok(comparison)
}
