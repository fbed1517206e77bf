//! An ArduCAM Mini for tests: OV2640, ArduChip and clock, as far as the drivers see them.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::{i2c, spi};

pub(crate) struct Board {
    /// The sensor's registers, of the DSP bank and of the sensor bank.
    pub(crate) sensor: [[u8; 256]; 2],
    /// What a capture puts into the FIFO.
    pub(crate) picture: Vec<u8>,
    /// Status reads until the picture is there.
    pub(crate) busy: u32,
    /// What all SPI reads return, for a chip that is not there.
    pub(crate) stuck: Option<u8>,
    /// On both buses together.
    pub(crate) transactions: usize,
    pub(crate) waited_ns: u64,
    bank: usize,
    register: u8,
    test: u8,
    fifo: Option<usize>,
    fail_at: Option<usize>,
    polls: u32,
}

/// Either bus, or the clock.
#[derive(Clone)]
pub(crate) struct Port(Rc<RefCell<Board>>);

impl Port {
    pub(crate) fn new() -> Port {
        Port(Rc::new(RefCell::new(Board {
            sensor: powered_up(),
            picture: vec![],
            busy: 0,
            stuck: None,
            fail_at: None,
            transactions: 0,
            waited_ns: 0,
            bank: 0,
            register: 0,
            test: 0,
            fifo: None,
            polls: 0,
        })))
    }

    pub(crate) fn board(&self) -> RefMut<'_, Board> {
        self.0.borrow_mut()
    }
}

fn powered_up() -> [[u8; 256]; 2] {
    let mut sensor = [[0; 256]; 2];
    for (register, value) in [(0x0a, 0x26), (0x0b, 0x42), (0x1c, 0x7f), (0x1d, 0xa2)] {
        sensor[1][register] = value;
    }
    sensor
}

impl Board {
    /// Lets one transaction fail, after `transactions` good ones.
    pub(crate) fn fail_in(&mut self, transactions: usize) {
        (self.transactions, self.fail_at) = (0, Some(transactions));
    }

    fn begin<E>(&mut self, error: E) -> Result<(), E> {
        let this = self.transactions;
        self.transactions += 1;
        self.fail_at.take_if(|at| *at == this).map_or(Ok(()), |_| Err(error))
    }

    fn chip_write(&mut self, register: u8, value: u8) {
        match (register, value) {
            (0x00, value) => self.test = value,
            (0x04, 0x01) => self.fifo = None,
            (0x04, 0x02) => (self.fifo, self.polls) = (Some(0), 0),
            (0x07, 0x80 | 0x00) => {}
            other => panic!("{other:x?}"),
        }
    }

    fn chip_read(&mut self, register: u8, bytes: &mut [u8]) {
        assert!(bytes.len() == 1 || register == 0x3c, "only bursts read more than one byte");
        let len = self.picture.len().to_le_bytes();
        let value = match (register, &mut self.fifo) {
            _ if self.stuck.is_some() => self.stuck.unwrap(),
            (0x3c | 0x3d, Some(position)) => {
                bytes.copy_from_slice(&self.picture[*position..][..bytes.len()]);
                *position += bytes.len();
                return;
            }
            (0x00, _) => self.test,
            (0x40, _) => 0x55,
            (0x41, fifo) => {
                self.polls += 1;
                if fifo.is_some() && self.polls > self.busy { 0x08 } else { 0x01 }
            }
            // The top bit of the length means nothing.
            (0x42..=0x44, _) => len[usize::from(register - 0x42)] | if register == 0x44 { 0x80 } else { 0 },
            other => panic!("{other:x?}"),
        };
        bytes.fill(value);
    }
}

impl i2c::ErrorType for Port {
    type Error = i2c::ErrorKind;
}

impl i2c::I2c for Port {
    fn transaction(&mut self, address: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), i2c::ErrorKind> {
        assert_eq!(address, 0x30);
        let mut board = self.board();
        board.begin(i2c::ErrorKind::ArbitrationLoss)?;
        let (bank, register) = (board.bank, board.register);
        match operations {
            [i2c::Operation::Write([register])] => board.register = *register,
            [i2c::Operation::Write([0xff, value])] => board.bank = usize::from(*value),
            // A reset forgets the bank, too.
            [i2c::Operation::Write([0x12, 0x80])] if bank == 1 => (board.sensor, board.bank) = (powered_up(), 0),
            [i2c::Operation::Write([register, value])] => board.sensor[bank][usize::from(*register)] = *value,
            [i2c::Operation::Read([value])] => *value = board.sensor[bank][usize::from(register)],
            other => panic!("SCCB has no {other:x?}"),
        }
        Ok(())
    }
}

impl spi::ErrorType for Port {
    type Error = spi::ErrorKind;
}

impl spi::SpiDevice for Port {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), spi::ErrorKind> {
        let mut board = self.board();
        board.begin(spi::ErrorKind::Overrun)?;
        match operations {
            [spi::Operation::Write([command]), spi::Operation::Write([value])] if *command >= 0x80 => {
                board.chip_write(*command & 0x7f, *value);
            }
            [spi::Operation::Write([command]), spi::Operation::Read(bytes)] => {
                board.chip_read(*command, bytes);
            }
            other => panic!("{other:x?}"),
        }
        Ok(())
    }
}

impl DelayNs for Port {
    fn delay_ns(&mut self, ns: u32) {
        self.board().waited_ns += u64::from(ns);
    }
}
