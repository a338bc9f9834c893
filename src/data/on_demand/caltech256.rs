//! Caltech-256: 30,607 pictures of any size, of 256 kinds of things and of none of them.
//!
//! ```text
//! 256_ObjectCategories/001.ak47/001_0001.jpg .. 256_ObjectCategories/257.clutter/257_0827.jpg
//! ```
//!
//! Class i is the folder of number i + 1; what lies deeper, or is no picture, is not read. The set
//! has no official parts, and the papers of WaveMix do not state theirs: a fifth of each class,
//! drawn with seed 0, is the test set here.
//!
//! Source: Griffin, Holub and Perona, "Caltech-256 object category dataset" (2007). The published
//! files were not at hand: the format is the one described there.

use std::path::PathBuf;
use std::sync::Arc;

use super::pictures::{PictureSet, check_numbers, class, folders};
use super::root::{OnDemand, Parts, Root};
use super::store::Store;
use crate::data::subset::{Subset, stratified};
use crate::{Error, Result, Rng};

pub(crate) static SET: OnDemand = OnDemand {
    url: "https://data.caltech.edu/records/nyy15-4j048",
    roots: &[Root {
        folders: &[("256_ObjectCategories", "001.ak47"), ("", "001.ak47")],
        archives: &["256_ObjectCategories.tar"],
        optional: false,
    }],
    size: [256, 256],
    open,
};

/// The share of each class that is the test set.
const TEST: f64 = 0.2;

fn open(roots: &[Option<PathBuf>], size: [usize; 2]) -> Result<Parts> {
    let [Some(root)] = roots else {
        return Err(Error::Argument("Caltech-256: no folder".into()));
    };
    let store = Arc::new(Store::open(root, "256_ObjectCategories")?);
    let folders = folders(&store);
    check_numbers(&store, &folders, 1)?;
    let name = |folder: &String| {
        folder
            .split_once('.')
            .map_or("", |(_, name)| name)
            .to_owned()
    };
    let classes = folders.iter().map(name).collect();
    let class = |name: &str| class(&folders, name);
    let set = PictureSet::new("Caltech-256", store, classes, size, class)?;
    let (train, test) = stratified(&set.labels(), folders.len(), TEST, &mut Rng::new(0));
    let set = Arc::new(set);
    Ok(Parts {
        train: Arc::new(Subset::new(set.clone(), train)?),
        test: Arc::new(Subset::new(set, test)?),
    })
}
