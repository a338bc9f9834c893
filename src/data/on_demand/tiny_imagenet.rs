//! Tiny ImageNet: 200 classes of ImageNet, JPEGs of 64 x 64.
//!
//! ```text
//! wnids.txt                                  the identifiers of the classes, in their order
//! words.txt                                  identifier, tab, names, of all of ImageNet
//! train/n01443537/images/n01443537_0.JPEG    500 a class
//! val/images/val_0.JPEG                      10,000, the test set
//! val/val_annotations.txt                    file, tab, identifier, and four numbers of a box
//! test/images                                without labels: not read
//! ```
//!
//! Source: the course CS231n at Stanford, which made it. The published files were not at hand: the
//! format is the one that programs which read them describe.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pictures::PictureSet;
use super::root::{OnDemand, Parts, Root};
use super::store::Store;
use crate::{Error, Result};

pub(crate) static SET: OnDemand = OnDemand {
    url: "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    roots: &[Root {
        folders: &[("tiny-imagenet-200", "wnids.txt"), ("", "wnids.txt")],
        archives: &["tiny-imagenet-200.zip"],
        optional: false,
    }],
    size: [64, 64],
    open,
};

fn open(roots: &[Option<PathBuf>], size: [usize; 2]) -> Result<Parts> {
    let [Some(root)] = roots else {
        return Err(Error::Argument("Tiny ImageNet: no folder".into()));
    };
    let store = Arc::new(Store::open(root, "tiny-imagenet-200")?);
    let ids = store.text("wnids.txt")?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let index: HashMap<&str, usize> = ids.iter().enumerate().map(|(i, &id)| (id, i)).collect();
    if index.len() != 200 || ids.len() != 200 {
        let what = format!(
            "wnids.txt: {} different identifiers, expected 200",
            index.len()
        );
        return Err(Error::data(root, what));
    }
    let classes = names(&store, &ids);
    let train = |name: &str| {
        let (id, file) = name.strip_prefix("train/")?.split_once("/images/")?;
        index.get(id).copied().filter(|_| !file.contains('/'))
    };
    let text = store.text("val/val_annotations.txt")?;
    let validation = annotations(&root.join("val/val_annotations.txt"), &text, &index)?;
    let test = |name: &str| validation.get(name.strip_prefix("val/images/")?).copied();
    let set = |part, class: &dyn Fn(&str) -> Option<usize>| {
        let name = format!("Tiny ImageNet, {part}");
        PictureSet::new(&name, store.clone(), classes.clone(), size, class)
    };
    let (train, test) = (set("training", &train)?, set("test", &test)?);
    let (labelled, there) = (validation.len(), test.labels().len());
    if labelled != there {
        let what = format!("val/images holds {there} of the {labelled} annotated pictures");
        return Err(Error::data(root, what));
    }
    Ok(Parts {
        train: Arc::new(train),
        test: Arc::new(test),
    })
}

/// The names of the classes by `words.txt`; their identifiers where that does not say.
fn names(store: &Store, ids: &[&str]) -> Vec<String> {
    let words = store.text("words.txt").unwrap_or_default();
    let words: HashMap<&str, &str> = words.lines().filter_map(|l| l.split_once('\t')).collect();
    let name = |id: &&str| words.get(id).map_or(*id, |names| names.trim()).to_owned();
    ids.iter().map(name).collect()
}

/// The class of each file that a line of `val_annotations.txt` names.
///
/// # Errors
/// A line without a class that `index` knows. `path` only serves the message.
pub(crate) fn annotations<'a>(
    path: &Path,
    text: &'a str,
    index: &HashMap<&str, usize>,
) -> Result<HashMap<&'a str, usize>> {
    let read = |(i, line): (usize, &'a str)| {
        let mut fields = line.split('\t');
        let file = fields.next();
        let class = fields.next().and_then(|id| index.get(id.trim()));
        file.zip(class.copied()).ok_or_else(|| {
            let what = format!("line {}: no class of wnids.txt in `{line}`", i + 1);
            Error::data(path, what)
        })
    };
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(read)
        .collect()
}
