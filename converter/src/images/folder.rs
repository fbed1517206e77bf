//! Which of the known layouts a folder has.

use std::fs;
use std::path::{Path, PathBuf};

use super::ImageError;

/// A folder's image files, sorted.
#[derive(Debug, PartialEq)]
pub(super) enum Layout {
    /// Class names, each with the images below its folder.
    Classes(Vec<(String, Vec<PathBuf>)>),
    /// Class names, each with its mosaic, by label.
    Mosaics(Vec<(String, PathBuf)>),
    /// Images without labels.
    Flat(Vec<PathBuf>),
}

/// Finds out; reads folders only, no files. Names that start with a dot are passed over.
pub(super) fn scan(dir: &Path) -> Result<Layout, ImageError> {
    let Entries { folders, images } = entries(dir)?;
    let mut classes = Vec::with_capacity(folders.len());
    for folder in &folders {
        classes.push((file_name(folder), images_below(folder)?));
    }
    if classes.iter().all(|(_, images)| images.is_empty()) {
        return if images.is_empty() { Err(ImageError::NoImages { path: dir.into() }) } else { loose(dir, images) };
    }
    if let Some(path) = images.into_iter().next() {
        return Err(ImageError::Mixed { path, beside: "class folders" });
    }
    if let Some(empty) = classes.iter().position(|(_, images)| images.is_empty()) {
        return Err(ImageError::EmptyClass { path: folders[empty].clone() });
    }
    Ok(Layout::Classes(classes))
}

/// The layout of a folder that itself holds images: mosaics if all are named so.
///
/// Names alone can mislead, so a complete numbering beside other images is an error rather than a guess.
fn loose(dir: &Path, images: Vec<PathBuf>) -> Result<Layout, ImageError> {
    let mut mosaics: Vec<(usize, String, PathBuf)> = Vec::new();
    let mut other = None;
    for path in &images {
        match mosaic_name(path) {
            Some((label, name)) => mosaics.push((label, name, path.clone())),
            None => other = other.or(Some(path)),
        }
    }
    mosaics.sort();
    let wrong = mosaics.iter().enumerate().find(|(expected, (label, ..))| expected != label);
    match (wrong, other) {
        _ if mosaics.is_empty() => Ok(Layout::Flat(images)),
        (Some(_), Some(_)) => Ok(Layout::Flat(images)),
        (Some((expected, &(label, ..))), None) => {
            let (label, problem) = if label < expected { (label, "there twice") } else { (expected, "missing") };
            Err(ImageError::MosaicLabels { path: dir.into(), label, problem })
        }
        (None, Some(other)) => Err(ImageError::Mixed { path: other.clone(), beside: "mosaics" }),
        (None, None) => Ok(Layout::Mosaics(mosaics.into_iter().map(|(_, name, path)| (name, path)).collect())),
    }
}

/// Label and class name of a file named `<label>_<name>.png` or `.webp`.
fn mosaic_name(path: &Path) -> Option<(usize, String)> {
    if !has_extension(path, &["png", "webp"]) {
        return None;
    }
    let (label, name) = path.file_stem()?.to_str()?.split_once('_')?;
    let digits = !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    (digits && !name.is_empty()).then_some(())?;
    Some((label.parse().ok()?, name.to_owned()))
}

/// All images below a folder, sorted by path.
fn images_below(dir: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let Entries { folders, mut images } = entries(dir)?;
    for folder in folders {
        images.append(&mut images_below(&folder)?);
    }
    images.sort();
    Ok(images)
}

/// What lies directly in a folder, sorted by name, bytewise.
struct Entries {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
}

fn entries(dir: &Path) -> Result<Entries, ImageError> {
    let (mut folders, mut images) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(ImageError::io(dir))? {
        let entry = entry.map_err(ImageError::io(dir))?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Follows links, as data folders are often put together from them.
        if path.is_dir() {
            folders.push(path);
        } else if has_extension(&path, &["jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm"]) {
            images.push(path);
        }
    }
    folders.sort();
    images.sort();
    Ok(Entries { folders, images })
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|have| extensions.iter().any(|want| have.eq_ignore_ascii_case(want)))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans a folder with these files, all empty (a name that ends in `/` is a folder); paths come back relative.
    fn scanned(files: &[&str]) -> Result<Layout, String> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(if file.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
            if !file.ends_with('/') {
                fs::write(path, "").unwrap();
            }
        }
        let relative = |path: PathBuf| path.strip_prefix(dir.path()).unwrap().to_owned();
        let layout = scan(dir.path()).map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))?;
        Ok(match layout {
            Layout::Classes(classes) => {
                let each = |(name, images): (String, Vec<PathBuf>)| (name, images.into_iter().map(relative).collect());
                Layout::Classes(classes.into_iter().map(each).collect())
            }
            Layout::Mosaics(mosaics) => {
                Layout::Mosaics(mosaics.into_iter().map(|(name, path)| (name, relative(path))).collect())
            }
            Layout::Flat(images) => Layout::Flat(images.into_iter().map(relative).collect()),
        })
    }

    #[test]
    fn class_folders() {
        let layout =
            scanned(&["b/2.JPG", "b/10.jpeg", "B/x.webp", "a/deep/er/1.png", "a/z.bmp", "a/note.txt", ".git/x.png"]);
        let expected =
            [("B", vec!["B/x.webp"]), ("a", vec!["a/deep/er/1.png", "a/z.bmp"]), ("b", vec!["b/10.jpeg", "b/2.JPG"])];
        let each = |(name, images): (&str, Vec<&str>)| (name.to_owned(), images.iter().map(PathBuf::from).collect());
        assert_eq!(layout.unwrap(), Layout::Classes(expected.into_iter().map(each).collect()));
    }

    #[test]
    fn mosaics() {
        let names = ["10_k.png", "0_air_plane.webp", "1_b.PNG", "2_c.webp"];
        assert_eq!(scanned(&names).unwrap_err(), message("DIR", 3, "missing"));
        let all: Vec<String> = (0..11).map(|i| format!("{i}_n{i}.webp")).collect();
        let layout = scanned(&all.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let expected = (0..11).map(|i| (format!("n{i}"), format!("{i}_n{i}.webp").into())).collect();
        assert_eq!(layout, Layout::Mosaics(expected));
        let layout = scanned(&["0_air_plane.webp", "README.md"]).unwrap();
        assert_eq!(layout, Layout::Mosaics(vec![("air_plane".into(), "0_air_plane.webp".into())]));
    }

    fn message(dir: &str, label: usize, problem: &'static str) -> String {
        ImageError::MosaicLabels { path: dir.into(), label, problem }.to_string()
    }

    #[test]
    fn mosaic_numbering_is_checked() {
        assert_eq!(scanned(&["0_a.png", "0_b.png", "1_c.png"]).unwrap_err(), message("DIR", 0, "there twice"));
        assert_eq!(scanned(&["1_a.png", "2_b.png"]).unwrap_err(), message("DIR", 0, "missing"));
        assert_eq!(scanned(&["0_a.png", "01_b.png", "1_c.png"]).unwrap_err(), message("DIR", 1, "there twice"));
    }

    #[test]
    fn plain_images() {
        let table: [&[&str]; 4] = [
            &["a.jpg", "b.png", "empty/"],
            &["2024_01.jpg", "2024_02.jpg"],
            &["12_a.png", "photo.png"],
            &["99999999999999999999999_x.png", "_x.png", "1_.png", "0.png"],
        ];
        for names in table {
            let mut expected: Vec<PathBuf> =
                names.iter().filter(|name| !name.ends_with('/')).map(PathBuf::from).collect();
            expected.sort();
            assert_eq!(scanned(names).unwrap(), Layout::Flat(expected));
        }
    }

    #[test]
    fn unclear_folders_are_errors() {
        let table: [(&[&str], &str); 5] = [
            (&[], "DIR: no images here"),
            (&["a/", "b/notes.txt", "c.txt", "._c.jpg"], "DIR: no images here"),
            (&["a/1.png", "b/c/"], "DIR/b: class folder without images"),
            (&["a/1.png", "x.png"], "DIR/x.png: lies beside class folders"),
            (&["0_a.png", "1_b.png", "preview.png"], "DIR/preview.png: lies beside mosaics"),
        ];
        for (names, message) in table {
            let error = scanned(names).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        let error = scan(Path::new("no/such")).unwrap_err().to_string();
        assert!(error.starts_with("no/such: "), "{error}");
    }
}
