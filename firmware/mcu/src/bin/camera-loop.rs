//! Classifies one camera frame after the other, and gets over a camera's errors.
//!
//! A frame that is not whole is never classified. After three errors in a row the camera is started anew. The watchdog is fed
//! for each frame and each layer: a camera or a bus that never answers does not stop the board for good.
//!
//! Boards without a camera have a picture in its place, with injected faults, and end after a few frames.
//! `./run BOARD camera-loop stall` lets the last one never come.

#![no_std]
#![no_main]

use cardinal_camera::{CaptureError, RowSource};
use cardinal_mcu::camera::Camera;
use cardinal_mcu::model::{self, ModelArena};
use cardinal_mcu::{Exit, board, classes, golden};
use cortex_m_rt::entry;
use defmt::Display2Format;

/// Errors in a row after which the camera is started anew.
const PATIENCE: u32 = 3;
/// Widest image of three channels that there is room for: as wide as the camera's pictures.
const WIDEST: usize = 320;

#[entry]
fn main() -> ! {
    static mut ARENA: ModelArena = ModelArena::new();
    static mut SUMS: [u32; 3 * WIDEST] = [0; 3 * WIDEST];
    let board = board::start();
    let mut session = model::session(ARENA);
    let model = session.model();
    let shape = model.image();
    let (mut camera, mut watchdog) = board.into_camera_and_watchdog(golden::first_image(&model), shape);

    watchdog.start();
    start(&mut camera);
    let mut errors = 0;
    for frame in 0..board::FRAMES {
        watchdog.feed();
        match camera.capture_into(session.image_mut(), shape.height, shape.width, shape.channels, SUMS) {
            Ok(()) => {
                errors = 0;
                let top3 = classes::top3(&model, session.run_observed(|_| watchdog.feed()));
                defmt::info!("frame {=u32}: {}", frame, top3);
            }
            Err(CaptureError::Fit(error)) => {
                defmt::error!("no frame can become this model's image: {}", Display2Format(&error));
                board::exit(Exit::Camera)
            }
            Err(error) => {
                errors += 1;
                defmt::warn!("frame {=u32}: {}", frame, Display2Format(&error));
                if errors % PATIENCE == 0 {
                    watchdog.feed();
                    start(&mut camera);
                }
            }
        }
    }
    board::exit(Exit::Done)
}

/// Starts the camera; one that does not start is tried again later.
fn start(camera: &mut impl Camera) {
    match camera.start() {
        Ok(()) => defmt::info!("the camera runs"),
        Err(error) => defmt::warn!("the camera does not start: {}", Display2Format(&error)),
    }
}
