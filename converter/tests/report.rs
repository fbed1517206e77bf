//! The pages that `--report` writes.

mod browser;
mod scratch;

use std::path::{Path, PathBuf};

use browser::{browser, overflow, screenshot};
use roxmltree::{Document, Node, ParsingOptions};
use scratch::{Scratch, json};

/// What every page keeps below.
const MOST_BYTES: usize = 2_000_000;

fn asset(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "assets/fmnist", name].iter().collect();
    path.display().to_string()
}

const CHECKPOINT: &str = "resnext20_8x4d_fmnist.pth";

/// Converts the network that ships, with a page.
fn convert(scratch: &Scratch, page: &str, more: &[&str]) -> String {
    let (checkpoint, calib) = (asset(CHECKPOINT), asset("calib"));
    let args = ["convert", &checkpoint, "--calib", &calib, "--calib-images", "40", "-o", "fmnist.cardinal"];
    scratch.succeed(&[&args[..], &["--report", page], more].concat());
    read(scratch, page)
}

fn read(scratch: &Scratch, page: &str) -> String {
    std::fs::read_to_string(scratch.path(page)).expect("the page is written")
}

/// The page as the tree that browsers see. Elements that have no end in HTML get one.
fn tree(page: &str) -> String {
    let mut xml = String::new();
    let mut rest = page;
    while let Some(at) = ["<meta ", "<img "].iter().filter_map(|tag| rest.find(tag)).min() {
        let end = at + rest[at..].find('>').expect("every tag ends");
        xml += &rest[..end];
        xml += "/>";
        rest = &rest[end + 1..];
    }
    xml + rest
}

fn parse(xml: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).expect("well-formed")
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.is_text().then(|| node.text()).flatten()).collect()
}

fn section<'a>(page: &'a Document<'a>, id: &str) -> Node<'a, 'a> {
    let section = page.descendants().find(|node| node.attribute("id") == Some(id));
    section.unwrap_or_else(|| panic!("no section {id}"))
}

/// What holds for every page: it is small, loads nothing and runs nothing, and its pictures have words.
fn check(page: &str) {
    assert!(page.len() < MOST_BYTES, "{} bytes", page.len());
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"));
    let xml = tree(page);
    let document = parse(&xml);
    let mut ids = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        let tag = node.tag_name().name();
        assert!(!["script", "link", "iframe", "object", "embed", "base", "form"].contains(&tag), "<{tag}>");
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            match name {
                "src" => assert!(value.starts_with("data:image/"), "{value}"),
                "href" if value.starts_with('#') => assert!(tag == "a"),
                "href" => {
                    let sources = ["https://arxiv.org/abs/", "https://doi.org/"];
                    assert!(tag == "a" && sources.iter().any(|source| value.starts_with(source)), "{value}");
                }
                "id" => ids.push(value.to_owned()),
                _ => assert!(
                    !name.starts_with("on") && !value.contains("://") && !value.contains("NaN"),
                    "{name}={value}"
                ),
            }
        }
        match tag {
            "svg" => assert!(node.attribute("aria-hidden").is_some() || node.attribute("aria-label").is_some()),
            "img" => assert!(!node.attribute("alt").unwrap_or_default().is_empty()),
            "style" => assert!(!text(node).contains("url(") && !text(node).contains("@import")),
            _ => {}
        }
    }
    let links = document.descendants().filter_map(|node| node.attribute("href")?.strip_prefix('#'));
    assert!(links.clone().count() > 3 && links.clone().all(|link| ids.contains(&link.to_owned())));
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "two elements have one id");
    assert!(!page.contains('\u{FFFD}'));
}

#[test]
fn a_conversion() {
    let scratch = Scratch::new();
    let page = convert(&scratch, "auto.html", &[]);
    check(&page);
    let xml = tree(&page);
    let document = parse(&xml);
    let inspected = json(&scratch.succeed(&["inspect", "fmnist.cardinal", "--json"]));
    let layers = inspected["layers"].as_array().expect("layers");
    for (id, kinds) in [
        ("layers", &["convolution", "global average pool"][..]),
        ("activations", &["convolution", "global average pool"]),
        ("weights", &["convolution", "linear"]),
        ("memory", &["convolution", "global average pool", "linear"]),
        ("time", &["convolution", "global average pool", "linear"]),
    ] {
        let section = section(&document, id);
        let names: Vec<String> =
            section.descendants().filter(|node| node.has_tag_name("code")).map(|node| text(node)).collect();
        for layer in layers.iter().filter(|layer| kinds.contains(&layer["kind"].as_str().expect("a kind"))) {
            let name = layer["name"].as_str().expect("a name");
            assert!(names.iter().any(|other| other == name), "{id}: {name}");
        }
    }
    let words = text(document.root_element());
    let sha256 = inspected["provenance"]["source"]["sha256"].as_str().expect("a digest");
    for word in [sha256, CHECKPOINT, "fmnist.cardinal", "40 images, seed 0", "mse+rounding", "kept", "Costly"] {
        assert!(words.contains(word), "{word}");
    }
    let pieces = text(section(&document, "memory"));
    assert!(pieces.contains(&cardinal_converter::units::count(inspected["arena_bytes"].as_u64().expect("bytes"))));
}

/// The page without the times, which nothing repeats.
fn timeless(page: &str) -> String {
    let (before, rest) = page.split_once("<section id=\"time\">").expect("times");
    let (_, after) = rest.split_once("</section>").expect("an end");
    format!("{before}{after}")
}

#[test]
fn equal_inputs_give_equal_pages() {
    let scratch = Scratch::new();
    let method = ["--method", "mse"];
    let first = convert(&scratch, "first.html", &method);
    let second = convert(&scratch, "second.html", &[&method[..], &["--threads", "3"]].concat());
    assert!(timeless(&first) == timeless(&second));
    assert!(first.contains("--method auto") && !first.contains("Costly layers"));
    check(&first);
}

/// A network with five labelled colour images a class, and labels that are markup.
fn labelled(scratch: &Scratch) {
    let settings = std::fs::read_to_string(scratch.path("tiny.toml")).expect("settings");
    let kept: Vec<&str> = settings.lines().filter(|line| !line.starts_with("labels")).collect();
    let labels = r#"labels = ["<b>\"x\"&", "</section>", "'<script>'", "d]]>", "<!--"]"#;
    std::fs::write(scratch.path("tiny.toml"), format!("{labels}\n{}\n", kept.join("\n"))).expect("written");
    scratch.succeed(&["convert", "tiny.pth", "--calib", "images", "--method", "min-max"]);
    std::fs::write(scratch.path("list.txt"), (0..40).map(|i| format!("{i}.png {}\n", i % 5)).collect::<String>())
        .expect("written");
    std::fs::create_dir(scratch.path("val")).expect("a folder");
    for i in 0..40u32 {
        let shade = |x: u32| ((i * 91 + x * (i + 3)) % 256) as u8;
        let image = image::RgbImage::from_fn(20, 18, |x, y| image::Rgb([shade(9 * x), shade(x * y), shade(13 * y)]));
        image.save(scratch.path("val").join(format!("{i}.png"))).expect("a picture");
    }
}

const PARITY: [&str; 8] =
    ["parity", "tiny.cardinal", "--reference", "tiny.pth", "--data", "val", "--annotations", "list.txt"];

#[test]
fn names_out_of_files_are_text() {
    let scratch = Scratch::new();
    labelled(&scratch);
    scratch.succeed(&[&PARITY[..], &["--report", "<i>&.html"]].concat());
    let page = read(&scratch, "<i>&.html");
    check(&page);
    assert!(!page.contains("<script") && !page.contains("<b>"));
    let xml = tree(&page);
    let document = parse(&xml);
    let words = text(document.root_element());
    let found = json(&scratch.succeed(&[&PARITY[..], &["--json"]].concat()));
    let label = found["largest_probability_change"]["label"].as_str().expect("a label");
    assert!(words.contains(label), "{label}");
    for changed in found["changed"].as_array().expect("images") {
        assert!(words.contains(changed["float"]["label"].as_str().expect("a label")));
    }
    std::fs::copy(scratch.path("tiny.pth"), scratch.path("<u>\u{7}&.pth")).expect("copied");
    std::fs::copy(scratch.path("tiny.toml"), scratch.path("<u>\u{7}&.toml")).expect("copied");
    let named = ["convert", "<u>\u{7}&.pth", "--calib", "images", "--method", "min-max", "--report", "named.html"];
    scratch.succeed(&named);
    let page = read(&scratch, "named.html");
    let xml = tree(&page);
    assert!(text(parse(&xml).root_element()).contains("<u>\u{FFFD}&.pth"));
    assert!(!page.contains('\u{7}'));
}

/// Grey tiles of 28×28.
#[test]
fn a_comparison() {
    let scratch = Scratch::new();
    convert(&scratch, "convert.html", &["--method", "mse"]);
    let (reference, data) = (asset(CHECKPOINT), asset("test"));
    let parity = ["parity", "fmnist.cardinal", "--reference", &reference, "--data", &data];
    let both = ["--report", "parity.html", "--junit", "parity.xml", "--json", "--max-drop", "5", "--min-sqnr", "10"];
    let found = json(&scratch.succeed(&[&parity[..], &both].concat()));
    assert!(scratch.path("parity.xml").exists());
    let page = read(&scratch, "parity.html");
    check(&page);
    let xml = tree(&page);
    let document = parse(&xml);
    let words = text(document.root_element());
    assert!(words.contains("✓ Passed") && words.contains("2,000 images") && !words.contains("✗"), "{words}");
    let changed = found["changed"].as_array().expect("images");
    let shots = section(&document, "changed");
    let pictures = shots.descendants().filter(|node| node.has_tag_name("img")).count();
    assert!(!changed.is_empty() && pictures == changed.len().min(60), "{pictures} of {}", changed.len());
    for image in changed {
        assert!(text(shots).contains(image["image"].as_str().expect("a name")));
    }
    let layers = section(&document, "layers");
    for layer in found["layers"]["compared"].as_array().expect("layers") {
        assert!(text(layers).contains(layer["name"].as_str().expect("a name")));
    }
    scratch.succeed(&[&parity[..], &["--report", "again.html", "--threads", "3", "--layer-images", "0"]].concat());
    let again = read(&scratch, "again.html");
    check(&again);
    assert!(again.contains("No limits were set") && !again.contains("id=\"layers\""));
}

#[test]
fn a_crossed_gate_is_on_the_page() {
    let scratch = Scratch::new();
    labelled(&scratch);
    let gate = ["--min-sqnr", "90", "--min-agreement", "0", "--report", "crossed.html"];
    scratch.cardinal(&[&PARITY[..], &gate].concat()).assert().code(1);
    let page = read(&scratch, "crossed.html");
    check(&page);
    for words in ["✗ Crossed", "✗ crossed", "✓ kept", "--min-sqnr 90"] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn what_cannot_be_written_is_said_first() {
    let scratch = Scratch::new();
    scratch.model();
    let before = scratch.files();
    let convert = ["convert", "tiny.pth", "--calib", "images", "-o", "new.cardinal", "--report"];
    let parity = ["parity", "tiny.cardinal", "--reference", "tiny.pth", "--data", "images", "--report"];
    for (report, says) in [
        ("no/such.html", "no: "),
        ("tiny.toml/such.html", "tiny.toml: "),
        ("images", "images: is a folder"),
        ("images/../tiny.pth", "tiny.pth: would be overwritten"),
    ] {
        for command in [&convert[..], &parity] {
            let message = scratch.fail(&[command, &[report]].concat());
            assert!(message.starts_with("error: ") && message.contains(says), "{report}: {message}");
        }
    }
    let message = scratch.fail(&[&convert[..], &["new.cardinal"]].concat());
    assert!(message.contains("new.cardinal: would be overwritten"), "{message}");
    let message = scratch.fail(&[&parity[..], &["a.xml", "--junit", "./a.xml"]].concat());
    assert!(message.contains("a.xml: would be overwritten"), "{message}");
    assert_eq!(scratch.files(), before, "a failed command left a file");
    assert!(Path::new(&asset(CHECKPOINT)).exists());
}

#[test]
fn pages_in_light_and_dark_on_wide_and_narrow_windows() {
    let Some(browser) = browser() else { return };
    let scratch = Scratch::new();
    scratch.succeed(&["convert", "tiny.pth", "--calib", "images", "--report", "convert.html"]);
    let parity =
        ["parity", "tiny.cardinal", "--reference", "tiny.pth", "--data", "images", "--allow-calibration-images"];
    scratch.succeed(&[&parity[..], &["--max-drop", "100", "--report", "parity.html"]].concat());
    for page in ["convert.html", "parity.html"] {
        let page = scratch.path(page);
        for width in [420, 1280] {
            let shades = [false, true].map(|dark| {
                let shot = screenshot(browser, &page, width, dark);
                assert_eq!(shot.width(), width);
                let paper = *shot.get_pixel(1, 1);
                let inked = shot.pixels().filter(|pixel| **pixel != paper).count() as f64 / shot.pixels().len() as f64;
                assert!(inked > 0.02, "{} is blank", page.display());
                // The margin is not written on.
                assert!(shot.rows().all(|mut row| row.next_back() == Some(&paper)), "{}", page.display());
                paper.0.map(u32::from).iter().sum::<u32>() / 3
            });
            assert!(shades[0] > 200 && shades[1] < 60, "paper is {shades:?} in light and dark");
        }
        assert_eq!(overflow(browser, &page, 420), 0, "{} has to be moved sideways", page.display());
    }
}
