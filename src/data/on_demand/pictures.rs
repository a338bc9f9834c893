//! The pictures of a store, decoded when they are asked for.

use std::path::Path;
use std::sync::Arc;

use super::store::Store;
use crate::data::dataset::{Dataset, Sample, hash, hash_contents};
use crate::data::picture::picture;
use crate::data::preparation::Preparation;
use crate::data::resize::check_size;
use crate::{Error, Result, Tensor};

/// Whether the ending of a name is that of a PNG or JPEG picture.
pub(super) fn is_picture(name: &str) -> bool {
    let ending = Path::new(name).extension().unwrap_or_default();
    let known = ["jpg", "jpeg", "png"];
    known.iter().any(|own| ending.eq_ignore_ascii_case(own))
}

/// The folder of a picture that lies directly in one: `folder` of `folder/1.jpg`.
fn folder(name: &str) -> Option<&str> {
    let (folder, file) = name.split_once('/')?;
    (!file.contains('/') && is_picture(file)).then_some(folder)
}

/// The folders that hold pictures directly, in the order of their names.
pub(super) fn folders(store: &Store) -> Vec<String> {
    let mut folders: Vec<&str> = store.names().filter_map(folder).collect();
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter().map(str::to_owned).collect()
}

/// The place among `folders`, which are in order, of the one that a picture lies directly in.
pub(super) fn class(folders: &[String], name: &str) -> Option<usize> {
    let own = folder(name)?;
    folders
        .binary_search_by(|folder| folder.as_str().cmp(own))
        .ok()
}

/// The numbers that folders of classes begin with, `001.ak47` or `00000_Animalia_..`, which have to
/// be the numbers from `first` on.
///
/// # Errors
/// A folder without a number, or with another one. `store` only serves the message.
pub(super) fn check_numbers(store: &Store, folders: &[String], first: usize) -> Result<()> {
    for (i, name) in folders.iter().enumerate() {
        let digits = name.find(|c: char| !c.is_ascii_digit());
        let number = name[..digits.unwrap_or(name.len())].parse::<usize>();
        if number != Ok(first + i) {
            let what = format!("class {} is missing: `{name}` stands there", first + i);
            return Err(Error::data(store.root(), what));
        }
    }
    Ok(())
}

/// Pictures with their classes, as bytes `[h, w, 3]` of one size.
pub(super) struct PictureSet {
    name: String,
    store: Arc<Store>,
    /// The number of each file in the store, and its class.
    samples: Vec<(usize, i64)>,
    classes: Vec<String>,
    size: [usize; 2],
}

impl PictureSet {
    /// The pictures among `store`'s files that `class` has a class for.
    ///
    /// # Errors
    /// A class without a picture; a size of 0.
    pub fn new(
        name: &str,
        store: Arc<Store>,
        classes: Vec<String>,
        size: [usize; 2],
        class: impl Fn(&str) -> Option<usize>,
    ) -> Result<PictureSet> {
        check_size(size)?;
        let known = |(i, name): (usize, &str)| Some((i, class(name)? as i64));
        let pictures = store.names().enumerate();
        let pictures = pictures.filter(|(_, name)| is_picture(name));
        let samples: Vec<(usize, i64)> = pictures.filter_map(known).collect();
        let mut counts = vec![0; classes.len()];
        samples
            .iter()
            .for_each(|(_, class)| counts[*class as usize] += 1);
        if let Some(lacking) = counts.iter().position(|&count| count == 0) {
            let what = format!("{name}: holds no picture of class `{}`", classes[lacking]);
            return Err(Error::data(store.root(), what));
        }
        Ok(PictureSet {
            name: name.to_owned(),
            store,
            samples,
            classes,
            size,
        })
    }

    /// The class of each picture.
    pub fn labels(&self) -> Vec<i64> {
        self.samples.iter().map(|(_, class)| *class).collect()
    }
}

impl Dataset for PictureSet {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let (file, class) = self.samples[index];
        let picture = picture(&self.store.path(file), &self.store.read(file)?)?;
        Ok(Sample {
            input: picture.into_rgb(self.size)?,
            target: Tensor::scalar(class),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn preparation(&self) -> Option<Preparation> {
        Some(Preparation::Stretched)
    }

    /// The number of pictures, a hash of their names and classes, and one of some of the files.
    fn fingerprint(&self) -> String {
        let words = self.samples.iter().flat_map(|(file, class)| {
            let name = self.store.name(*file).bytes().map(u64::from);
            name.chain([*class as u64])
        });
        let (n, classes, [h, w]) = (self.len(), self.classes.len(), self.size);
        let names = hash(words);
        let contents = hash_contents(n, |i| self.store.read(self.samples[i].0));
        format!(
            "{}: {n} pictures of {classes} classes as {h}x{w}, names {names:016x}, contents {contents:016x}",
            self.name
        )
    }
}
