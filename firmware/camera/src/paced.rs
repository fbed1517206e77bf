//! A source that is given time.

use embedded_hal::delay::DelayNs;

use crate::{Frame, FrameShape, FrameSource, RowSource};

/// Waits before every frame, the first included: a sensor that has just been switched on needs time to settle, and
/// one that is read less often saves power.
///
/// The wait comes on top of what the caller does between frames; it is a pause, not a period.
#[derive(Clone, Copy, Debug)]
pub struct Paced<S, D> {
    source: S,
    delay: D,
    pause_ms: u32,
}

impl<S, D: DelayNs> Paced<S, D> {
    /// Frames of `source`, each after a pause of `pause_ms` milliseconds.
    pub const fn new(source: S, delay: D, pause_ms: u32) -> Self {
        Paced { source, delay, pause_ms }
    }

    /// Gives source and delay back.
    pub fn release(self) -> (S, D) {
        (self.source, self.delay)
    }
}

impl<S: FrameSource, D: DelayNs> FrameSource for Paced<S, D> {
    type Error = S::Error;

    fn frame(&mut self) -> Result<Frame<'_>, S::Error> {
        self.delay.delay_ms(self.pause_ms);
        self.source.frame()
    }
}

impl<S: RowSource, D: DelayNs> RowSource for Paced<S, D> {
    type Error = S::Error;

    fn shape(&self) -> FrameShape {
        self.source.shape()
    }

    fn rows(&mut self, each: impl FnMut(&[u8])) -> Result<(), S::Error> {
        self.delay.delay_ms(self.pause_ms);
        self.source.rows(each)
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::delay::{CheckedDelay, Transaction};

    use super::*;
    use crate::{PixelFormat, StillSource};

    #[test]
    fn waits_once_per_frame() {
        let frame = Frame::new(1, 1, PixelFormat::Grey8, &[7]).unwrap();
        let delay = CheckedDelay::new(&[(); 3].map(|()| Transaction::delay_ms(40)));
        let mut source = Paced::new(StillSource::new(frame), delay, 40);
        assert_eq!(source.frame(), Ok(frame));
        assert_eq!(source.frame(), Ok(frame));
        assert_eq!(source.rows(|row| assert_eq!(row, [7])), Ok(()));
        source.release().1.done();
    }
}
