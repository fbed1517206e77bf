//! A source that fails as told.

use crate::{FrameShape, RowSource};

/// What goes wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// An error after so many rows, as of a bus.
    Fail {
        /// Rows before it.
        after: u16,
    },
    /// Only so many rows, and no error: what [`RowFit`](crate::RowFit) must notice.
    Cut {
        /// Rows delivered.
        after: u16,
    },
    /// Noise in place of every byte, as from a loose wire: what a model must survive.
    Noise {
        /// The same one gives the same noise.
        seed: u32,
    },
}

/// Lets frames of another source go wrong, on a schedule: for tests of a firmware's recovery, on the host with a
/// [`StillSource`](crate::StillSource) or on the board with its camera.
///
/// ```
/// use cardinal_camera::{Fault, FaultInjector, Frame, PixelFormat, RowSource, StillSource};
///
/// let still = StillSource::new(Frame::new(2, 2, PixelFormat::Grey8, &[9; 4]).unwrap());
/// // Every third frame fails.
/// let schedule = [None, None, Some(Fault::Fail { after: 1 })];
/// let mut camera = FaultInjector::new(still, &schedule, &mut []);
/// let frames = [(); 6].map(|()| camera.capture_into(&mut [0], 1, 1, 1, &mut [0]).is_ok());
/// assert_eq!(frames, [true, true, false, true, true, false]);
/// ```
#[derive(Debug)]
pub struct FaultInjector<'a, S> {
    source: S,
    schedule: &'a [Option<Fault>],
    row: &'a mut [u8],
    frame: usize,
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum InjectedError<E> {
    /// The schedule has [`Fault::Fail`] here.
    #[error("an injected fault: capture again")]
    Injected,
    /// The row buffer is too short for noise.
    #[error("noise takes a row of {expected} bytes, but the buffer has {given}: lengthen it")]
    Buffer {
        /// Bytes of a row.
        expected: usize,
        /// Bytes of the buffer.
        given: usize,
    },
    /// The source itself failed.
    #[error("{0}")]
    Source(E),
}

impl<'a, S: RowSource> FaultInjector<'a, S> {
    /// The frames of `source`, of which the first goes wrong as the schedule's first entry says and so on, over and
    /// over. `row` takes one row ([`FrameShape::row_len`]) for [`Fault::Noise`], and may be empty without it.
    pub const fn new(source: S, schedule: &'a [Option<Fault>], row: &'a mut [u8]) -> Self {
        FaultInjector { source, schedule, row, frame: 0 }
    }

    /// Gives the source back.
    pub fn release(self) -> S {
        self.source
    }

    /// What the schedule says of the next frame.
    fn next_fault(&mut self) -> Option<Fault> {
        let fault = self.schedule.get(self.frame).copied().flatten();
        self.frame = if self.frame + 1 < self.schedule.len() { self.frame + 1 } else { 0 };
        fault
    }
}

impl<S: RowSource> RowSource for FaultInjector<'_, S> {
    type Error = InjectedError<S::Error>;

    fn shape(&self) -> FrameShape {
        self.source.shape()
    }

    fn rows(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), Self::Error> {
        let fault = self.next_fault();
        match fault {
            None => self.source.rows(each),
            Some(Fault::Fail { after } | Fault::Cut { after }) => {
                let mut left = after;
                self.source.rows(|row| {
                    if let Some(fewer) = left.checked_sub(1) {
                        left = fewer;
                        each(row);
                    }
                })
            }
            Some(Fault::Noise { seed }) => {
                let (expected, given) = (self.source.shape().row_len(), self.row.len());
                let buffer = self.row.get_mut(..expected).ok_or(InjectedError::Buffer { expected, given })?;
                let mut state = seed;
                self.source.rows(|_| {
                    buffer.fill_with(|| noise(&mut state));
                    each(buffer);
                })
            }
        }
        .map_err(InjectedError::Source)?;
        if matches!(fault, Some(Fault::Fail { .. })) { Err(InjectedError::Injected) } else { Ok(()) }
    }
}

/// A linear congruential generator (Numerical Recipes' constants), of which the top bits are the better ones.
pub(crate) fn noise(state: &mut u32) -> u8 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 24) as u8
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use embedded_hal_mock::eh1::delay::NoopDelay;

    use super::*;
    use crate::{CaptureError, Frame, Paced, PixelFormat, RowError, StillSource};

    fn still() -> StillSource<'static> {
        StillSource::new(Frame::new(2, 3, PixelFormat::Grey8, &[1, 2, 3, 4, 5, 6]).unwrap())
    }

    #[test]
    fn each_fault_as_the_input_sees_it() {
        let injected = Err(CaptureError::Source(InjectedError::Injected));
        let count = |given| Err(CaptureError::Rows(RowError::Count { expected: 3, given }));
        let table = [
            (None, Ok(())),
            (Some(Fault::Fail { after: 0 }), injected),
            // Whatever came before it.
            (Some(Fault::Fail { after: 9 }), injected),
            (Some(Fault::Cut { after: 0 }), count(0)),
            (Some(Fault::Cut { after: 2 }), count(2)),
            (Some(Fault::Cut { after: 3 }), Ok(())),
            (Some(Fault::Noise { seed: 1 }), Ok(())),
        ];
        for (fault, expected) in table {
            let (schedule, mut row) = ([fault], [0; 2]);
            let mut source = FaultInjector::new(still(), &schedule, &mut row);
            let mut input = [0; 6];
            assert_eq!(source.capture_into(&mut input, 3, 2, 1, &mut [0; 2]), expected, "{fault:?}");
            let noisy = matches!(fault, Some(Fault::Noise { .. }));
            assert!(expected.is_err() || (input != [1, 2, 3, 4, 5, 6]) == noisy, "{fault:?}: {input:?}");
        }
    }

    #[test]
    fn noise_is_reproducible_and_needs_a_row() {
        let frame = |seed, row: &mut [u8]| {
            let mut bytes = Vec::new();
            let schedule = [Some(Fault::Noise { seed })];
            let result = FaultInjector::new(still(), &schedule, row).rows(|row| bytes.extend_from_slice(row));
            result.map(|()| bytes)
        };
        let [first, again, other] = [7, 7, 8].map(|seed| frame(seed, &mut [0; 5]).unwrap());
        assert_eq!(first.len(), 6);
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_eq!(frame(7, &mut [0]), Err(InjectedError::Buffer { expected: 2, given: 1 }));
    }

    /// A loop as a firmware has it: keep the last good input, count the rest.
    #[test]
    fn a_loop_recovers() {
        let schedule = [None, Some(Fault::Cut { after: 1 }), Some(Fault::Fail { after: 2 }), None, None];
        let mut source = Paced::new(FaultInjector::new(still(), &schedule, &mut []), NoopDelay::new(), 5);
        let (mut good, mut lost) = (0, 0);
        for _ in 0..20 {
            let mut input = [0; 6];
            match source.capture_into(&mut input, 3, 2, 1, &mut [0; 2]) {
                Ok(()) => {
                    assert_eq!(input, [1, 2, 3, 4, 5, 6]);
                    good += 1;
                }
                Err(_) => lost += 1,
            }
        }
        assert_eq!((good, lost), (12, 8));
        // No schedule is one of no faults.
        assert_eq!(FaultInjector::new(still(), &[], &mut []).rows(|_| ()), Ok(()));
    }
}
