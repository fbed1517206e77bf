//! From bytes to pixels.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use cardinal_format::Colour;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::ImageError;

/// Longest side of an image, in pixels.
pub(super) const MAX_SIDE: u32 = 20_000;

/// Largest file, and largest decoded image, in bytes: 89 megapixels of RGB. A decoder's own buffers come on top, at most
/// twice that (the coefficients of a progressive JPEG).
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// Reads and decodes an image file: JPEG, PNG, WebP, BMP, PPM or PGM by content, whatever its name says.
///
/// The image comes upright: the EXIF orientation, if any, is applied as by Pillow's `ImageOps.exif_transpose`.
///
/// # Errors
/// The file cannot be read, is no image, is damaged, has no pixels, has a side over 20,000 pixels, or takes over
/// 256 MiB before or after decoding, as it is or as 8-bit RGB.
pub fn open(path: &Path) -> Result<DynamicImage, ImageError> {
    decode(&read(path)?, &path.display().to_string())
}

/// As [`open`], from the bytes of a file; `name` is for errors.
///
/// # Errors
/// As [`open`].
pub fn decode(bytes: &[u8], name: &str) -> Result<DynamicImage, ImageError> {
    let (decoder, orientation) = decoder(bytes, name)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failure(name))?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Height and width of the image that [`decode`] makes of the same bytes, from its header.
pub(super) fn size(bytes: &[u8], name: &str) -> Result<[u32; 2], ImageError> {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let (decoder, orientation) = decoder(bytes, name)?;
    let (width, height) = decoder.dimensions();
    Ok(match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => [width, height],
        _ => [height, width],
    })
}

/// The bytes of a file; of an endless one, no more than the limit.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let file = File::open(path).map_err(ImageError::io(path))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(ImageError::io(path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ImageError::TooLarge { name: path.display().to_string(), what: "encoded" });
    }
    Ok(bytes)
}

/// A decoder that has read the header and found it within limits.
fn decoder<'a>(bytes: &'a [u8], name: &str) -> Result<(impl ImageDecoder + 'a, Orientation), ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);

    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(ImageError::io(name))?;
    if reader.format() == Some(ImageFormat::Jpeg) && is_cut(bytes) {
        return Err(ImageError::CutOff { name: name.to_owned() });
    }
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failure(name))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { name: name.to_owned() });
    }
    // Grey becomes RGB for most networks, and a bomb of one bit a pixel is the smallest.
    let rgb = 3 * u64::from(width) * u64::from(height);
    if decoder.total_bytes().max(rgb) > MAX_BYTES {
        return Err(ImageError::TooLarge { name: name.to_owned(), what: "decoded" });
    }
    // Damaged metadata is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((decoder, orientation))
}

/// Whether a JPEG has no end. Its decoder would make up the missing part.
fn is_cut(jpeg: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut at = 2;
    // What comes before the first scan may hold a thumbnail, which has an end of its own.
    while let Some(&[0xff, marker, high, low]) = jpeg.get(at..).and_then(<[u8]>::first_chunk) {
        match marker {
            START_OF_SCAN => return !jpeg[at..].windows(2).any(|pair| pair == END_OF_IMAGE),
            // Any number of these may precede a marker.
            0xff => at += 1,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    at >= jpeg.len()
}

fn failure(name: &str) -> impl FnOnce(image::ImageError) -> ImageError {
    |cause| ImageError::Decode { name: name.to_owned(), cause: cause.into() }
}

/// The image's pixels as bytes, height × width × channels, as by Pillow's `convert("RGB")` or `convert("L")`.
///
/// Transparency is dropped, not blended; grey is repeated; of 16-bit samples the high byte is taken, but 16-bit grey
/// without alpha is clipped to 255, which leaves of most such images white: divide by 257 when saving them; luma is `(19595 R + 38470 G + 7471 B + 32768) >> 16`.
pub fn convert(image: &DynamicImage, colour: Colour) -> Cow<'_, [u8]> {
    let (samples, channels) = samples(image);
    match (colour, channels) {
        (Colour::Grey, 1) | (Colour::Rgb, 3) => samples,
        (Colour::Grey, 2) => samples.iter().step_by(2).copied().collect(),
        (Colour::Grey, _) => samples.chunks_exact(channels).map(|p| luma(p[0], p[1], p[2])).collect(),
        (Colour::Rgb, 1 | 2) => samples.iter().step_by(channels).flat_map(|&p| [p; 3]).collect(),
        (Colour::Rgb, _) => samples.chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]]).collect(),
    }
}

/// 8-bit samples and the number of them in a pixel: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
fn samples(image: &DynamicImage) -> (Cow<'_, [u8]>, usize) {
    let high_bytes = |samples: &[u16]| samples.iter().map(|s| (s >> 8) as u8).collect();
    match image {
        DynamicImage::ImageLuma8(b) => (b.as_raw().into(), 1),
        DynamicImage::ImageLumaA8(b) => (b.as_raw().into(), 2),
        DynamicImage::ImageRgb8(b) => (b.as_raw().into(), 3),
        DynamicImage::ImageRgba8(b) => (b.as_raw().into(), 4),
        DynamicImage::ImageLuma16(b) => (b.as_raw().iter().map(|&s| s.min(255) as u8).collect(), 1),
        DynamicImage::ImageLumaA16(b) => (high_bytes(b.as_raw()), 2),
        DynamicImage::ImageRgb16(b) => (high_bytes(b.as_raw()), 3),
        DynamicImage::ImageRgba16(b) => (high_bytes(b.as_raw()), 4),
        other => (other.to_rgb8().into_raw().into(), 3),
    }
}

fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use image::codecs::png::PngEncoder;
    use image::{ColorType, ImageBuffer, ImageEncoder, Luma, RgbImage, Rgba};

    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A PNG of `height` rows of `width` grey pixels, numbered from 1, with an EXIF orientation.
    fn oriented(width: u32, height: u32, orientation: u8) -> Vec<u8> {
        let pixels: Vec<u8> = (1..=(width * height) as u8).collect();
        let exif = [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], &[0; 6]].concat();
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(exif).unwrap();
        encoder.write_image(&pixels, width, height, ColorType::L8.into()).unwrap();
        bytes
    }

    #[test]
    fn every_format_by_content() {
        let image = DynamicImage::from(RgbImage::from_fn(5, 4, |x, y| [40 * x as u8, 50 * y as u8, 7].into()));
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm] {
            assert_eq!(decode(&encoded(&image, format), "x").unwrap().to_rgb8(), image.to_rgb8(), "{format:?}");
        }
        let jpeg = decode(&encoded(&image, ImageFormat::Jpeg), "x").unwrap();
        assert_eq!((jpeg.width(), jpeg.height()), (5, 4));
    }

    #[test]
    fn orientation_is_that_of_exif_transpose() {
        let table: [(u8, [u32; 2], [u8; 6]); 10] = [
            (0, [2, 3], [1, 2, 3, 4, 5, 6]),
            (1, [2, 3], [1, 2, 3, 4, 5, 6]),
            (2, [2, 3], [3, 2, 1, 6, 5, 4]),
            (3, [2, 3], [6, 5, 4, 3, 2, 1]),
            (4, [2, 3], [4, 5, 6, 1, 2, 3]),
            (5, [3, 2], [1, 4, 2, 5, 3, 6]),
            (6, [3, 2], [4, 1, 5, 2, 6, 3]),
            (7, [3, 2], [6, 3, 5, 2, 4, 1]),
            (8, [3, 2], [3, 6, 2, 5, 1, 4]),
            (9, [2, 3], [1, 2, 3, 4, 5, 6]),
        ];
        for (orientation, [height, width], pixels) in table {
            let bytes = oriented(3, 2, orientation);
            let image = decode(&bytes, "x").unwrap();
            assert_eq!((image.height(), image.width()), (height, width), "{orientation}");
            assert_eq!(image.as_bytes(), pixels, "{orientation}");
            assert_eq!(size(&bytes, "x").unwrap(), [height, width], "{orientation}");
        }
    }

    #[test]
    fn hostile_bytes_are_errors_that_name_the_file() {
        let png = encoded(&DynamicImage::new_rgb8(9, 9), ImageFormat::Png);
        let jpeg = encoded(&DynamicImage::new_rgb8(9, 9), ImageFormat::Jpeg);
        let bmp_without_pixels = {
            let mut bytes = encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Bmp);
            bytes[18..22].fill(0);
            bytes
        };
        let table: [(&str, &[u8]); 10] = [
            ("nothing", b""),
            ("text", b"not an image"),
            ("cut off", &png[..png.len() / 2]),
            ("a photograph cut off", &jpeg[..jpeg.len() - 2]),
            ("a photograph cut off in its head", &jpeg[..100]),
            ("only a signature", &png[..8]),
            ("too wide", b"P5 20001 1 255 "),
            ("too many pixels", b"P6 20000 20000 255 "),
            ("an unsupported format", b"GIF89a\x01\0\x01\0\0\0\0"),
            ("without pixels", &bmp_without_pixels),
        ];
        for (name, bytes) in table {
            let error = decode(bytes, name).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn missing_file_is_named() {
        let error = open(Path::new("no/such.jpg")).unwrap_err().to_string();
        assert!(error.starts_with("no/such.jpg: "), "{error}");
    }

    #[test]
    fn conversion_is_that_of_pillow() {
        let rgba = |pixel: [u8; 4]| DynamicImage::from(ImageBuffer::from_pixel(1, 1, Rgba(pixel)));
        let grey = |pixel: u8| DynamicImage::from(ImageBuffer::from_pixel(1, 1, Luma([pixel])));
        let grey16 = |pixel: u16| DynamicImage::from(ImageBuffer::from_pixel(1, 1, Luma([pixel])));
        let rgba16 = |pixel: [u16; 4]| DynamicImage::from(ImageBuffer::from_pixel(1, 1, Rgba(pixel)));
        let table: [(DynamicImage, [u8; 3], u8); 10] = [
            (rgba([255, 0, 0, 255]), [255, 0, 0], 76),
            (rgba([0, 255, 0, 0]), [0, 255, 0], 150),
            (rgba([0, 0, 255, 9]), [0, 0, 255], 29),
            (rgba([10, 20, 30, 0]), [10, 20, 30], 18),
            (rgba([255; 4]), [255; 3], 255),
            (DynamicImage::from(rgba([1, 2, 3, 4]).to_rgb8()), [1, 2, 3], 2),
            (grey(77), [77; 3], 77),
            (grey16(0x80ff), [255; 3], 255),
            (grey16(0x0080), [0x80; 3], 0x80),
            (rgba16([0x10ff, 0x2000, 0x30ff, 0]), [0x10, 0x20, 0x30], 29),
        ];
        for (image, rgb, l) in table {
            assert_eq!(convert(&image, Colour::Rgb)[..], rgb, "{image:?}");
            assert_eq!(convert(&image, Colour::Grey)[..], [l], "{image:?}");
        }
        let with_alpha = DynamicImage::from(grey(5).to_luma_alpha8());
        assert_eq!(convert(&with_alpha, Colour::Rgb)[..], [5; 3]);
        assert_eq!(convert(&with_alpha, Colour::Grey)[..], [5]);
    }
}
