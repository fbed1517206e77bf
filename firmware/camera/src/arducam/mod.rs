//! ArduCAM Mini 2MP: an [OV2640](crate::ov2640) and an [`ArduChip`] with a FIFO for one frame, on an I²C and an SPI bus.
//!
//! Facts are from ArduCAM's hardware notes ("Arducam chip", "Detailed data timing on Arducam SPI bus") and, where those
//! say nothing, from its libraries for Arduino and for the Raspberry Pi Pico.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;

use crate::ov2640::{self, Output, Ov2640, SensorError, Settings};
use crate::{FrameShape, RowSource};

mod chip;

#[cfg(test)]
mod tests;

pub use chip::{ArduChip, ChipError};

/// Bytes of a row of two bytes a pixel.
const ROW: usize = 2 * ov2640::SIZE[0] as usize;

/// How the camera is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Encoding of the pixels.
    pub output: Output,
    /// Exposure and the like.
    pub settings: Settings,
    /// Milliseconds that a frame may take, beside the time on the bus. A frame takes up to two of 67 ms: the one under
    /// way is not used.
    pub timeout_ms: u32,
    /// Drops the FIFO's first byte. Early boards put one before the frame (ArduCAM/Arduino issues 423 and 432); without
    /// this, their colours come out wildly wrong.
    pub leading_byte: bool,
}

impl Default for Config {
    /// RGB565, all automatic, one second, and no leading byte.
    fn default() -> Self {
        let (output, settings) = (Output::Rgb565, Settings::default());
        Config { output, settings, timeout_ms: 1000, leading_byte: false }
    }
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArduCamError {
    /// The camera was not started, or did not start.
    #[error("the camera is not running: call init until it succeeds")]
    NotRunning,
    /// The sensor is not as asked.
    #[error(transparent)]
    Sensor(#[from] SensorError),
    /// The ArduChip is not as asked.
    #[error(transparent)]
    Chip(#[from] ChipError),
    /// What is in the FIFO is no frame of this size.
    #[error("the FIFO holds {given} bytes, a frame takes {expected}: capture again; if it stays, call init")]
    Length {
        /// Least bytes of a frame.
        expected: u32,
        /// Bytes in the FIFO.
        given: u32,
    },
}

/// A camera that delivers 320 × 240 pixels, row by row.
///
/// After any error, the next frame may be tried at once. Where errors repeat, [`init`](Self::init) resets both chips.
///
/// ```
/// use cardinal_camera::arducam::{ArduCam, ArduCamError, Config};
/// use cardinal_camera::{CaptureError, RowSource};
/// use embedded_hal::{delay::DelayNs, i2c::I2c, spi::SpiDevice};
///
/// fn input(
///     i2c: impl I2c,
///     spi: impl SpiDevice,
///     delay: impl DelayNs,
/// ) -> Result<[u8; 96 * 96], CaptureError<ArduCamError>> {
///     let mut camera = ArduCam::new(i2c, spi, delay);
///     camera.init(&Config::default()).map_err(CaptureError::Source)?;
///     let mut input = [0; 96 * 96];
///     camera.capture_into(&mut input, 96, 96, 1, &mut [0; 96])?;
///     Ok(input)
/// }
/// ```
#[derive(Debug)]
pub struct ArduCam<I, S, D> {
    sensor: Ov2640<I>,
    chip: ArduChip<S>,
    delay: D,
    config: Config,
    running: bool,
    row: [u8; ROW],
}

impl<I: I2c, S: SpiDevice, D: DelayNs> ArduCam<I, S, D> {
    /// Talks to no one yet. I²C at up to 400 kHz, SPI in mode 0 at up to 8 MHz.
    pub fn new(i2c: I, spi: S, delay: D) -> Self {
        let (sensor, chip, config) = (Ov2640::new(i2c), ArduChip::new(spi), Config::default());
        ArduCam { sensor, chip, delay, config, running: false, row: [0; ROW] }
    }

    /// Gives the buses and the delay back.
    pub fn release(self) -> (I, S, D) {
        (self.sensor.release(), self.chip.release(), self.delay)
    }

    /// Resets both chips and lets the camera run; takes 0.6 seconds.
    ///
    /// # Errors
    /// One of the chips is missing, or a bus fails; the camera delivers no frames until another call succeeds.
    pub fn init(&mut self, config: &Config) -> Result<(), ArduCamError> {
        self.running = false;
        self.config = *config;
        self.chip.reset(&mut self.delay)?;
        self.chip.check()?;
        self.sensor.init(config.output, &config.settings, &mut self.delay)?;
        self.running = true;
        Ok(())
    }

    /// Changes exposure and the like; [`Ov2640::apply`] says from which frame on.
    ///
    /// # Errors
    /// The camera is not running, or the bus fails; some of the settings may be in force.
    pub fn apply(&mut self, settings: &Settings) -> Result<(), ArduCamError> {
        if !self.running {
            return Err(ArduCamError::NotRunning);
        }
        Ok(self.sensor.apply(settings)?)
    }

    /// The ArduChip, say for its version.
    pub fn chip(&mut self) -> &mut ArduChip<S> {
        &mut self.chip
    }
}

impl<I: I2c, S: SpiDevice, D: DelayNs> RowSource for ArduCam<I, S, D> {
    type Error = ArduCamError;

    /// That of the last [`init`](ArduCam::init).
    fn shape(&self) -> FrameShape {
        let [width, height] = ov2640::SIZE;
        FrameShape { width, height, format: self.config.output.pixel_format() }
    }

    /// Captures a frame, then reads its rows, 640 bytes each. At 8 MHz, that takes 0.15 seconds of the bus.
    ///
    /// The FIFO holds a few bytes more than the frame: ArduCAM's code for the Pico counts 8. They lie behind it and stay
    /// unread. A frame of another size would differ by a row at least, so that less than one row too many is accepted,
    /// and nothing too few.
    fn rows(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), ArduCamError> {
        if !self.running {
            return Err(ArduCamError::NotRunning);
        }
        self.chip.capture(self.config.timeout_ms, &mut self.delay)?;
        let given = self.chip.fifo_len()?;
        let expected = self.shape().frame_len() as u32 + u32::from(self.config.leading_byte);
        if !(expected..expected + ROW as u32).contains(&given) {
            return Err(ArduCamError::Length { expected, given });
        }
        if self.config.leading_byte {
            self.chip.read_burst(&mut [0])?;
        }
        for _ in 0..self.shape().height() {
            self.chip.read_burst(&mut self.row)?;
            each(&self.row);
        }
        Ok(())
    }
}
