//! Pictures in folders, a folder for each class.

use std::path::{Path, PathBuf};

use super::dataset::{Dataset, Sample, hash, hash_contents};
use super::picture::read_pictures;
use super::place::is_folder;
use super::resize::check_size;
use crate::{Error, Result, Tensor};

/// Pictures in folders, a folder for each class: `FOLDER/cat/1.png`, `FOLDER/dog/a/2.png`.
///
/// Classes are the folders in the order of their names; pictures are the PNG and JPEG files in
/// each and in its folders, in the order of their paths. They are read when they are asked for, made red, green
/// and blue, and resized: bytes `[height, width, 3]`.
///
/// ```no_run
/// use wavemix::data::{ImageFolder, random_split};
/// use wavemix::prelude::*;
/// let pictures = ImageFolder::new("pets", [64, 64])?;
/// let (train, test) = random_split(pictures, 0.2, &Rng::new(0))?;
/// let train = Loader::new(train, 32)?.normalised(&[0.5; 3], &[0.25; 3])?.with_workers(4);
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// Source: `torchvision.datasets.ImageFolder`, with `Resize`.
#[doc(alias = "torchvision.datasets.ImageFolder")]
#[derive(Clone, Debug)]
pub struct ImageFolder {
    name: String,
    size: [usize; 2],
    classes: Vec<String>,
    /// Each picture's file and class.
    files: Vec<(PathBuf, i64)>,
}

/// Folders within one another are walked to this depth: a link that leads back would go on for
/// ever.
const DEEPEST: usize = 16;

impl ImageFolder {
    /// The pictures of this folder, given with so many rows and columns.
    ///
    /// # Errors
    /// A folder that cannot be read; one without folders, a class without pictures; a size of 0 or
    /// of more than 2^26 pixels.
    pub fn new(folder: impl AsRef<Path>, size: [usize; 2]) -> Result<ImageFolder> {
        let folder = folder.as_ref();
        check_size(size)?;
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for path in entries(folder)? {
            if !is_folder(&path)? {
                continue;
            }
            let known = files.len();
            let class = classes.len() as i64;
            pictures(&path, DEEPEST, &mut |file| files.push((file, class)))?;
            if files.len() == known {
                return Err(Error::data(
                    path,
                    "holds no PNG or JPEG picture of its class",
                ));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            classes.push(name.into_owned());
        }
        if classes.is_empty() {
            return Err(Error::data(folder, "holds no folder, one for each class"));
        }
        Ok(ImageFolder {
            name: folder.display().to_string(),
            size,
            classes,
            files,
        })
    }

    /// The file of each picture, with its class, by their numbers.
    pub fn files(&self) -> &[(PathBuf, i64)] {
        &self.files
    }
}

/// Whether its ending is that of a PNG or JPEG file, in capitals or not.
fn is_named_picture(path: &Path) -> bool {
    let own = path.extension().unwrap_or_default();
    let endings = ["png", "jpg", "jpeg"];
    endings
        .iter()
        .any(|ending| own.eq_ignore_ascii_case(ending))
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("read", folder))?;
    paths.sort_unstable();
    Ok(paths)
}

/// Calls `found` with each PNG and JPEG file in this folder and in its folders.
fn pictures(folder: &Path, depth: usize, found: &mut dyn FnMut(PathBuf)) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() && depth > 0 {
            pictures(&path, depth - 1, found)?;
        } else if is_named_picture(&path) && path.is_file() {
            found(path);
        }
    }
    Ok(())
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let (path, class) = &self.files[index];
        let picture = read_pictures(path, 1, false)?.swap_remove(0);
        Ok(Sample {
            input: picture.into_rgb(self.size)?,
            target: Tensor::scalar(*class),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of pictures, a hash of their names, lengths and classes, and one of some of the
    /// files.
    fn fingerprint(&self) -> String {
        let words = self.files.iter().flat_map(|(path, class)| {
            let length = std::fs::metadata(path).map_or(0, |file| file.len());
            let name = path.strip_prefix(&self.name).unwrap_or(path).as_os_str();
            let bytes = name.as_encoded_bytes().iter().map(|&byte| u64::from(byte));
            let bytes: Vec<u64> = bytes.collect();
            bytes.into_iter().chain([length, *class as u64])
        });
        let (n, classes, [h, w]) = (self.len(), self.classes.len(), self.size);
        let contents = hash_contents(n, |i| {
            let path = &self.files[i].0;
            std::fs::read(path).map_err(Error::io("read", path))
        });
        format!(
            "{n} pictures of {classes} classes as {h}x{w}, files {:016x}, contents {contents:016x}",
            hash(words)
        )
    }
}
