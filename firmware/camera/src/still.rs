//! A picture in place of a camera.

use core::convert::Infallible;

use crate::{Frame, FrameShape, FrameSource, RowSource};

/// Delivers the same image for ever: for the first run on a new board, and for tests.
#[derive(Clone, Copy, Debug)]
pub struct StillSource<'a> {
    frame: Frame<'a>,
}

impl<'a> StillSource<'a> {
    /// The image may lie in flash; nothing is copied.
    pub const fn new(frame: Frame<'a>) -> Self {
        StillSource { frame }
    }
}

impl FrameSource for StillSource<'_> {
    type Error = Infallible;

    fn frame(&mut self) -> Result<Frame<'_>, Infallible> {
        Ok(self.frame)
    }
}

impl RowSource for StillSource<'_> {
    type Error = Infallible;

    fn shape(&self) -> FrameShape {
        self.frame.shape()
    }

    fn rows(&mut self, each: impl FnMut(&[u8])) -> Result<(), Infallible> {
        self.frame.rows().for_each(each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CaptureError, FitError, PixelFormat};

    #[test]
    fn same_frame_every_time() {
        static PICTURE: [u8; 6] = [1, 2, 3, 4, 5, 6];
        let frame = Frame::new(2, 3, PixelFormat::Grey8, &PICTURE).unwrap();
        let mut source = StillSource::new(frame);
        for _ in 0..3 {
            assert_eq!(source.frame(), Ok(frame));
        }
    }

    #[test]
    fn into_an_input() {
        let mut source = StillSource::new(Frame::new(2, 2, PixelFormat::Grey8, &[10, 20, 30, 40]).unwrap());
        let mut input = [0; 2];
        assert_eq!(source.capture_into(&mut input, 1, 2, 1, &mut [0; 2]), Ok(()));
        assert_eq!(input, [10, 20]);
        let wrong = source.capture_into(&mut input, 1, 2, 3, &mut [0; 2]);
        assert_eq!(wrong, Err(CaptureError::Fit(FitError::Length { expected: 6, given: 2 })));
        let short = source.capture_into(&mut input, 1, 2, 1, &mut [0; 1]);
        assert_eq!(short, Err(CaptureError::Fit(FitError::Scratch { expected: 2, given: 1 })));
        assert_eq!(input, [10, 20], "untouched");
    }
}
