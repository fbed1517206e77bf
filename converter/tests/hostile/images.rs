//! Images.

use cardinal_format::layout::CRC32;
use image::{DynamicImage, ImageFormat, RgbImage};
use zip::write::SimpleFileOptions;

use crate::harness::{Bench, Row, patched, row};

fn encoded(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(24, 20, |x, y| [(x * 9) as u8, (y * 11) as u8, (x * y) as u8].into());
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(image).write_to(&mut bytes, format).expect("memory");
    bytes.into_inner()
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [name, data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &CRC32.checksum(&body).to_be_bytes()].concat()
}

fn header(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat())
}

/// A PNG that declares a size and has these chunks.
fn png(width: u32, height: u32, depth: u8, colour: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    [SIGNATURE, &header(width, height, depth, colour), &chunks.concat(), &chunk(b"IEND", &[])].concat()
}

/// So many zeros, compressed as PNG has it.
fn zeros(len: usize) -> Vec<u8> {
    use std::io::Write;
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("", options).expect("a valid name");
    let piece = vec![0; 1 << 20];
    for start in (0..len).step_by(piece.len()) {
        archive.write_all(&piece[..(len - start).min(piece.len())]).expect("memory");
    }
    let bytes = archive.finish().expect("memory").into_inner();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("as it was written");
    let entry = archive.by_index(0).expect("as it was written");
    let start = entry.data_start().expect("it has a header") as usize;
    let deflated = &bytes[start..start + entry.compressed_size() as usize];
    let adler = ((len % 65_521) as u32) << 16 | 1;
    [b"\x78\x01", deflated, &adler.to_be_bytes()].concat()
}

/// One black pixel.
fn pixel() -> Vec<u8> {
    chunk(b"IDAT", &zeros(4))
}

fn pngs() -> Vec<Row> {
    let good = encoded(ImageFormat::Png);
    let idat = good.windows(4).position(|bytes| bytes == b"IDAT").expect("it has pixels");
    let bomb = |width, height, depth, colour| png(width, height, depth, colour, &[pixel()]);
    let limit = "exceed";
    vec![
        row("no width", bomb(0, 5, 8, 2), "cannot be decoded"),
        row("no height", bomb(5, 0, 8, 2), "cannot be decoded"),
        row("100,000 × 1 pixels", bomb(100_000, 1, 8, 2), limit),
        row("1 × 100,000 pixels", bomb(1, 100_000, 8, 2), limit),
        row("20,000 × 20,000 pixels", bomb(20_000, 20_000, 8, 2), limit),
        row("20,000 × 20,000 pixels of 64 bits", bomb(20_000, 20_000, 16, 6), limit),
        row(
            "20,000 × 20,000 pixels of one bit",
            png(20_000, 20_000, 1, 0, &[chunk(b"IDAT", &zeros(20_000 * 2_501))]),
            "decoded bytes exceed the limit of 256 MiB",
        ),
        row("9,000 × 9,000 pixels that are not there", bomb(9_000, 9_000, 8, 2), "cannot be decoded"),
        row("2^31 × 2^31 pixels", bomb(1 << 31, 1 << 31, 8, 2), "cannot be decoded"),
        row("a colour type that is none", bomb(5, 5, 8, 7), "cannot be decoded"),
        row("a depth that is none", bomb(5, 5, 3, 2), "cannot be decoded"),
        row("a palette that is missing", bomb(1, 1, 8, 3), "cannot be decoded"),
        row("only a signature", SIGNATURE, "cannot be decoded"),
        row("cut in the pixels", &good[..idat + 20], "cannot be decoded"),
        row("a wrong checksum", patched(&good, idat + 8, &[good[idat + 8] ^ 1]), "cannot be decoded"),
        row("a chunk of 4 GiB", patched(&good, idat - 4, &[0xff; 4]), "cannot be decoded"),
        row("no pixels", png(5, 5, 8, 2, &[]), "cannot be decoded"),
        row(
            "a colour profile of 600 MB, and no pixels",
            png(1, 1, 8, 2, &[chunk(b"iCCP", &[b"x\0\0", &zeros(600 << 20)[..]].concat())]),
            "cannot be decoded",
        ),
        row(
            "a text of 600 MB, and no pixels",
            png(1, 1, 8, 2, &[chunk(b"zTXt", &[b"x\0\0", &zeros(600 << 20)[..]].concat())]),
            "cannot be decoded",
        ),
    ]
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat()
}

/// A JPEG of one colour plane: the frame's kind and size, and what follows its tables, of which each code is one bit.
fn jpeg(frame: u8, width: u16, height: u16, scans: &[u8]) -> Vec<u8> {
    let [w, h] = [width.to_be_bytes(), height.to_be_bytes()];
    let table = |id: u8| segment(0xc4, &[&[id, 1][..], &[0; 16]].concat());
    let frame = segment(frame, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    let quantization = segment(0xdb, &[&[0][..], &[1; 64]].concat());
    [b"\xff\xd8", &quantization[..], &frame, &table(0), &table(0x10), scans, b"\xff\xd9"].concat()
}

const BASELINE: u8 = 0xc0;
const PROGRESSIVE: u8 = 0xc2;

fn scan(first: u8, last: u8) -> Vec<u8> {
    [segment(0xda, &[1, 1, 0, first, last, 0]), vec![0; 8]].concat()
}

fn jpegs() -> Vec<Row> {
    let good = encoded(ImageFormat::Jpeg);
    let cut = "the image is cut off";
    vec![
        row("a JPEG of 65,535 × 65,535 pixels", jpeg(BASELINE, 65_535, 65_535, &scan(0, 63)), "cannot be decoded"),
        row(
            "a progressive JPEG of 20,000 × 20,000",
            jpeg(PROGRESSIVE, 20_000, 20_000, &scan(0, 0)),
            "decoded bytes exceed",
        ),
        row("a JPEG without width", jpeg(BASELINE, 0, 5, &scan(0, 63)), "cannot be decoded"),
        row("a JPEG without height", jpeg(BASELINE, 5, 0, &scan(0, 63)), "cannot be decoded"),
        row(
            "5,000 scans of 3,000 × 3,000 pixels",
            jpeg(PROGRESSIVE, 3000, 3000, &[scan(0, 0), scan(1, 63).repeat(5000)].concat()),
            "Too many scans",
        ),
        row("a JPEG without a scan", jpeg(BASELINE, 5, 5, &[]), "cannot be decoded"),
        row(
            "a Huffman table of 4,080 codes",
            jpeg(BASELINE, 5, 5, &[segment(0xc4, &[&[0][..], &[255; 16]].concat()), scan(0, 63)].concat()),
            "cannot be decoded",
        ),
        row(
            "a Huffman table without codes",
            jpeg(BASELINE, 5, 5, &[segment(0xc4, &[0]), scan(0, 63)].concat()),
            "cannot be decoded",
        ),
        row(
            "a restart interval without a length",
            jpeg(BASELINE, 5, 5, &[segment(0xdd, &[]), scan(0, 63)].concat()),
            "cannot be decoded",
        ),
        row("a scan of 255 colours", jpeg(BASELINE, 5, 5, &segment(0xda, &[255; 20])), "cannot be decoded"),
        row("a segment longer than the file", [&b"\xff\xd8\xff\xe0\xff\xff"[..], &[0; 20]].concat(), cut),
        row("a JPEG cut in its scan", &good[..good.len() - 40], cut),
        row("a JPEG without its end", &good[..good.len() - 2], cut),
        row("a JPEG cut in its tables", &good[..100], cut),
        row("an arithmetic JPEG", jpeg(0xc9, 5, 5, &scan(0, 63)), "cannot be decoded"),
    ]
}

fn others() -> Vec<Row> {
    let bmp = encoded(ImageFormat::Bmp);
    let webp = encoded(ImageFormat::WebP);
    let read = "(JPEG, PNG, WebP, BMP, PPM and PGM are read)";
    vec![
        row("empty", b"", read),
        row("text", b"not a picture", read),
        row("a page", b"<!DOCTYPE html><title>404</title>", read),
        row("GIF", b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;", read),
        row("TIFF", b"II*\0\x08\0\0\0\0\0", read),
        row("AVIF", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", read),
        row(
            "SVG with an external entity",
            b"<?xml version='1.0'?><!DOCTYPE s SYSTEM 'file:///etc/passwd'><svg/>",
            read,
        ),
        row("a BMP of 2^31 pixels a row", patched(&bmp, 18, &0x7fff_ffffu32.to_le_bytes()), "hostile.png: "),
        row("a BMP without pixels", patched(&bmp, 18, &[0; 4]), "hostile.png: "),
        row("a BMP of more pixels than it has", patched(&bmp, 22, &10_000u32.to_le_bytes()), "cannot be decoded"),
        row("a BMP whose pixels lie behind it", patched(&bmp, 10, &[0xff, 0xff, 0xff, 0x7f]), "cannot be decoded"),
        row("a cut BMP", &bmp[..bmp.len() - 30], "cannot be decoded"),
        row("a PPM of 20,001 × 1 pixels", b"P6 20001 1 255 ", "exceed"),
        row("a PPM of 20,000 × 20,000 pixels", b"P6 20000 20000 255 ", "exceed"),
        row("a PGM of 20,000 × 20,000 pixels", b"P5 20000 20000 255 ", "decoded bytes exceed the limit of 256 MiB"),
        row("a PPM of 2^64 pixels", b"P6 99999999999 99999999999 255 ", "cannot be decoded"),
        row("a PPM with fewer pixels than it says", b"P6 100 100 255 abc", "cannot be decoded"),
        row("a PPM without a largest sample", b"P6 1 1 0 abc", "cannot be decoded"),
        row("a PPM of words", b"P3 2 2 255 red green blue", "cannot be decoded"),
        row("a cut WebP", &webp[..webp.len() / 2], "cannot be decoded"),
        row("a WebP of another signature", patched(&webp, 20, &[0]), "cannot be decoded"),
        row("a WebP of 16,383 × 16,383 pixels", patched(&webp, 21, &[0xfe, 0xbf, 0xff, 0x0f]), "exceed"),
        row("a WebP of no codec", patched(&webp, 12, b"VP8Q"), "cannot be decoded"),
    ]
}

const ARGS: [&str; 3] = ["predict", "../tiny.cardinal", "hostile.png"];

#[test]
fn are_refused() {
    let rows = pngs().into_iter().chain(jpegs()).chain(others()).collect();
    Bench::new().refuse("hostile.png", &ARGS, &encoded(ImageFormat::Png), rows);
}

/// Metadata that is too long is passed over, in the same bounds: the pixels are there.
#[test]
fn long_metadata_is_passed_over() {
    let profile = chunk(b"iCCP", &[b"x\0\0", &zeros(600 << 20)[..]].concat());
    let text = chunk(b"zTXt", &[b"x\0\0", &zeros(600 << 20)[..]].concat());
    let bench = Bench::new();
    for metadata in [profile, text] {
        bench.accept("hostile.png", &ARGS, &png(1, 1, 8, 2, &[metadata, pixel()]));
    }
    bench.accept("hostile.png", &ARGS, &jpeg(PROGRESSIVE, 9000, 9000, &scan(0, 0)));
}
