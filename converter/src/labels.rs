//! The classes of ImageNet-1k (ILSVRC 2012), which most published networks were trained on.
//!
//! Identifiers are WordNet's (`n01440764`), in their order, which is the order of the logits of every network in
//! torchvision, timm and mmpretrain. Names are torchvision's short ones, all different.

const IMAGENET_1K: &str = include_str!("../assets/imagenet1k.txt");

/// WordNet identifier and name of each class, in the order of the logits.
pub fn imagenet_1k() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMAGENET_1K.lines().filter_map(|line| line.split_once(' '))
}

/// Names alone, as a file's labels.
pub fn imagenet_1k_names() -> Vec<String> {
    imagenet_1k().map(|(_, name)| name.to_owned()).collect()
}

/// The class with this WordNet identifier or name.
pub fn imagenet_1k_class(wanted: &str) -> Option<usize> {
    imagenet_1k().position(|(wnid, name)| wanted == wnid || wanted == name)
}

/// Whether these are the thousand classes in their order, each by its WordNet identifier or its name.
pub fn is_imagenet_1k<'a>(classes: impl ExactSizeIterator<Item = &'a str>) -> bool {
    let known = |(class, (wnid, name))| class == wnid || class == name;
    classes.len() == 1000 && classes.zip(imagenet_1k()).all(known)
}

/// Labels of a network that has none of its own: a folder's classes, if there are as many as the network has. A network of
/// 1,000 classes gets ImageNet-1k's names, unless the folder has 1,000 classes that are others.
pub fn by_default(classes: usize, folders: &[String]) -> Vec<String> {
    let imagenet = folders.len() != 1000 || is_imagenet_1k(folders.iter().map(String::as_str));
    if classes == 1000 && imagenet {
        imagenet_1k_names()
    } else if folders.len() == classes {
        folders.to_vec()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_thousand_different_classes_in_wordnets_order() {
        let (wnids, names): (Vec<_>, BTreeSet<_>) = imagenet_1k().unzip();
        assert!(wnids.is_sorted());
        assert_eq!((wnids.len(), names.len()), (1000, 1000));
        assert_eq!(imagenet_1k().nth(281), Some(("n02123045", "tabby")));
        assert_eq!(imagenet_1k_class("n02123045"), Some(281));
        assert_eq!(imagenet_1k_class("toilet tissue"), Some(999));
        assert_eq!(imagenet_1k_class("n00000000"), None);
        assert!(is_imagenet_1k(wnids.into_iter()) && is_imagenet_1k(imagenet_1k_names().iter().map(String::as_str)));
        assert!(!is_imagenet_1k(["tench"].into_iter()) && !is_imagenet_1k(["tench"; 1000].into_iter()));
    }
}
