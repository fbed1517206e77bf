//! What the weights cannot tell, and that a file's record of it reads the same network again.

use cardinal_converter::engine::Network;
use cardinal_converter::import::{self, ColourSetting, Imported, Settings};

const TINY: &[u8] = include_bytes!("../../tests/fixtures/tiny_zip.pth");
const SETTINGS: &str = include_str!("../../tests/fixtures/tiny.toml");

fn settings() -> Settings {
    Settings::parse(SETTINGS, "tiny.toml".as_ref()).expect("valid settings")
}

fn import(settings: &Settings) -> Imported {
    import::from_bytes(TINY, "tiny.pth", settings).expect("a ResNeXt")
}

/// A network that was trained with blue first sees a photograph as one with red first sees it mirrored.
#[test]
fn blue_first_is_turned_to_red_first() {
    let rgb = import(&settings());
    let reversed = |values: &Option<Vec<f32>>| values.iter().flatten().rev().copied().collect();
    let (mean, std) = (Some(reversed(&settings().mean)), Some(reversed(&settings().std)));
    let bgr = import(&Settings { colour: Some(ColourSetting::Bgr), mean, std, ..settings() });
    assert_eq!(bgr.preprocess, rgb.preprocess);
    assert_eq!(bgr.settings.mean, Some(reversed(&settings().mean)));

    let image = rgb.graph.image;
    let pixels: Vec<u8> = (0..image.volume()).map(|i| (i * 37 % 251) as u8).collect();
    let mirrored: Vec<u8> = pixels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    // Mean and deviation go with the colours, so give both networks the same.
    let same = |colour| {
        let (mean, std) = (Some(vec![100.0; 3]), Some(vec![50.0; 3]));
        import(&Settings { colour: Some(colour), mean, std, ..settings() })
    };
    let logits = |network: &Imported, pixels: &[u8]| {
        Network::float32(network).expect("tract runs it").runner().logits(pixels).expect("it runs")
    };
    let (rgb, bgr) = (logits(&same(ColourSetting::Rgb), &pixels), logits(&same(ColourSetting::Bgr), &mirrored));
    assert!(rgb.iter().zip(&bgr).all(|(a, b)| (a - b).abs() < 1e-5), "{rgb:?} {bgr:?}");
}

#[test]
fn recorded_settings_read_the_same_network() {
    for colour in [ColourSetting::Rgb, ColourSetting::Bgr] {
        let first = import(&Settings { colour: Some(colour), mean: Some(vec![1.0, 2.0, 3.0]), ..settings() });
        let again = import(&first.settings);
        assert_eq!((&first.graph, first.preprocess), (&again.graph, again.preprocess));
        assert_eq!(first.settings, again.settings);
    }
}
