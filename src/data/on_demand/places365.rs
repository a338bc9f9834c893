//! Places365-Standard, small pictures: 365 kinds of scenes, JPEGs of 256 x 256.
//!
//! As its authors pack it, two tars (or their folders) and lists:
//!
//! ```text
//! data_256/a/airfield/00000001.jpg         1,803,460 for training
//! val_256/Places365_val_00000001.jpg       36,500, the test set
//! categories_places365.txt                 /a/airfield 0
//! places365_val.txt                        Places365_val_00000001.jpg 165
//! ```
//!
//! or, made easy, a folder for each class: `places365_standard/{train,val}/airfield/00000001.jpg`,
//! with classes in the order of their names. The names and places of all files take 0.25 GB of
//! memory, the headers of the 26 GB of a tar are read once, when it is opened.
//!
//! Source: Zhou et al., "Places: a 10 million image database for scene recognition" (2017) and the
//! page of the set. The published files were not at hand: the format is the one described there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pictures::{PictureSet, class, folders};
use super::root::{OnDemand, Parts, Root};
use super::store::Store;
use crate::{Error, Result};

const LISTS: &str = "filelist_places365-standard";

pub(crate) static SET: OnDemand = OnDemand {
    url: "http://places2.csail.mit.edu/download-private.html",
    roots: &[
        Root {
            folders: &[
                ("data_256", "a"),
                ("data_256_standard", "a"),
                ("places365_standard/train", "airfield"),
                ("train", "airfield"),
            ],
            archives: &["train_256_places365standard.tar"],
            optional: false,
        },
        Root {
            folders: &[
                ("val_256", ""),
                ("places365_standard/val", "airfield"),
                ("val", "airfield"),
            ],
            archives: &["val_256.tar"],
            optional: false,
        },
        Root {
            folders: &[
                (LISTS, "categories_places365.txt"),
                ("", "categories_places365.txt"),
            ],
            archives: &["filelist_places365-standard.tar"],
            optional: true,
        },
    ],
    size: [256, 256],
    open,
};

fn open(roots: &[Option<PathBuf>], size: [usize; 2]) -> Result<Parts> {
    let [Some(train), Some(val), lists] = roots else {
        return Err(Error::Argument("Places365: no folders".into()));
    };
    let (train, val) = (
        Arc::new(Store::open(train, "data_256")?),
        Arc::new(Store::open(val, "val_256")?),
    );
    let easy = folders(&val);
    if !easy.is_empty() {
        let class = |name: &str| class(&easy, name);
        return parts([train, val], &easy, size, [&class, &class]);
    }
    let lists = lists.as_ref().ok_or_else(|| {
        let what = format!("Places365 is not whole: {LISTS}.tar missing");
        Error::data(val.root(), what)
    })?;
    let categories = labelled(lists, "categories_places365.txt")?;
    let mut classes = vec![String::new(); categories.len()];
    for (name, class) in &categories {
        let own = classes.get_mut(*class).filter(|own| own.is_empty());
        let own = own.ok_or_else(|| {
            let what = format!("categories_places365.txt: class {class} of {name} is out of place");
            Error::data(lists, what)
        })?;
        *own = name.trim_start_matches('/').to_owned();
    }
    let files = labelled(lists, "places365_val.txt")?;
    let of_train = |name: &str| {
        categories
            .get(&format!("/{}", name.rsplit_once('/')?.0))
            .copied()
    };
    let of_val = |name: &str| {
        files
            .get(name)
            .copied()
            .filter(|&class| class < classes.len())
    };
    parts([train, val], &classes, size, [&of_train, &of_val])
}

/// The class of a name, if it has one.
type Class<'a> = &'a dyn Fn(&str) -> Option<usize>;

fn parts(
    [train, val]: [Arc<Store>; 2],
    classes: &[String],
    size: [usize; 2],
    [of_train, of_val]: [Class; 2],
) -> Result<Parts> {
    let set = |part, store: Arc<Store>, class: Class| {
        let name = format!("Places365 small, {part}");
        PictureSet::new(&name, store, classes.to_vec(), size, class)
    };
    Ok(Parts {
        train: Arc::new(set("training", train, of_train)?),
        test: Arc::new(set("test", val, of_val)?),
    })
}

/// The list of this name in a folder or a tar.
fn labelled(lists: &Path, file: &str) -> Result<HashMap<String, usize>> {
    let path = lists.join(file);
    let text = match lists.is_dir() {
        true => {
            let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
            crate::data::text(&path, &bytes)?.to_owned()
        }
        false => Store::open(lists, LISTS)?.text(file)?,
    };
    list(&path, &text)
}

/// Reads the lines `name number` of a list.
///
/// # Errors
/// Another line. `path` only serves the message.
pub(crate) fn list(path: &Path, text: &str) -> Result<HashMap<String, usize>> {
    let read = |(i, line): (usize, &str)| {
        let fields = line.trim().rsplit_once(' ');
        let number = fields.and_then(|(_, number)| number.parse().ok());
        let read = fields.map(|(name, _)| name.to_owned()).zip(number);
        read.ok_or_else(|| {
            let what = format!("line {}: expected `name number`, got `{line}`", i + 1);
            Error::data(path, what)
        })
    };
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(read)
        .collect()
}
