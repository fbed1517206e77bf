//! `cardinal golden`.

use std::path::PathBuf;
use std::process::ExitCode;

use cardinal_converter::engine::Network;
use cardinal_converter::images::spread_over;
use cardinal_converter::{Error, host, output};
use cardinal_format::golden::{Header, crc_of};
use rayon::prelude::*;
use serde::Serialize;

use super::sources::ImageArgs;
use super::{print, print_json, read};

/// Write images with the logits that a model gives for them, for the self-test of a device
///
/// A golden file holds the images as the model reads them and the logits of this machine, which every device must give to
/// the bit. The programs of firmware/mcu compare.
///
/// Example: cardinal golden model.cardinal photos/ --images 10 -o model.golden
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The model: .cardinal
    model: PathBuf,
    #[command(flatten)]
    images: ImageArgs,
    /// How many, evenly spread over all that were given; default: all
    #[arg(long = "images", value_name = "N")]
    count: Option<usize>,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    model: PathBuf,
    output: PathBuf,
    images: usize,
    image_bytes: usize,
    classes: usize,
    /// CRC-32 at the end of the model's file.
    model_crc32: String,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Error> {
    output::check(&[&args.output], &[&args.model])?;
    let bytes = read(&args.model)?;
    let network = Network::int8(host::open(&bytes).map_err(Error::model(&args.model))?);
    let sources = args.images.open(network.input())?;
    let items: Vec<_> = sources.iter().flat_map(|source| (0..source.len()).map(move |index| (source, index))).collect();
    let drawn = spread_over(items.len(), args.count.unwrap_or(items.len()));
    let records = drawn.par_iter().map_init(
        || network.runner(),
        |runner, &item| {
            let (source, index) = items[item];
            let mut record = source.prepare(index, &network)?;
            let logits = runner.logits(&record)?;
            record.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
            Ok(record)
        },
    );
    let records = records.collect::<Result<Vec<Vec<u8>>, Error>>()?;
    let count = records.len();
    let image_bytes = network.image.volume();
    let header = Header {
        model_crc: crc_of(&bytes),
        count: count as u32,
        image_len: image_bytes as u32,
        classes: network.classes as u32,
    };
    output::write(&args.output, &[&header.to_bytes()[..], &records.concat()].concat())?;
    let document = Document {
        model: args.model.clone(),
        output: args.output.clone(),
        images: count,
        image_bytes,
        classes: network.classes,
        model_crc32: format!("{:08x}", header.model_crc),
    };
    if args.json {
        print_json("cardinal.golden/1", &document)?;
    } else {
        print(&format!("{}: {count} images with their logits\n", args.output.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
