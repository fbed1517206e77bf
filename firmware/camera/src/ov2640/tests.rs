//! Register numbers and values are written out here, apart from the two long tables.

use std::vec;
use std::vec::Vec;

use embedded_hal_mock::eh1::delay::{CheckedDelay, NoopDelay, Transaction as Wait};
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

use super::*;
use crate::board::Port;

fn writes(values: &[(u8, u8)]) -> Vec<Transaction> {
    values.iter().map(|&(register, value)| Transaction::write(0x30, vec![register, value])).collect()
}

fn reads(values: &[(u8, u8)]) -> Vec<Transaction> {
    let pair = |&(register, value)| [Transaction::write(0x30, vec![register]), Transaction::read(0x30, vec![value])];
    values.iter().flat_map(pair).collect()
}

fn ids(product: [u8; 2], manufacturer: [u8; 2]) -> Vec<Transaction> {
    let [high, low] = product;
    let numbers = [(0x0a, high), (0x0b, low), (0x1c, manufacturer[0]), (0x1d, manufacturer[1])];
    [writes(&[(0xff, 0x01)]), reads(&numbers)].concat()
}

#[test]
fn only_an_ov2640_will_do() {
    let wrong = |product, manufacturer| Err(SensorError::Chip { product, manufacturer });
    let table = [
        ([0x26, 0x41], [0x7f, 0xa2], Ok(())),
        ([0x26, 0x42], [0x7f, 0xa2], Ok(())),
        ([0x26, 0x56], [0x7f, 0xa2], wrong(0x2656, 0x7fa2)),
        ([0x26, 0x42], [0x7f, 0xa3], wrong(0x2642, 0x7fa3)),
        ([0x00, 0x00], [0x00, 0x00], wrong(0, 0)),
        ([0xff, 0xff], [0xff, 0xff], wrong(0xffff, 0xffff)),
    ];
    for (product, manufacturer, expected) in table {
        let mut sensor = Ov2640::new(Mock::new(&ids(product, manufacturer)));
        assert_eq!(sensor.check(), expected);
        sensor.release().done();
        // And it is asked before anything is changed.
        if expected.is_err() {
            let mut sensor = Ov2640::new(Mock::new(&ids(product, manufacturer)));
            assert_eq!(sensor.init(Output::Rgb565, &Settings::default(), &mut NoopDelay::new()), expected);
            sensor.release().done();
        }
    }
}

#[test]
fn init_of_both_outputs() {
    let formats: [(Output, &[(u8, u8)]); 2] = [
        (Output::Rgb565, &[(0xda, 0x08), (0xd7, 0x03), (0xe0, 0x00), (0x05, 0x00)]),
        (Output::Yuv422, &[(0xda, 0x00), (0xd7, 0x03), (0xe1, 0x67), (0xe0, 0x00), (0x05, 0x00)]),
    ];
    for (output, format) in formats {
        let expected = [
            ids([0x26, 0x42], [0x7f, 0xa2]),
            writes(&[(0xff, 0x01), (0x12, 0x80)]),
            writes(&[(0xff, 0x00), (0x2c, 0xff), (0x2e, 0xdf)]),
            writes(&[(0xff, 0x01)]),
            writes(&tables::SENSOR),
            writes(&[(0xff, 0x01), (0x12, 0x04), (0x13, 0xe5), (0x04, 0x28)]),
            writes(&[(0xff, 0x00)]),
            writes(&tables::DSP),
            writes(&[(0xff, 0x00), (0xe0, 0x04), (0x8c, 0x00), (0xc0, 0xc8), (0xc1, 0x96), (0x86, 0x3d)]),
            writes(&[(0x51, 0x90), (0x52, 0x2c), (0x53, 0x00), (0x54, 0x00), (0x55, 0x88), (0x57, 0x00)]),
            writes(&[(0x50, 0x92), (0x5a, 0x50), (0x5b, 0x3c), (0x5c, 0x00), (0xd3, 0x04)]),
            writes(&[(0xff, 0x00)]),
            writes(format),
        ];
        let mut sensor = Ov2640::new(Mock::new(&expected.concat()));
        let mut delay = CheckedDelay::new(&[Wait::delay_ms(100), Wait::delay_ms(300)]);
        sensor.init(output, &Settings::default(), &mut delay).unwrap();
        sensor.release().done();
        delay.done();
    }
}

/// What the registers say in the end, put together from their bits as the Linux driver names them.
#[test]
fn registers_after_init() {
    let mut port = Port::new();
    Ov2640::new(port.clone()).init(Output::Rgb565, &Settings::default(), &mut port).unwrap();
    let [dsp, sensor] = port.board().sensor.map(|bank| bank.map(u32::from));
    let table = [
        ("HSIZE8", dsp[0xc0] << 3 | dsp[0x8c] >> 3 & 7, 1600),
        ("VSIZE8", dsp[0xc1] << 3 | dsp[0x8c] & 7, 1200),
        ("H_SIZE", 4 * (dsp[0x51] | (dsp[0x55] >> 3 & 1) << 8 | (dsp[0x57] >> 7) << 9), 1600),
        ("V_SIZE", 4 * (dsp[0x52] | (dsp[0x55] >> 7) << 8), 1200),
        ("OUTW", 4 * (dsp[0x5a] | (dsp[0x5c] & 3) << 8), u32::from(SIZE[0])),
        ("OUTH", 4 * (dsp[0x5b] | (dsp[0x5c] >> 2 & 1) << 8), u32::from(SIZE[1])),
        ("RESET", dsp[0xe0], 0),
        ("R_BYPASS, off", dsp[0x05] & 1, 0),
        ("CTRL0: Cb first, YUV and RGB on", dsp[0xc2] & 0x1f, 0x0e),
        ("CLKRC", sensor[0x11], 0),
        ("COM7: all pixels, no colour bars", sensor[0x12] & 0x72, 0),
        ("COM8: automatic gain and exposure", sensor[0x13] & 0x05, 0x05),
    ];
    for (name, value, expected) in table {
        assert_eq!(value, expected, "{name}");
    }
}

#[test]
fn settings() {
    let auto = Settings::default();
    let lines = |lines| Settings { exposure: Exposure::Lines(lines), ..auto };
    let gain = |gain| Settings { gain: Gain::Sixteenths(gain), ..auto };
    let table: [(Settings, &[(u8, u8)]); 9] = [
        (auto, &[(0x12, 0x04), (0x13, 0xe5), (0x04, 0x28)]),
        (Settings { test_pattern: true, ..auto }, &[(0x12, 0x06), (0x13, 0xe5), (0x04, 0x28)]),
        (Settings { mirror: true, ..auto }, &[(0x12, 0x04), (0x13, 0xe5), (0x04, 0xa8)]),
        (Settings { flip: true, ..auto }, &[(0x12, 0x04), (0x13, 0xe5), (0x04, 0x78)]),
        // 0x0123 = 0b00_0000 0100_1000 11.
        (lines(0x0123), &[(0x12, 4), (0x13, 0xe4), (0x04, 0x2b), (0x45, 0x00), (0x10, 0x48)]),
        (lines(0xffff), &[(0x12, 4), (0x13, 0xe4), (0x04, 0x2b), (0x45, 0x3f), (0x10, 0xff)]),
        (lines(0), &[(0x12, 4), (0x13, 0xe4), (0x04, 0x29), (0x45, 0x00), (0x10, 0x00)]),
        (gain(24), &[(0x12, 4), (0x13, 0xe1), (0x04, 0x28), (0x45, 0x00), (0x00, 0x08)]),
        (
            Settings { exposure: Exposure::Lines(4), gain: Gain::Sixteenths(64), ..auto },
            &[(0x12, 4), (0x13, 0xe0), (0x04, 0x28), (0x45, 0), (0x10, 1), (0, 0x30)],
        ),
    ];
    for (settings, expected) in table {
        let mut sensor = Ov2640::new(Mock::new(&[writes(&[(0xff, 0x01)]), writes(expected)].concat()));
        sensor.apply(&settings).unwrap();
        sensor.release().done();
    }
}

#[test]
fn gain_is_the_nearest_below() {
    for sixteenths in 0..=u16::MAX {
        let register = gain_register(sixteenths);
        let gain = (u16::from(register & 15) + 16) << (register >> 4).count_ones();
        let wanted = sixteenths.clamp(16, 496);
        assert!((wanted - wanted / 16..=wanted).contains(&gain), "{sixteenths}: {register:#x}");
        assert!(wanted >= 32 || gain == wanted, "exact up to 2×");
    }
}

#[test]
fn a_fault_in_any_transaction_is_reported() {
    for output in [Output::Rgb565, Output::Yuv422] {
        let settings = Settings { exposure: Exposure::Lines(100), gain: Gain::Sixteenths(32), ..Settings::default() };
        let mut port = Port::new();
        let mut sensor = Ov2640::new(port.clone());
        sensor.init(output, &settings, &mut port).unwrap();
        let good = port.board().sensor;
        let total = port.board().transactions;
        assert_eq!(port.board().waited_ns, 400_000_000);
        for fault in 0..total {
            port.board().fail_in(fault);
            let error = sensor.init(output, &settings, &mut port).unwrap_err();
            assert!(matches!(error, SensorError::Bus { kind: ErrorKind::ArbitrationLoss, .. }), "{fault}: {error}");
            assert_eq!(port.board().transactions, fault + 1, "nothing is sent after a fault");
            // The bus is well again, and so is the sensor after another init.
            sensor.init(output, &settings, &mut port).unwrap();
            assert!(port.board().sensor == good, "{fault}");
        }
    }
}

#[test]
fn a_bus_error_names_the_register() {
    let no_answer = ErrorKind::NoAcknowledge(embedded_hal::i2c::NoAcknowledgeSource::Address);
    let first = writes(&[(0xff, 0x01)]).into_iter().map(|write| write.with_error(no_answer)).collect::<Vec<_>>();
    let second = [writes(&[(0xff, 0x01)]), vec![Transaction::write(0x30, vec![0x0a]).with_error(no_answer)]].concat();
    for (transactions, register) in [(first, 0xff), (second, 0x0a)] {
        let mut sensor = Ov2640::new(Mock::new(&transactions));
        assert_eq!(sensor.check(), Err(SensorError::Bus { bank: Bank::Sensor, register, kind: no_answer }));
        sensor.release().done();
    }
}
