//! Pages to keep: what a conversion cost ([`conversion()`]), and how int8 compares with float ([`parity()`]).
//!
//! Each is one HTML file that needs nothing else: charts are inline SVG, pictures `data:` addresses, and there is no
//! script. It is below 2 MB for every published network, follows the reader's choice of light and dark, and fits phones
//! and paper. What comes out of files is escaped.
//!
//! Equal inputs give equal bytes, but for the measured times, which are all in the section `time`.

mod activations;
mod changed;
mod charts;
mod conversion;
mod evidence;
mod layers;
mod memory;
mod page;
mod parity;
mod pictures;
mod reading;
mod time;
mod weights;

pub use conversion::conversion;
pub use parity::{Compared, parity};
