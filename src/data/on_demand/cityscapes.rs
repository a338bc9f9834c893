//! Cityscapes: street scenes of 1024 x 2048 with a class for each pixel.
//!
//! ```text
//! leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png       2,975 images for training
//! leftImg8bit/val/..                                                  500, the test set
//! gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png        their maps of ids
//! ```
//!
//! as folders or in the zips `leftImg8bit_trainvaltest.zip` and `gtFine_trainvaltest.zip`. The
//! labels of the official test images are dummies: these are not read.
//!
//! A target is i64 `[h, w]`: one of the 19 classes that are evaluated, the *train ids*, or
//! 255 for all other ids, a loss's `ignore_index`. Images are resized as Pillow's bilinear
//! filter does, maps take the nearest pixel. The papers of WaveMix use 256 x 512, and count the
//! ignored pixels as a class of their own.
//!
//! Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding" (2016) and
//! the labels of its scripts. The published files were not at hand: the format is the one described
//! there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::root::{OnDemand, Parts, Root};
use super::store::Store;
use crate::data::dataset::{Dataset, Sample, hash, hash_contents};
use crate::data::picture::picture;
use crate::data::resize::{check_size, nearest};
use crate::{Error, Result, Tensor};

/// The target of a pixel that is not evaluated.
const IGNORED: i64 = 255;

/// The classes that are evaluated, in the order of their train ids, with their ids in the files.
const CLASSES: [(&str, u8); 19] = [
    ("road", 7),
    ("sidewalk", 8),
    ("building", 11),
    ("wall", 12),
    ("fence", 13),
    ("pole", 17),
    ("traffic light", 19),
    ("traffic sign", 20),
    ("vegetation", 21),
    ("terrain", 22),
    ("sky", 23),
    ("person", 24),
    ("rider", 25),
    ("car", 26),
    ("truck", 27),
    ("bus", 28),
    ("train", 31),
    ("motorcycle", 32),
    ("bicycle", 33),
];

const fn root(folders: &'static [(&str, &str)], archives: &'static [&str]) -> Root {
    Root {
        folders,
        archives,
        optional: false,
    }
}

pub(crate) static SET: OnDemand = OnDemand {
    url: "https://www.cityscapes-dataset.com",
    roots: &[
        root(
            &[("leftImg8bit", "train")],
            &["leftImg8bit_trainvaltest.zip"],
        ),
        root(&[("gtFine", "train")], &["gtFine_trainvaltest.zip"]),
    ],
    size: [256, 512],
    open,
};

fn open(roots: &[Option<PathBuf>], size: [usize; 2]) -> Result<Parts> {
    let [Some(images), Some(maps)] = roots else {
        return Err(Error::Argument("Cityscapes: no folders".into()));
    };
    let images = Arc::new(Store::open(images, "leftImg8bit")?);
    let maps = Arc::new(Store::open(maps, "gtFine")?);
    let numbers: HashMap<&str, usize> = maps.names().enumerate().map(|(i, n)| (n, i)).collect();
    let part = |folder: &str, part: &str| {
        let mut pairs = Vec::new();
        for (i, name) in images.names().enumerate() {
            let own = name
                .strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'));
            let Some(stem) = name.strip_suffix("_leftImg8bit.png").filter(|_| own) else {
                continue;
            };
            let map = format!("{stem}_gtFine_labelIds.png");
            let number = numbers.get(&*map).ok_or_else(|| {
                let of = images.path(i);
                Error::data(
                    maps.root(),
                    format!("holds no {map}, the map of {}", of.display()),
                )
            })?;
            pairs.push([i, *number]);
        }
        Scenes::new(part, [&images, &maps], pairs, size)
    };
    Ok(Parts {
        train: Arc::new(part("train", "training")?),
        test: Arc::new(part("val", "test")?),
    })
}

/// Images and their maps.
struct Scenes {
    name: String,
    images: Arc<Store>,
    maps: Arc<Store>,
    /// The number of each image, and that of its map.
    pairs: Vec<[usize; 2]>,
    classes: Vec<String>,
    /// The train id of each id.
    train_ids: [i64; 256],
    size: [usize; 2],
}

impl Scenes {
    fn new(
        part: &str,
        [images, maps]: [&Arc<Store>; 2],
        pairs: Vec<[usize; 2]>,
        size: [usize; 2],
    ) -> Result<Scenes> {
        check_size(size)?;
        if pairs.is_empty() {
            return Err(Error::data(
                images.root(),
                format!("holds no {part} images"),
            ));
        }
        let mut train_ids = [IGNORED; 256];
        for (train_id, (_, id)) in CLASSES.iter().enumerate() {
            train_ids[usize::from(*id)] = train_id as i64;
        }
        Ok(Scenes {
            name: format!("Cityscapes, {part}"),
            images: images.clone(),
            maps: maps.clone(),
            pairs,
            classes: CLASSES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            train_ids,
            size,
        })
    }
}

impl Dataset for Scenes {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The image as u8 `[h, w, 3]`, the train id of each pixel as i64 `[h, w]`.
    fn sample(&self, index: usize) -> Result<Sample> {
        let [image, map] = self.pairs[index];
        let at = self.maps.path(map);
        let image = picture(&self.images.path(image), &self.images.read(image)?)?;
        let map = picture(&at, &self.maps.read(map)?)?;
        let [h, w, c] = map.size;
        if c != 1 || image.size[..2] != [h, w] {
            let ([rows, columns, _], of) = (image.size, &image.name);
            let what =
                format!("is {h}x{w}x{c}, not one id for each of {rows}x{columns} pixels of {of}");
            return Err(Error::data(at, what));
        }
        let input = image.into_rgb(self.size)?;
        let ids = nearest(&map.pixels, [h, w], self.size);
        let targets = ids
            .iter()
            .map(|&id| self.train_ids[usize::from(id)])
            .collect();
        Ok(Sample {
            input,
            target: Tensor::from_vec(targets, self.size)?,
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn ignore_index(&self) -> Option<i64> {
        Some(IGNORED)
    }

    /// The number of images, a hash of their names, and one of some images and label maps.
    fn fingerprint(&self) -> String {
        let names = self.pairs.iter().map(|[image, _]| self.images.name(*image));
        let names = hash(names.flat_map(|name| name.bytes().map(u64::from)));
        let (n, [h, w]) = (self.len(), self.size);
        let contents = hash_contents(n, |i| {
            let [image, map] = self.pairs[i];
            Ok([self.images.read(image)?, self.maps.read(map)?].concat())
        });
        format!(
            "{}: {n} scenes as {h}x{w}, names {names:016x}, contents {contents:016x}",
            self.name
        )
    }
}
