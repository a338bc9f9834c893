//! Pictures in folders, a folder for each class.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::dataset::{Dataset, Sample, hash, hash_contents};
use super::picture::picture;
use super::place::is_folder;
use super::preparation::Preparation;
use super::resize::check_size;
use crate::{Error, Result, Tensor};

/// Pictures in folders, a folder for each class: `FOLDER/cat/1.png`, `FOLDER/dog/a/2.png`.
///
/// Classes are the folders in the order of their names; pictures are the PNG and JPEG files in each
/// and in its folders, in the order of their paths' bytes. They are made upright, red, green and
/// blue, and resized without aliasing: bytes `[height, width, 3]`. They are read when they are asked
/// for, unless [`ImageFolder::decoded`] keeps them in memory.
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
/// Source: `torchvision.datasets.ImageFolder`, with `Resize` and `CenterCrop`.
#[doc(alias = "torchvision.datasets.ImageFolder")]
#[derive(Clone, Debug)]
pub struct ImageFolder {
    name: String,
    size: [usize; 2],
    preparation: Preparation,
    classes: Vec<String>,
    /// Each picture's file and class.
    files: Vec<(PathBuf, i64)>,
    /// The pictures one after the other, where they are kept.
    pixels: Option<Arc<Vec<u8>>>,
}

/// Pictures that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// How many they are.
    pub count: usize,
    /// What is wrong with the first ten of them, the file's name in front.
    pub first: Vec<String>,
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
            let bytes = |(file, _): &(PathBuf, i64)| file.as_os_str().as_encoded_bytes().to_vec();
            files[known..].sort_by_cached_key(bytes);
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
            preparation: Preparation::Stretched,
            classes,
            files,
            pixels: None,
        })
    }

    /// The same with the shorter side of each picture made so long, and the centre cut out, in place
    /// of stretching both sides: torchvision's `Resize(shorter)` and `CenterCrop(size)`.
    ///
    /// # Errors
    /// A side that is shorter than what is cut out, or makes a picture of more than 2^26 pixels.
    pub fn with_centre_crop(mut self, shorter: usize) -> Result<ImageFolder> {
        let preparation = Preparation::CentreCrop(shorter);
        preparation.check(self.size)?;
        (self.preparation, self.pixels) = (preparation, None);
        Ok(self)
    }

    /// The same without the pictures that cannot be read, which are told; the others stay in memory
    /// if they take at most so many bytes. All are decoded, on all threads of rayon's pool; the
    /// result does not depend on how many these are.
    pub fn decoded(mut self, memory: usize) -> (ImageFolder, Broken) {
        let bytes = 3 * self.size[0] * self.size[1];
        let need = bytes.saturating_mul(self.files.len());
        let mut pixels = vec![0; if need <= memory { need } else { 0 }];
        let places = pixels.par_chunks_mut(bytes).map(Some);
        let places = places.chain(rayon::iter::repeat_n((), self.files.len()).map(|()| None));
        let read = |(file, place): (&(PathBuf, i64), Option<&mut [u8]>)| {
            let picture = self.read(&file.0)?;
            if let Some(place) = place {
                place.copy_from_slice(picture.as_slice()?);
            }
            Ok(())
        };
        let files = self.files.par_iter();
        let outcomes: Vec<Result<()>> = files.zip(places).map(read).collect();
        let mut broken = Broken::default();
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            broken.count += 1;
            if broken.first.len() < 10 {
                broken.first.push(error.to_string());
            }
        }
        if broken.count > 0 {
            let mut whole = outcomes.iter().map(Result::is_ok);
            self.files.retain(|_| whole.next() == Some(true));
            let kept = pixels.chunks_exact(bytes).zip(&outcomes);
            let kept = kept.filter(|(_, outcome)| outcome.is_ok());
            pixels = kept.flat_map(|(picture, _)| picture).copied().collect();
        }
        self.pixels = (need <= memory).then(|| Arc::new(pixels));
        (self, broken)
    }

    /// Whether [`ImageFolder::decoded`] keeps the pictures in memory.
    pub fn is_in_memory(&self) -> bool {
        self.pixels.is_some()
    }

    /// A picture as it is given: bytes `[height, width, 3]`.
    fn read(&self, path: &Path) -> Result<Tensor> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        picture(path, &bytes)?.made(self.preparation, self.size)
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
        let [h, w] = self.size;
        let bytes = 3 * h * w;
        let input = match &self.pixels {
            Some(pixels) => Tensor::from_slice(&pixels[index * bytes..][..bytes], [h, w, 3])?,
            None => self.read(path)?,
        };
        Ok(Sample {
            input,
            target: Tensor::scalar(*class),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn preparation(&self) -> Option<Preparation> {
        Some(self.preparation)
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
        let cut = match self.preparation {
            Preparation::Stretched => String::new(),
            Preparation::CentreCrop(shorter) => format!(" of {shorter}"),
        };
        format!(
            "{n} pictures of {classes} classes as {h}x{w}{cut}, files {:016x}, contents {contents:016x}",
            hash(words)
        )
    }
}
