//! Pictures inside a page, as the network sees them.

use cardinal_format::Shape;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};
use maud::{Markup, html};

/// Longest side of a picture, pixels.
const LONGEST: u32 = 160;
/// Longest side of a picture that is kept to the pixel and shown enlarged.
const TINY: u32 = 64;
/// Of JPEG, for larger ones.
const QUALITY: u8 = 82;

/// A picture as an address.
pub(super) struct Picture {
    address: String,
    width: u32,
    height: u32,
}

impl Picture {
    /// Of an image tensor's bytes, height × width × channels with one or three channels; none of another shape.
    pub(super) fn new(pixels: &[u8], shape: Shape) -> Option<Self> {
        let Shape { height, width, channels } = shape;
        let longest = height.max(width).max(1);
        let fit = |side: u32| (side * LONGEST / longest).max(1);
        let [to_width, to_height] = if longest > LONGEST { [fit(width), fit(height)] } else { [width, height] };
        let mut file = Vec::new();
        let (pixels, colour) = match channels {
            1 => {
                let image = GrayImage::from_raw(width, height, pixels.to_vec())?;
                (resize(&image, to_width, to_height, FilterType::Triangle).into_raw(), ExtendedColorType::L8)
            }
            3 => {
                let image = RgbImage::from_raw(width, height, pixels.to_vec())?;
                (resize(&image, to_width, to_height, FilterType::Triangle).into_raw(), ExtendedColorType::Rgb8)
            }
            _ => return None,
        };
        let (kind, encoded) = if longest <= TINY {
            ("png", PngEncoder::new(&mut file).write_image(&pixels, to_width, to_height, colour))
        } else {
            let jpeg = JpegEncoder::new_with_quality(&mut file, QUALITY);
            ("jpeg", jpeg.write_image(&pixels, to_width, to_height, colour))
        };
        encoded.ok()?;
        let address = format!("data:image/{kind};base64,{}", base64(&file));
        Some(Picture { address, width: to_width, height: to_height })
    }

    /// Bytes that it takes in a page.
    pub(super) fn len(&self) -> usize {
        self.address.len()
    }

    /// In a page; `what` is for those who cannot see it.
    pub(super) fn show(&self, what: &str) -> Markup {
        let tiny = self.width.max(self.height) <= TINY;
        html! { img.tiny[tiny] src=(self.address) width=(self.width) height=(self.height) alt=(what); }
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0, |group, (i, &byte)| group | u32::from(byte) << (16 - 8 * i));
        for digit in 0..4 {
            let value = (group >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn small_ones_are_exact_and_large_ones_shrink() {
        let shape = |height, width, channels| Shape { height, width, channels };
        let grey = Picture::new(&[7; 28 * 30], shape(28, 30, 1)).expect("a picture");
        assert_eq!((grey.width, grey.height), (30, 28));
        assert!(grey.address.starts_with("data:image/png;base64,iVBORw0KGgo"));
        let large = Picture::new(&[7; 224 * 448 * 3], shape(224, 448, 3)).expect("a picture");
        assert_eq!((large.width, large.height), (160, 80));
        assert!(large.address.starts_with("data:image/jpeg;base64,/9j/") && large.len() < 4000);
        assert!(Picture::new(&[7; 8], shape(2, 2, 2)).is_none());
        assert!(Picture::new(&[7; 8], shape(2, 2, 3)).is_none());
    }
}
