//! A camera for boards without one: a picture, row by row, with faults on a schedule.

use cardinal_camera::{Fault, FaultInjector, Frame, FrameShape, InjectedError, PixelFormat, RowSource, StillSource};
use cardinal_runtime::format::Shape;

use super::{FRAMES, exit};
use crate::camera::Camera;
use crate::{Exit, host};

/// As an OV2640 on an ArduCAM delivers it: 320 × 240, RGB565.
const PICTURE: FrameShape = match FrameShape::new(320, 240, PixelFormat::Rgb565) {
    Ok(shape) => shape,
    Err(_) => panic!("a frame has pixels"),
};

/// Since the camera was started. The last one stays: only another start helps against it.
const FAULTS: [Option<Fault>; 8] = [
    None,
    Some(Fault::Fail { after: 100 }),
    None,
    Some(Fault::Cut { after: 239 }),
    None,
    Some(Fault::Noise { seed: 1 }),
    None,
    Some(Fault::Fail { after: 0 }),
];

/// The camera.
struct Still {
    picture: StillSource<'static>,
    row: &'static mut [u8],
    frames: u32,
    frames_since_start: usize,
    stalls: bool,
}

/// A camera in front of which `scene` is held: an image of `shape`, enlarged to the middle of the picture, for which `memory`
/// has room.
pub(super) fn camera(memory: &'static mut [u8], scene: &[u8], shape: Shape) -> impl Camera {
    let made = memory.split_at_mut_checked(PICTURE.frame_len()).and_then(|(picture, rest)| {
        draw(picture, scene, shape);
        let still = Frame::new(PICTURE.width(), PICTURE.height(), PICTURE.format(), picture).ok()?;
        Some((StillSource::new(still), rest.get_mut(..PICTURE.row_len())?))
    });
    let Some((picture, row)) = made else {
        defmt::error!("no room for a picture in the board's memory");
        exit(Exit::Camera)
    };
    let stalls = host::argument(1).is_some_and(|argument| argument == "stall");
    Still { picture, row, frames: 0, frames_since_start: 0, stalls }
}

/// The nearest pixels of the scene, stretched to the middle square; its edges fill the sides.
fn draw(picture: &mut [u8], scene: &[u8], shape: Shape) {
    let [height, width, channels] = [shape.height, shape.width, shape.channels].map(|n| n as usize);
    let (pixels, _) = picture.as_chunks_mut::<2>();
    let [across, down] = [PICTURE.width(), PICTURE.height()].map(usize::from);
    for (y, row) in pixels.chunks_exact_mut(across).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let column = (x.saturating_sub((across - down) / 2) * width / down).min(width - 1);
            let from = &scene[(y * height / down * width + column) * channels..][..channels];
            // Grey is all three.
            let [red, green, blue] = [0, 1, 2].map(|c| u16::from(from[c.min(channels - 1)]));
            *pixel = (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).to_be_bytes();
        }
    }
}

impl Camera for Still {
    fn start(&mut self) -> Result<(), Self::Error> {
        self.frames_since_start = 0;
        Ok(())
    }
}

impl RowSource for Still {
    type Error = InjectedError<core::convert::Infallible>;

    fn shape(&self) -> FrameShape {
        PICTURE
    }

    fn rows(&mut self, each: impl FnMut(&[u8])) -> Result<(), Self::Error> {
        self.frames += 1;
        if self.stalls && self.frames == FRAMES {
            loop {
                cortex_m::asm::wfi();
            }
        }
        let now = self.frames_since_start.min(FAULTS.len() - 1);
        self.frames_since_start += 1;
        FaultInjector::new(self.picture, &FAULTS[now..=now], self.row).rows(each)
    }
}
