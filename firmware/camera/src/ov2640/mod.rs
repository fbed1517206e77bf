//! OmniVision OV2640 image sensor: its registers, over I²C. The pixels leave it by a parallel port, into something like
//! the FIFO of [`arducam`](crate::arducam).
//!
//! Registers have the names of OmniVision's OV2640 data sheet 2.2. What their bits do is as the Linux and Zephyr drivers
//! have it; the formulas of exposure and gain are ArduCAM's, from its OV2640 software guide.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{Error, ErrorKind, I2c};

use crate::PixelFormat;

mod tables;

#[cfg(test)]
mod tests;

/// The sensor's I²C address, of seven bits; the data sheet's 0x60 and 0x61 include the direction.
pub const ADDRESS: u8 = 0x30;

/// Width and height of its pictures here.
pub const SIZE: [u16; 2] = [320, 240];

/// Chooses one of two banks of registers.
const BANK_SELECT: u8 = 0xff;

// Registers of the sensor bank.
const GAIN: u8 = 0x00;
const REG04: u8 = 0x04;
const PRODUCT: [u8; 2] = [0x0a, 0x0b];
const AEC: u8 = 0x10;
const COM7: u8 = 0x12;
const COM8: u8 = 0x13;
const MANUFACTURER: [u8; 2] = [0x1c, 0x1d];
const REG45: u8 = 0x45;

/// Pause after a software reset. Drivers differ: Linux takes 5 ms, ESP-IDF 10 ms, ArduCAM 100 ms, Zephyr 300 ms.
const RESET_MS: u32 = 100;

/// Four to five frames, in which exposure, gain and white balance find the scene.
const SETTLE_MS: u32 = 300;

/// Bytes of a pixel that leave the sensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Output {
    /// As [`PixelFormat::Rgb565`].
    #[default]
    Rgb565,
    /// As [`PixelFormat::Yuv422`].
    Yuv422,
}

impl Output {
    /// The frame's encoding.
    pub const fn pixel_format(self) -> PixelFormat {
        match self {
            Output::Rgb565 => PixelFormat::Rgb565,
            Output::Yuv422 => PixelFormat::Yuv422,
        }
    }
}

/// How long the sensor collects light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Exposure {
    /// The sensor decides.
    #[default]
    Auto,
    /// So many line times, of about 53 µs each at 15 frames a second. The least is one line and the most one frame
    /// (1248 lines), even where the number is outside that.
    Lines(u16),
}

/// How much the sensor amplifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Gain {
    /// The sensor decides, up to 8×.
    #[default]
    Auto,
    /// Gain × 16, from 16 to 496; a number outside means the nearest. Over 32, it is rounded down to what the sensor
    /// has: steps of 1/16 of the power of two below.
    Sixteenths(u16),
}

/// What can be changed while the sensor runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings {
    /// How long it collects light.
    pub exposure: Exposure,
    /// How much it amplifies.
    pub gain: Gain,
    /// Eight colour bars in place of the scene, to tell a bad lens from bad wiring.
    pub test_pattern: bool,
    /// Swaps left and right.
    pub mirror: bool,
    /// Swaps top and bottom.
    pub flip: bool,
}

/// Which of the two meanings of a register's number is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Bank {
    /// Image processor.
    Dsp,
    /// Pixel array, exposure and clock.
    Sensor,
}

/// Why the sensor is not as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SensorError {
    /// The I²C bus failed.
    #[error("register {register:#04x} of the OV2640's {bank:?} bank: {kind}; check SDA, SCL, pull-ups and supply")]
    Bus {
        /// The bank that was chosen, or was about to be.
        bank: Bank,
        /// The register, 0xff when choosing the bank.
        register: u8,
        /// What the bus says.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        kind: ErrorKind,
    },
    /// Something else than an OV2640 answered.
    #[error("product {product:#06x} of manufacturer {manufacturer:#06x} is no OV2640: check the module and the bus")]
    Chip {
        /// Product number; 0x2641 or 0x2642 expected.
        product: u16,
        /// Manufacturer number; 0x7fa2 expected.
        manufacturer: u16,
    },
}

/// An OV2640 behind an I²C bus of at most 400 kHz.
#[derive(Debug)]
pub struct Ov2640<I> {
    i2c: I,
}

impl<I: I2c> Ov2640<I> {
    /// Talks to no one yet.
    pub const fn new(i2c: I) -> Self {
        Ov2640 { i2c }
    }

    /// Gives the bus back.
    pub fn release(self) -> I {
        self.i2c
    }

    /// Resets the sensor and lets it run with 320 × 240 pixels; takes 0.4 seconds.
    ///
    /// # Errors
    /// The bus fails, or there is no OV2640. The sensor is then in no known state: call this again.
    pub fn init(&mut self, output: Output, settings: &Settings, delay: &mut impl DelayNs) -> Result<(), SensorError> {
        self.check()?;
        self.write(Bank::Sensor, &[(COM7, 0x80)])?;
        delay.delay_ms(RESET_MS);
        self.write(Bank::Dsp, &tables::DSP_START)?;
        self.write(Bank::Sensor, &tables::SENSOR)?;
        self.apply(settings)?;
        self.write(Bank::Dsp, &tables::DSP)?;
        self.write(Bank::Dsp, &tables::QVGA)?;
        self.write(Bank::Dsp, tables::output(output))?;
        delay.delay_ms(SETTLE_MS);
        Ok(())
    }

    /// Reads product and manufacturer number.
    ///
    /// # Errors
    /// The bus fails, or they are not an OV2640's.
    pub fn check(&mut self) -> Result<(), SensorError> {
        self.select(Bank::Sensor)?;
        let [product, manufacturer] = [self.read_pair(PRODUCT)?, self.read_pair(MANUFACTURER)?];
        match (product, manufacturer) {
            (0x2641 | 0x2642, 0x7fa2) => Ok(()),
            _ => Err(SensorError::Chip { product, manufacturer }),
        }
    }

    /// Changes the settings of a sensor that [`init`](Self::init) has set going. The frame under way and the next may
    /// be of mixed settings.
    ///
    /// # Errors
    /// The bus fails; some of the settings may be in force.
    pub fn apply(&mut self, settings: &Settings) -> Result<(), SensorError> {
        let lines = match settings.exposure {
            Exposure::Auto => None,
            Exposure::Lines(lines) => Some(lines.max(1)),
        };
        let [lines_low, lines_middle, lines_high] = split_lines(lines.unwrap_or(0));
        let gain = match settings.gain {
            Gain::Auto => None,
            Gain::Sixteenths(gain) => Some(gain_register(gain)),
        };
        let bit = |on, bit| if on { bit } else { 0 };
        self.write(
            Bank::Sensor,
            &[
                // The whole array, zoom allowed; bit 1 the colour bars.
                (COM7, 0x04 | bit(settings.test_pattern, 0x02)),
                // Fast steps, limited to those that avoid flicker; bit 2 automatic gain, bit 0 automatic exposure.
                (COM8, 0xe0 | bit(gain.is_none(), 0x04) | bit(lines.is_none(), 0x01)),
                // Bit 4 makes up for the line by which flipping shifts the colour filter, as in the Linux driver.
                (REG04, 0x28 | bit(settings.mirror, 0x80) | bit(settings.flip, 0x50) | lines_low),
            ],
        )?;
        // What is automatic belongs to the sensor. Only the gain's top two bits share a register with the exposure.
        if lines.is_some() || gain.is_some() {
            self.write_one(Bank::Sensor, REG45, lines_high)?;
        }
        if lines.is_some() {
            self.write_one(Bank::Sensor, AEC, lines_middle)?;
        }
        gain.map_or(Ok(()), |gain| self.write_one(Bank::Sensor, GAIN, gain))
    }

    fn select(&mut self, bank: Bank) -> Result<(), SensorError> {
        let value = match bank {
            Bank::Dsp => 0x00,
            Bank::Sensor => 0x01,
        };
        self.write_one(bank, BANK_SELECT, value)
    }

    /// Chooses the bank, then writes the registers in order.
    fn write(&mut self, bank: Bank, values: &[(u8, u8)]) -> Result<(), SensorError> {
        self.select(bank)?;
        values.iter().try_for_each(|&(register, value)| self.write_one(bank, register, value))
    }

    fn write_one(&mut self, bank: Bank, register: u8, value: u8) -> Result<(), SensorError> {
        self.i2c.write(ADDRESS, &[register, value]).map_err(bus(bank, register))
    }

    /// Two registers of the sensor bank, the high byte first. SCCB knows no repeated start, so that register number and
    /// value take a transaction each.
    fn read_pair(&mut self, registers: [u8; 2]) -> Result<u16, SensorError> {
        let mut bytes = [0; 2];
        for (register, byte) in registers.into_iter().zip(&mut bytes) {
            self.i2c.write(ADDRESS, &[register]).map_err(bus(Bank::Sensor, register))?;
            self.i2c.read(ADDRESS, core::slice::from_mut(byte)).map_err(bus(Bank::Sensor, register))?;
        }
        Ok(u16::from_be_bytes(bytes))
    }
}

fn bus<E: Error>(bank: Bank, register: u8) -> impl FnOnce(E) -> SensorError {
    move |error| SensorError::Bus { bank, register, kind: error.kind() }
}

/// Bits 0 and 1 (in REG04), 2 to 9 (AEC) and 10 to 15 (REG45) of the exposure.
const fn split_lines(lines: u16) -> [u8; 3] {
    [(lines & 3) as u8, (lines >> 2) as u8, (lines >> 10) as u8]
}

/// GAIN for a gain of so many sixteenths: it is 2 to the number of ones in bits 4 to 7, times 1 + bits 0 to 3 / 16.
fn gain_register(sixteenths: u16) -> u8 {
    let gain = sixteenths.clamp(16, 31 << 4);
    let doublings = gain.ilog2() - 4;
    let ones = (1 << doublings) - 1;
    ((ones << 4) | ((gain >> doublings) - 16)) as u8
}
