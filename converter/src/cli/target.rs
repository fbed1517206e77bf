//! `cardinal inspect --target`: what a model takes of a microcontroller.

use std::fmt::Write;

use cardinal_converter::Error;
use cardinal_converter::units::{bytes, percent};
use cardinal_format::File;
use serde::{Deserialize, Serialize};

/// Measured on the programs of firmware/mcu; `sizes.py` there writes it and holds it against them.
const FIGURES: &str = include_str!("../../assets/targets.json");
/// What a part is taken to have if nothing is said.
const FLASH: u64 = 512 * 1024;
const RAM: u64 = 256 * 1024;

#[derive(Deserialize)]
struct Figures {
    targets: Vec<Target>,
}

/// What the program `classify` takes beside the model, in bytes.
#[derive(Deserialize)]
struct Target {
    name: String,
    /// Program and constants.
    code: u64,
    /// Variables, without the arena.
    statics: u64,
    /// The most that verifying and running were seen to use.
    stack: u64,
}

/// Flags.
#[derive(clap::Args)]
pub(super) struct TargetArgs {
    /// Show what it takes of a microcontroller, beside the program `classify` of firmware/mcu: cortex-m4, cortex-m7, cortex-m33,
    /// cortex-m55 or pico2. The exit code is 1 if it does not fit
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Flash of the part, as 2M, 512K or bytes [default: 512K]
    #[arg(long, value_name = "SIZE", requires = "target", value_parser = size)]
    flash: Option<u64>,
    /// RAM of the part [default: 256K]
    #[arg(long, value_name = "SIZE", requires = "target", value_parser = size)]
    ram: Option<u64>,
}

/// A model on a part, in bytes.
#[derive(Serialize)]
pub(super) struct Footprint {
    target: String,
    code: u64,
    weights: u64,
    flash: u64,
    flash_given: u64,
    arena: u64,
    statics: u64,
    stack: u64,
    ram: u64,
    ram_given: u64,
    fits: bool,
}

impl TargetArgs {
    /// Of a model's file, if a target is asked for.
    pub(super) fn footprint(&self, file: &File<'_>) -> Result<Option<Footprint>, Error> {
        let Some(name) = &self.target else { return Ok(None) };
        let Figures { targets } =
            serde_json::from_str(FIGURES).map_err(|error| Error::Usage(format!("targets.json: {error}")))?;
        let Some(Target { name, code, statics, stack }) = targets.iter().find(|target| target.name == *name) else {
            let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
            return Err(Error::Usage(format!("--target: {name:?} is none of {}", names.join(", "))));
        };
        let (weights, arena) = (file.bytes().len() as u64, file.arena_len() as u64);
        let (flash, ram) = (code + weights, arena + statics + stack);
        let (flash_given, ram_given) = (self.flash.unwrap_or(FLASH), self.ram.unwrap_or(RAM));
        let (target, fits) = (name.clone(), flash <= flash_given && ram <= ram_given);
        let [code, statics, stack] = [*code, *statics, *stack];
        Ok(Some(Footprint { target, code, weights, flash, flash_given, arena, statics, stack, ram, ram_given, fits }))
    }
}

impl Footprint {
    pub(super) fn fits(&self) -> bool {
        self.fits
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("\non {}\n", self.target);
        let sum = |text: &mut String, name: &str, parts: &[(&str, u64)], all: u64, given: u64| {
            for (part, len) in parts {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {part:<28}{len:>12}");
            }
            let verdict = if all <= given { "fits" } else { "DOES NOT FIT" };
            let share = percent(all as f64 / given as f64);
            let _ = writeln!(text, "  {name:<28}{all:>12}  {share} of {}: {verdict}", bytes(given));
        };
        let flash = [("program and constants", self.code), ("model", self.weights)];
        sum(&mut text, "flash", &flash, self.flash, self.flash_given);
        let ram = [("arena", self.arena), ("other statics", self.statics), ("stack, as measured", self.stack)];
        sum(&mut text, "RAM", &ram, self.ram, self.ram_given);
        text
    }
}

/// Bytes, or with K or M behind them.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: say 2M, 512K or a number of bytes");
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1024),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("512K"), Ok(524_288));
        assert_eq!(size("2m"), Ok(2_097_152));
        assert_eq!(size("100"), Ok(100));
        for wrong in ["", "K", "1G", "-1", "99999999999999999999", "99999999999999M"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
