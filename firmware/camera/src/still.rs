//! A picture in place of a camera.

use core::convert::Infallible;

use crate::{Frame, FrameSource};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PixelFormat;

    #[test]
    fn same_frame_every_time() {
        static PICTURE: [u8; 6] = [1, 2, 3, 4, 5, 6];
        let frame = Frame::new(2, 3, PixelFormat::Grey8, &PICTURE).unwrap();
        let mut source = StillSource::new(frame);
        for _ in 0..3 {
            assert_eq!(source.frame(), Ok(frame));
        }
    }
}
