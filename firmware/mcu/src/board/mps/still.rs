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
/// Bytes of a row, which noise takes.
const ROW: usize = PICTURE.row_len();

/// One of each kind, then enough of them in a row that the camera has to be started anew.
const FAULTS: [Option<Fault>; FRAMES as usize] = [
    None,
    Some(Fault::Fail { after: 100 }),
    None,
    Some(Fault::Cut { after: 239 }),
    None,
    Some(Fault::Noise { seed: 1 }),
    None,
    Some(Fault::Fail { after: 0 }),
    Some(Fault::Cut { after: 0 }),
    Some(Fault::Fail { after: 240 }),
    None,
    None,
];

/// The camera.
struct Still {
    source: FaultInjector<'static, StillSource<'static>>,
    frame: u32,
    stalls: bool,
}

/// A camera in front of which `scene` is held: an image of `shape`, enlarged to the middle of the picture, for which `memory`
/// has room.
pub(super) fn camera(memory: &'static mut [u8], scene: &[u8], shape: Shape) -> impl Camera {
    let picture = memory.split_at_mut_checked(PICTURE.frame_len());
    let made = picture.and_then(|(picture, rest)| {
        draw(picture, scene, shape);
        let still = Frame::new(PICTURE.width(), PICTURE.height(), PICTURE.format(), picture).ok()?;
        Some(FaultInjector::new(StillSource::new(still), &FAULTS, rest.get_mut(..ROW)?))
    });
    let Some(source) = made else {
        defmt::error!("no room for a picture in the board's memory");
        exit(Exit::Camera)
    };
    let stalls = host::argument(1).is_some_and(|argument| argument == "stall");
    Still { source, frame: 0, stalls }
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
        Ok(())
    }
}

impl RowSource for Still {
    type Error = InjectedError<core::convert::Infallible>;

    fn shape(&self) -> FrameShape {
        self.source.shape()
    }

    fn rows(&mut self, each: impl FnMut(&[u8])) -> Result<(), Self::Error> {
        self.frame += 1;
        if self.stalls && self.frame == FRAMES {
            loop {
                cortex_m::asm::wfi();
            }
        }
        self.source.rows(each)
    }
}
