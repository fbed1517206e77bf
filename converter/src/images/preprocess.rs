//! From an image of any size to a model's input.

use cardinal_format::{Filter, Preprocess, Resize};
use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;

use super::decode::MAX_SIDE;
use super::{ImageError, convert};

/// The model's image tensor: height × width × channels bytes, of the given input height and width.
///
/// - [`Resize::Exact`]: the image is stretched to the input size.
/// - [`Resize::ShortEdge`]: the short edge becomes `n` and the long edge `⌊n · long / short⌋`, then the input size is
///   cut out, starting at `round((side − input) / 2)`, half to even. So do torchvision and mmpretrain.
///
/// - [`Resize::Square`]: the image is stretched to `n × n`, then cropped likewise.
///
/// An image that has the size already is not resampled.
///
/// # Errors
/// A side is 0, or is over 20,000 pixels after scaling; or the scaled image is smaller than the input.
pub fn prepare(image: &DynamicImage, spec: &Preprocess, input: [u32; 2]) -> Result<Vec<u8>, ImageError> {
    let from = [image.height(), image.width()];
    let to = match spec.resize {
        Resize::Exact => input,
        Resize::ShortEdge(edge) => short_edge(from, edge),
        Resize::Square(edge) => [edge; 2],
    };
    if from.iter().chain(&to).any(|side| !(1..=MAX_SIDE).contains(side)) {
        return Err(ImageError::Scale { from, to });
    }
    if to[0] < input[0] || to[1] < input[1] {
        return Err(ImageError::Crop { resized: to, input });
    }
    let channels = spec.colour.channels() as usize;
    let pixels = convert(image, spec.colour);
    if from == to {
        return Ok(centre_crop(&pixels, to, input, channels));
    }
    let resized = resize(&pixels, from, to, channels, spec.filter);
    Ok(if to == input { resized } else { centre_crop(&resized, to, input, channels) })
}

/// The float model's input: `(p − mean[c]) / std[c]` in `f32`, channels × height × width.
///
/// # Panics
/// If `pixels` is not height × width × channels bytes long, as [`prepare`] makes it.
pub fn normalise_chw(pixels: &[u8], spec: &Preprocess, input: [u32; 2]) -> Vec<f32> {
    let channels = spec.colour.channels() as usize;
    assert_eq!(pixels.len(), input[0] as usize * input[1] as usize * channels, "bytes of {input:?} × {channels}");
    let plane = |(c, (&mean, &std))| {
        let channel = pixels.iter().skip(c).step_by(channels);
        channel.map(move |&p| (f32::from(p) - mean) / std)
    };
    spec.mean.iter().zip(&spec.std).take(channels).enumerate().flat_map(plane).collect()
}

/// Height and width after scaling the shorter of the two to `edge`; a side that does not fit is `u32::MAX`.
fn short_edge([height, width]: [u32; 2], edge: u32) -> [u32; 2] {
    let short = height.min(width).max(1);
    let scaled = |side: u32| {
        let long = u64::from(edge) * u64::from(side) / u64::from(short);
        u32::try_from(long).unwrap_or(u32::MAX)
    };
    [scaled(height), scaled(width)]
}

/// Rows that are widened at a time: a large photograph need not be there twice.
const BAND: usize = 64;

/// Antialiased resampling with 8-bit results, across and then down as Pillow does it (since version 13, but for images
/// whose height shrinks far more than their width). With bytes in between the order shows.
///
/// Samples have 16 bits here, because of those the resizer keeps filter weights with 31 bits, of bytes with 15.
fn resize(pixels: &[u8], from: [u32; 2], to: [u32; 2], channels: usize, filter: Filter) -> Vec<u8> {
    let pixel_type = if channels == 1 { PixelType::U16 } else { PixelType::U16x3 };
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    let mut resizer = Resizer::new();
    let mut resized = |source: &Image<'_>, [height, width]: [u32; 2]| {
        let mut image = Image::new(width, height, pixel_type);
        resizer.resize(source, &mut image, &options).expect("both images have one pixel type");
        bytes(&image)
    };
    let wide = |pixels: &[u8], width: u32| {
        let rows = pixels.len() / channels / width as usize;
        let mut image = Image::new(width, rows as u32, pixel_type);
        image.buffer_mut().chunks_exact_mut(2).zip(pixels).for_each(|(sample, &p)| {
            sample.copy_from_slice(&u16::from(p).to_ne_bytes());
        });
        image
    };
    let band_len = BAND * from[1] as usize * channels;
    let across: Vec<u8> = pixels
        .chunks(band_len)
        .flat_map(|band| {
            let band = wide(band, from[1]);
            resized(&band, [band.height(), to[1]])
        })
        .collect();
    resized(&wide(&across, to[1]), to)
}

/// The samples as bytes; overshoot of a bicubic filter ends at white.
fn bytes(image: &Image<'_>) -> Vec<u8> {
    image.buffer().chunks_exact(2).map(|sample| u16::from_ne_bytes([sample[0], sample[1]]).min(255) as u8).collect()
}

/// The middle `crop` (height, width, neither larger than `size`) of an image of `size`.
fn centre_crop(pixels: &[u8], size: [u32; 2], crop: [u32; 2], channels: usize) -> Vec<u8> {
    let [top, left] = [0, 1].map(|i| crop_offset(size[i] - crop[i]) as usize);
    let stride = size[1] as usize * channels;
    let rows = pixels.chunks_exact(stride).skip(top).take(crop[0] as usize);
    rows.flat_map(|row| &row[left * channels..][..crop[1] as usize * channels]).copied().collect()
}

/// Half of the surplus, rounded half to even as Python's `round` does.
fn crop_offset(surplus: u32) -> u32 {
    let half = surplus / 2;
    half + (surplus & half & 1)
}

#[cfg(test)]
mod tests {
    use cardinal_format::Colour;
    use image::{GrayImage, RgbImage};

    use super::*;

    fn spec(colour: Colour, resize: Resize) -> Preprocess {
        let (mean, std) = ([10.0, 20.0, 30.0, 0.0], [2.0, 4.0, 8.0, 0.0]);
        Preprocess { colour, resize, filter: Filter::Bilinear, mean, std }
    }

    #[test]
    fn short_edges() {
        // Expected: int(edge * long / short) as torchvision computes it.
        let table = [
            ([375, 500], 256, [256, 341]),
            ([500, 375], 256, [341, 256]),
            ([256, 300], 256, [256, 300]),
            ([224, 224], 256, [256, 256]),
            ([1, 20_000], 1, [1, 20_000]),
            ([3, 10], 7, [7, 23]),
            ([33, 32], 36, [37, 36]),
            ([0, 5], 7, [0, 35]),
            ([1, u32::MAX], 256, [256, u32::MAX]),
        ];
        for (from, edge, to) in table {
            assert_eq!(short_edge(from, edge), to, "{from:?} to {edge}");
        }
    }

    #[test]
    fn crop_offsets() {
        // Expected: round(surplus / 2) in Python.
        for (surplus, offset) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (7, 4), (117, 58), (119, 60)] {
            assert_eq!(crop_offset(surplus), offset, "{surplus}");
        }
    }

    #[test]
    fn right_size_is_only_cropped() {
        let image = GrayImage::from_fn(5, 4, |x, y| [(10 * y + x) as u8].into()).into();
        let spec = spec(Colour::Grey, Resize::ShortEdge(4));
        // Surplus 2 down, 3 across.
        assert_eq!(prepare(&image, &spec, [2, 2]).unwrap(), [12, 13, 22, 23]);
        assert_eq!(prepare(&image, &spec, [4, 5]).unwrap(), image.as_bytes());
    }

    #[test]
    fn constant_stays_constant() {
        let pixel = [1, 128, 254];
        let image = RgbImage::from_pixel(37, 23, pixel.into()).into();
        for resize in [Resize::Exact, Resize::ShortEdge(12), Resize::ShortEdge(90)] {
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let spec = Preprocess { filter, ..spec(Colour::Rgb, resize) };
                assert_eq!(prepare(&image, &spec, [12, 11]).unwrap(), pixel.repeat(12 * 11), "{spec:?}");
            }
        }
    }

    #[test]
    fn resampling_is_that_of_pillow() {
        // Expected: Image.resize of Pillow 13.
        let image: DynamicImage = GrayImage::from_fn(9, 5, |x, y| [((3 * x * x + 37 * y) % 256) as u8].into()).into();
        let table = [
            (Filter::Bilinear, [3, 4], vec![20, 43, 98, 172, 78, 101, 152, 132, 136, 159, 156, 54]),
            (Filter::Bicubic, [3, 4], vec![15, 37, 94, 181, 76, 98, 161, 132, 137, 166, 162, 43]),
            (Filter::Bilinear, [5, 11], vec![0, 2, 8, 17, 31, 48, 70, 96, 126, 159, 192]),
            (Filter::Bicubic, [5, 11], vec![0, 2, 7, 17, 30, 48, 70, 95, 125, 161, 194]),
        ];
        for (filter, input, expected) in table {
            let spec = Preprocess { filter, ..spec(Colour::Grey, Resize::Exact) };
            let pixels = prepare(&image, &spec, input).unwrap();
            // Where a sum lies between two levels, the last bits of the filter weights decide.
            let close = pixels.iter().zip(&expected).all(|(p, e)| p.abs_diff(*e) <= 1);
            assert!(close, "{filter:?} {pixels:?} {expected:?}");
        }
    }

    #[test]
    fn sizes_that_clash_are_named() {
        let image = |width, height| DynamicImage::new_luma8(width, height);
        let table = [
            (image(40, 30), Resize::ShortEdge(24), [25, 24], "the model's input is 25×24 (height × width), but"),
            (image(40, 30), Resize::ShortEdge(24), [25, 24], "only 24×32"),
            (image(2_000, 1), Resize::ShortEdge(24), [24, 24], "1×2000 pixels (height × width)"),
            (image(2_000, 1), Resize::ShortEdge(24), [24, 24], "scaled to 24×48000"),
            (image(0, 0), Resize::Exact, [24, 24], "0×0 pixels (height × width)"),
            (image(0, 5), Resize::ShortEdge(24), [24, 24], "5×0 pixels (height × width)"),
            (image(5, 5), Resize::Exact, [0, 24], "scaled to 0×24"),
        ];
        for (image, resize, input, message) in table {
            let error = prepare(&image, &spec(Colour::Grey, resize), input).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn floats_are_planes() {
        let pixels = [10, 20, 30, 14, 16, 38];
        let rgb = normalise_chw(&pixels, &spec(Colour::Rgb, Resize::Exact), [1, 2]);
        assert_eq!(rgb, [0.0, 2.0, 0.0, -1.0, 0.0, 1.0]);
        let grey = normalise_chw(&pixels, &spec(Colour::Grey, Resize::Exact), [2, 3]);
        assert_eq!(grey, [0.0, 5.0, 10.0, 2.0, 3.0, 14.0]);
    }
}
