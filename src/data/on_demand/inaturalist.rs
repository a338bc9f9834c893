//! iNaturalist 2021, the small training set: 50 pictures of each of 10,000 species, and 10 of each
//! to test with.
//!
//! ```text
//! train_mini/00000_Animalia_Annelida_.._Lumbricus_terrestris/*.jpg
//! val/00000_Animalia_Annelida_.._Lumbricus_terrestris/*.jpg
//! ```
//!
//! Class i is the folder of number i. The archives are published as `train_mini.tar.gz` and
//! `val.tar.gz`: unpacked, or as plain tars (`gunzip`), they are read in place. A picture's long
//! side is 500 pixels at most; it is resized without keeping its aspect, as in the papers of
//! WaveMix.
//!
//! Source: Van Horn et al., "Benchmarking representation learning for natural world image
//! collections" (2021) and the pages of the competition. The published files were not at hand: the
//! format is the one described there.

use std::path::PathBuf;
use std::sync::Arc;

use super::pictures::{PictureSet, check_numbers, class, folders};
use super::root::{OnDemand, Parts, Root};
use super::store::Store;
use crate::{Error, Result};

pub(crate) static SET: OnDemand = OnDemand {
    url: "https://github.com/visipedia/inat_comp/tree/master/2021",
    roots: &[
        Root {
            folders: &[("train_mini", "")],
            archives: &["train_mini.tar", "train_mini.tar.gz"],
            optional: false,
        },
        Root {
            folders: &[("val", "")],
            archives: &["val.tar", "val.tar.gz"],
            optional: false,
        },
    ],
    size: [256, 256],
    open,
};

fn open(roots: &[Option<PathBuf>], size: [usize; 2]) -> Result<Parts> {
    let [Some(train), Some(val)] = roots else {
        return Err(Error::Argument("iNaturalist 2021 mini: no folders".into()));
    };
    let train = Arc::new(Store::open(train, "train_mini")?);
    let val = Arc::new(Store::open(val, "val")?);
    let classes = folders(&train);
    check_numbers(&train, &classes, 0)?;
    let set = |part, store: Arc<Store>| {
        let name = format!("iNaturalist 2021 mini, {part}");
        let class = |name: &str| class(&classes, name);
        PictureSet::new(&name, store, classes.clone(), size, class)
    };
    Ok(Parts {
        train: Arc::new(set("training", train)?),
        test: Arc::new(set("test", val)?),
    })
}
