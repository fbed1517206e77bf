use std::vec;
use std::vec::Vec;

use embedded_hal_mock::eh1::delay::{CheckedDelay, Transaction as Wait};
use embedded_hal_mock::eh1::spi::{Mock, Transaction};

use super::*;
use crate::board::Port;
use crate::{CaptureError, Frame, fit};

fn write(register: u8, value: u8) -> Vec<Transaction<u8>> {
    transaction(register | 0x80, Transaction::write_vec(vec![value]))
}

fn read(register: u8, bytes: &[u8]) -> Vec<Transaction<u8>> {
    transaction(register, Transaction::read_vec(bytes.to_vec()))
}

fn transaction(command: u8, data: Transaction<u8>) -> Vec<Transaction<u8>> {
    vec![Transaction::transaction_start(), Transaction::write(command), data, Transaction::transaction_end()]
}

#[test]
fn the_chip_s_transactions() {
    let expected = [
        write(0x07, 0x80),
        write(0x07, 0x00),
        write(0x00, 0x55),
        read(0x00, &[0x55]),
        write(0x00, 0xaa),
        read(0x00, &[0xaa]),
        read(0x40, &[0x73]),
        // A capture that takes two polls.
        write(0x04, 0x01),
        write(0x04, 0x02),
        read(0x41, &[0xf7]),
        read(0x41, &[0x08]),
        read(0x42, &[0x56]),
        read(0x43, &[0x34]),
        read(0x44, &[0x92]),
        read(0x3c, &[1, 2, 3]),
        read(0x3d, &[4]),
    ];
    let mut chip = ArduChip::new(Mock::new(&expected.concat()));
    let mut delay = CheckedDelay::new(&[100, 100, 1].map(Wait::delay_ms));
    chip.reset(&mut delay).unwrap();
    chip.check().unwrap();
    assert_eq!(chip.version(), Ok(0x73));
    chip.capture(5, &mut delay).unwrap();
    assert_eq!(chip.fifo_len(), Ok(0x12_3456));
    let mut bytes = [0; 3];
    chip.read_burst(&mut bytes).unwrap();
    assert_eq!((bytes, chip.read_single()), ([1, 2, 3], Ok(4)));
    chip.release().done();
    delay.done();
}

#[test]
fn a_chip_that_is_not_there() {
    let table = [(0xff, 0x55), (0x00, 0x55), (0x55, 0xaa)];
    for (stuck, written) in table {
        let port = Port::new();
        port.board().stuck = Some(stuck);
        let mut camera = ArduCam::new(port.clone(), port.clone(), port);
        let expected = Err(ArduCamError::Chip(ChipError::Test { written, read: stuck }));
        assert_eq!(camera.init(&Config::default()), expected);
        assert_eq!(camera.rows(|_| panic!("no rows")), Err(ArduCamError::NotRunning));
        assert_eq!(camera.apply(&Settings::default()), Err(ArduCamError::NotRunning));
    }
}

/// A picture whose rows, columns and bytes all differ, and a camera that sees it.
fn camera(config: &Config) -> (Port, ArduCam<Port, Port, Port>, Vec<u8>) {
    let picture: Vec<u8> = (0..320 * 240 * 2_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    let port = Port::new();
    let mut camera = ArduCam::new(port.clone(), port.clone(), port.clone());
    camera.init(config).unwrap();
    assert_eq!(port.board().waited_ns, 600_000_000);
    // As on the board: eight bytes more than the frame, of a value that no test expects.
    port.board().picture = [&picture[..], &[0xee; 8]].concat();
    (port, camera, picture)
}

#[test]
fn a_frame_becomes_an_input() {
    for output in [Output::Rgb565, Output::Yuv422] {
        for [height, width, channels] in [[96, 96, 1], [96, 96, 3], [32, 48, 3], [240, 320, 3], [300, 300, 1]] {
            for leading_byte in [false, true] {
                let (port, mut camera, picture) = camera(&Config { output, leading_byte, ..Config::default() });
                if leading_byte {
                    port.board().picture.insert(0, 0xdd);
                }
                port.board().busy = 3;
                let frame = Frame::new(320, 240, output.pixel_format(), &picture).unwrap();
                assert_eq!(camera.shape(), frame.shape());
                let mut expected = vec![0; (height * width * channels) as usize];
                fit(&frame, &mut expected, height, width, channels).unwrap();
                let mut input = vec![0; expected.len()];
                let mut scratch = vec![0; (width * channels) as usize];
                for _ in 0..2 {
                    input.fill(0);
                    camera.capture_into(&mut input, height, width, channels, &mut scratch).unwrap();
                    assert!(input == expected, "{output:?} to {height}×{width}×{channels}");
                }
            }
        }
    }
}

#[test]
fn colours_and_luma() {
    // Left half, right half.
    let cases = [
        (Output::Rgb565, [[0xf8, 0x00, 0xf8, 0x00], [0x00, 0x1f, 0x00, 0x1f]], [255, 0, 0, 0, 0, 255]),
        (Output::Yuv422, [[76, 85, 76, 255], [200, 128, 200, 128]], [254, 0, 0, 200, 200, 200]),
    ];
    for (output, halves, expected) in cases {
        let (port, mut camera, _) = camera(&Config { output, ..Config::default() });
        port.board().picture = halves.map(|pair| pair.repeat(80)).concat().repeat(240);
        let mut input = [0; 6];
        camera.capture_into(&mut input, 1, 2, 3, &mut [0; 6]).unwrap();
        assert_eq!(input, expected, "{output:?}");
    }
}

#[test]
fn waits_no_longer_than_told() {
    for (busy, timeout_ms, result) in [(0, 0, true), (1, 0, false), (7, 7, true), (8, 7, false), (9, 100, true)] {
        let (port, mut camera, _) = camera(&Config { timeout_ms, ..Config::default() });
        port.board().busy = busy;
        port.board().waited_ns = 0;
        let expected = if result { Ok(()) } else { Err(ArduCamError::Chip(ChipError::Timeout { timeout_ms })) };
        assert_eq!(camera.rows(|_| assert!(result)), expected);
        assert_eq!(port.board().waited_ns, 1_000_000 * u64::from(busy.min(timeout_ms)), "{busy} {timeout_ms}");
        // The next frame is not harmed.
        port.board().busy = 0;
        assert_eq!(camera.rows(|_| ()), Ok(()));
    }
}

#[test]
fn a_fifo_of_another_length_is_no_frame() {
    const FRAME: u32 = 320 * 240 * 2;
    let length = |expected, given| Err(ArduCamError::Length { expected, given });
    let table = [
        (FRAME, false, Ok(())),
        (FRAME + 639, false, Ok(())),
        (FRAME - 1, false, length(FRAME, FRAME - 1)),
        (FRAME + 640, false, length(FRAME, FRAME + 640)),
        (0, false, length(FRAME, 0)),
        (FRAME + 1, true, Ok(())),
        (FRAME, true, length(FRAME + 1, FRAME)),
    ];
    for (given, leading_byte, expected) in table {
        let (port, mut camera, _) = camera(&Config { leading_byte, ..Config::default() });
        port.board().picture = vec![0; given as usize];
        let mut rows = 0;
        assert_eq!(camera.rows(|_| rows += 1), expected);
        assert_eq!(rows, if expected.is_ok() { 240 } else { 0 });
    }
    // Nothing but ones on the bus: the frame is there at once, and far too long.
    let (port, mut camera, _) = camera(&Config::default());
    port.board().stuck = Some(0xff);
    assert_eq!(camera.rows(|_| panic!("no rows")), length(FRAME, 0x7f_ffff));
    port.board().stuck = Some(0x00);
    let timeout = ChipError::Timeout { timeout_ms: 1000 };
    assert_eq!(camera.rows(|_| panic!("no rows")), Err(ArduCamError::Chip(timeout)));
}

#[test]
fn a_fault_in_any_transaction_of_init() {
    let port = Port::new();
    let mut camera = ArduCam::new(port.clone(), port.clone(), port.clone());
    camera.init(&Config::default()).unwrap();
    let total = port.board().transactions;
    // Two to reset the ArduChip and four to check it, then the sensor's.
    for fault in 0..total {
        port.board().fail_in(fault);
        let error = camera.init(&Config::default()).unwrap_err();
        match error {
            ArduCamError::Chip(ChipError::Bus { command, .. }) => {
                assert_eq!(command, [0x87, 0x87, 0x80, 0x00, 0x80, 0x00][fault]);
            }
            ArduCamError::Sensor(SensorError::Bus { .. }) => assert!(fault >= 6),
            other => panic!("{other}"),
        }
        assert_eq!(camera.rows(|_| panic!("no rows")), Err(ArduCamError::NotRunning));
    }
}

#[test]
fn a_fault_in_any_transaction_of_a_frame() {
    let (port, mut camera, picture) = camera(&Config::default());
    let frame = Frame::new(320, 240, Output::Rgb565.pixel_format(), &picture).unwrap();
    let (mut expected, mut scratch) = (vec![0; 24 * 24], [0; 24]);
    fit(&frame, &mut expected, 24, 24, 1).unwrap();
    port.board().busy = 2;
    // Clear, start, three polls, three bytes of the length, 240 rows.
    for fault in 0..248 {
        port.board().fail_in(fault);
        let mut input = vec![0; 24 * 24];
        let error = camera.capture_into(&mut input, 24, 24, 1, &mut scratch).unwrap_err();
        let command = match fault {
            0 | 1 => 0x84,
            2..5 => 0x41,
            5..8 => 0x42 + (fault - 5) as u8,
            _ => 0x3c,
        };
        let kind = embedded_hal::spi::ErrorKind::Overrun;
        assert_eq!(error, CaptureError::Source(ArduCamError::Chip(ChipError::Bus { command, kind })), "{fault}");
        camera.capture_into(&mut input, 24, 24, 1, &mut scratch).unwrap();
        assert!(input == expected, "the next frame is whole");
    }
    port.board().transactions = 0;
    camera.rows(|_| ()).unwrap();
    assert_eq!(port.board().transactions, 248);
}

#[test]
fn settings_while_running() {
    let (port, mut camera, _) = camera(&Config::default());
    camera.apply(&Settings { test_pattern: true, ..Settings::default() }).unwrap();
    assert_eq!(port.board().sensor[1][0x12], 0x06);
    assert_eq!(camera.chip().version(), Ok(0x55));
}
