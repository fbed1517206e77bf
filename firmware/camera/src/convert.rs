//! One pixel of a row, in any format, as RGB or grey.

use crate::PixelFormat;

/// Red, green and blue of pixel `x`; black beyond the row.
pub(crate) fn rgb(format: PixelFormat, row: &[u8], x: usize) -> [u8; 3] {
    match format {
        PixelFormat::Grey8 => [chunk::<1>(row, x)[0]; 3],
        PixelFormat::Rgb888 => chunk(row, x),
        PixelFormat::Rgb565 => rgb_of_565(chunk(row, x)),
        PixelFormat::Yuv422 => {
            let [y0, cb, y1, cr] = chunk(row, x / 2);
            rgb_of_ycbcr(if x.is_multiple_of(2) { y0 } else { y1 }, cb, cr)
        }
    }
}

/// Luma of pixel `x`; black beyond the row.
pub(crate) fn grey(format: PixelFormat, row: &[u8], x: usize) -> [u8; 1] {
    match format {
        PixelFormat::Grey8 => chunk(row, x),
        // In full range, Y is the luma.
        PixelFormat::Yuv422 => [chunk::<2>(row, x)[0]],
        PixelFormat::Rgb888 | PixelFormat::Rgb565 => [luma(rgb(format, row, x))],
    }
}

/// Bytes `N·index` to `N·(index + 1)`; zeros beyond the end.
fn chunk<const N: usize>(row: &[u8], index: usize) -> [u8; N] {
    row.as_chunks().0.get(index).copied().unwrap_or([0; N])
}

/// The high bits are repeated below, so that full intensity becomes 255.
fn rgb_of_565(bytes: [u8; 2]) -> [u8; 3] {
    let v = u16::from_be_bytes(bytes);
    let five = |bits: u16| (bits << 3 | bits >> 2) as u8;
    let six = |bits: u16| (bits << 2 | bits >> 4) as u8;
    [five(v >> 11), six(v >> 5 & 63), five(v & 31)]
}

/// BT.601 in full range, as JPEG (JFIF) has it: R = Y + 1.402 Cr′, G = Y − 0.344136 Cb′ − 0.714136 Cr′,
/// B = Y + 1.772 Cb′ with Cb′, Cr′ = Cb, Cr − 128; in 1/65536, rounded and clamped.
fn rgb_of_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y) << 16, i32::from(cb) - 128, i32::from(cr) - 128);
    let byte = |v: i32| ((v + 0x8000) >> 16).clamp(0, 255) as u8;
    [byte(y + 91_881 * cr), byte(y - 22_554 * cb - 46_802 * cr), byte(y + 116_130 * cb)]
}

/// BT.601 luma with the converter's (and Pillow's) rounding.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rgb565_reaches_both_ends() {
        let table = [
            ([0xFF, 0xFF], [255, 255, 255]),
            ([0xF8, 0x00], [255, 0, 0]),
            ([0x07, 0xE0], [0, 255, 0]),
            ([0x00, 0x1F], [0, 0, 255]),
            ([0x84, 0x10], [132, 130, 132]),
            ([0x08, 0x21], [8, 4, 8]),
            ([0x00, 0x00], [0, 0, 0]),
        ];
        for (bytes, expected) in table {
            assert_eq!(rgb(PixelFormat::Rgb565, &bytes, 0), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn ycbcr_is_within_rounding_of_the_formula() {
        for y in (0..=255).step_by(5) {
            for cb in (0..=255).step_by(5) {
                for cr in (0..=255).step_by(5) {
                    let (fy, b, r) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
                    let exact = [fy + 1.402 * r, fy - 0.344_136 * b - 0.714_136 * r, fy + 1.772 * b];
                    for (have, want) in rgb_of_ycbcr(y, cb, cr).iter().zip(exact) {
                        let error = f64::from(*have) - want.clamp(0.0, 255.0);
                        assert!(error.abs() < 0.502, "{y} {cb} {cr}: {have} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn yuyv_neighbours_share_chroma() {
        let row = [10, 128, 200, 128, 76, 85, 0, 255];
        let table = [(0, [10; 3], 10), (1, [200; 3], 200), (2, [254, 0, 0], 76), (3, [178, 0, 0], 0)];
        for (x, colour, luma) in table {
            assert_eq!(rgb(PixelFormat::Yuv422, &row, x), colour, "{x}");
            assert_eq!(grey(PixelFormat::Yuv422, &row, x), [luma], "{x}");
        }
    }

    #[test]
    fn grey_of_colours() {
        // Expected: Pillow's convert("L").
        let row = [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30];
        for (x, expected) in [76, 150, 29, 18].into_iter().enumerate() {
            assert_eq!(grey(PixelFormat::Rgb888, &row, x), [expected]);
        }
        assert_eq!(rgb(PixelFormat::Grey8, &row, 3), [0; 3]);
        assert_eq!(rgb(PixelFormat::Grey8, &row, 0), [255; 3]);
    }

    #[test]
    fn beyond_the_row_is_black() {
        for format in [PixelFormat::Grey8, PixelFormat::Rgb888, PixelFormat::Rgb565] {
            assert_eq!(rgb(format, &[255; 6], 6), [0; 3], "{format:?}");
            assert_eq!(grey(format, &[], 0), [0], "{format:?}");
        }
    }
}
