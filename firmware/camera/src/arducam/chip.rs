//! The ArduChip: a controller with a FIFO for one frame, between sensor and SPI bus.

use embedded_hal::delay::DelayNs;
use embedded_hal::spi::{Error as _, ErrorKind, Operation, SpiDevice};

// Registers. Bit 7 of a command says that it writes.
const WRITE: u8 = 0x80;
const TEST: u8 = 0x00;
const FIFO_CONTROL: u8 = 0x04;
const RESET: u8 = 0x07;
const BURST_READ: u8 = 0x3c;
const SINGLE_READ: u8 = 0x3d;
const VERSION: u8 = 0x40;
const STATUS: u8 = 0x41;
const FIFO_LENGTH: [u8; 3] = [0x42, 0x43, 0x44];

const FIFO_CLEAR: u8 = 0x01;
const FIFO_START: u8 = 0x02;
const CAPTURE_DONE: u8 = 0x08;

/// Pause in reset and after it, as in ArduCAM's examples.
const RESET_MS: u32 = 100;

/// Why the chip is not as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ChipError {
    /// The SPI bus failed.
    #[error("command {command:#04x} to the ArduChip: {kind}; check the SPI bus")]
    Bus {
        /// Register, with bit 7 where it was to be written.
        command: u8,
        /// What the bus says.
        #[cfg_attr(feature = "defmt", defmt(Debug2Format))]
        kind: ErrorKind,
    },
    /// The test register does not hold what was written to it.
    #[error("the ArduChip's test register holds {read:#04x}, not {written:#04x}: check wiring, SPI mode 0 and 8 MHz")]
    Test {
        /// Written to it.
        written: u8,
        /// Read from it.
        read: u8,
    },
    /// There is no frame in the FIFO in time.
    #[error("no frame within {timeout_ms} ms: start the sensor anew, or wait longer if its exposure is long")]
    Timeout {
        /// Least time waited.
        timeout_ms: u32,
    },
}

/// An ArduChip behind an SPI bus of mode 0 and at most 8 MHz (ArduCAM's "Arducam chip" hardware note, section 2).
#[derive(Debug)]
pub struct ArduChip<S> {
    spi: S,
}

impl<S: SpiDevice> ArduChip<S> {
    /// Talks to no one yet.
    pub const fn new(spi: S) -> Self {
        ArduChip { spi }
    }

    /// Gives the bus back.
    pub fn release(self) -> S {
        self.spi
    }

    /// Resets the chip; takes 0.2 seconds.
    ///
    /// # Errors
    /// The bus fails.
    pub fn reset(&mut self, delay: &mut impl DelayNs) -> Result<(), ChipError> {
        for value in [0x80, 0x00] {
            self.write(RESET, value)?;
            delay.delay_ms(RESET_MS);
        }
        Ok(())
    }

    /// Writes each bit of the test register as 0 and as 1, and reads it back.
    ///
    /// # Errors
    /// The bus fails, or something else comes back.
    pub fn check(&mut self) -> Result<(), ChipError> {
        for written in [0x55, 0xaa] {
            self.write(TEST, written)?;
            let read = self.read(TEST)?;
            if read != written {
                return Err(ChipError::Test { written, read });
            }
        }
        Ok(())
    }

    /// The chip's revision.
    ///
    /// # Errors
    /// The bus fails.
    pub fn version(&mut self) -> Result<u8, ChipError> {
        self.read(VERSION)
    }

    /// Empties the FIFO and fills it with the sensor's next frame.
    ///
    /// # Errors
    /// The bus fails, or there is no frame within `timeout_ms` milliseconds; the time spent on the bus comes on top.
    pub fn capture(&mut self, timeout_ms: u32, delay: &mut impl DelayNs) -> Result<(), ChipError> {
        self.write(FIFO_CONTROL, FIFO_CLEAR)?;
        self.write(FIFO_CONTROL, FIFO_START)?;
        let mut left_ms = timeout_ms;
        while self.read(STATUS)? & CAPTURE_DONE == 0 {
            left_ms = left_ms.checked_sub(1).ok_or(ChipError::Timeout { timeout_ms })?;
            delay.delay_ms(1);
        }
        Ok(())
    }

    /// Bytes that the FIFO holds after a [`capture`](Self::capture), below 2^23.
    ///
    /// # Errors
    /// The bus fails.
    pub fn fifo_len(&mut self) -> Result<u32, ChipError> {
        let [low, middle, high] = FIFO_LENGTH;
        let bytes = [self.read(low)?, self.read(middle)?, self.read(high)? & 0x7f, 0];
        Ok(u32::from_le_bytes(bytes))
    }

    /// The FIFO's next bytes. Bursts may be of any length and follow one another.
    ///
    /// # Errors
    /// The bus fails. How many bytes the FIFO has given then is unknown: capture another frame.
    pub fn read_burst(&mut self, bytes: &mut [u8]) -> Result<(), ChipError> {
        self.transaction(BURST_READ, Operation::Read(bytes))
    }

    /// The FIFO's next byte, by itself: less than half as fast.
    ///
    /// # Errors
    /// As [`read_burst`](Self::read_burst).
    pub fn read_single(&mut self) -> Result<u8, ChipError> {
        self.read(SINGLE_READ)
    }

    fn read(&mut self, register: u8) -> Result<u8, ChipError> {
        let mut value = [0];
        self.transaction(register, Operation::Read(&mut value))?;
        Ok(value[0])
    }

    fn write(&mut self, register: u8, value: u8) -> Result<(), ChipError> {
        self.transaction(WRITE | register, Operation::Write(&[value]))
    }

    /// A command, and its data while the chip stays selected.
    fn transaction(&mut self, command: u8, data: Operation<'_, u8>) -> Result<(), ChipError> {
        let operations = &mut [Operation::Write(&[command]), data];
        self.spi.transaction(operations).map_err(|error| ChipError::Bus { command, kind: error.kind() })
    }
}
