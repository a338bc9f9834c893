//! The published sets: their names, files, constants, and one way to read them all.

use super::archive::File;
use super::cifar::{self, Kind};
use super::emnist::{self, Split};
use super::place::{Layout, Place};
use super::{Dataset, TrainTest, idx};
use crate::{Error, Result};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A published data set.
///
/// ```no_run
/// # use std::path::Path;
/// let source: wavemix::data::Source = "emnist-balanced".parse()?;
/// let pair = source.load(Path::new("/data"))?;
/// println!("{} training and {} test images", pair.train.len(), pair.test.len());
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Handwritten characters, in one of six splits.
    Emnist(Split),
    /// Handwritten digits.
    Mnist,
    /// Pieces of clothing, in MNIST's format and size.
    FashionMnist,
    /// Photographs of 10 kinds of things, 32 x 32 in colour.
    Cifar10,
    /// The same with 100 kinds.
    Cifar100,
}

/// Which part of a set has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Training and test images.
    Both,
    /// Test images alone.
    Test,
}

impl Source {
    /// All of them.
    pub fn all() -> Vec<Source> {
        let others = [
            Source::Mnist,
            Source::FashionMnist,
            Source::Cifar10,
            Source::Cifar100,
        ];
        Split::ALL
            .into_iter()
            .map(Source::Emnist)
            .chain(others)
            .collect()
    }

    /// Its name as its authors write it: `EMNIST balanced`.
    pub fn title(self) -> String {
        match self {
            Source::Emnist(split) => format!("EMNIST {split}"),
            Source::Mnist => "MNIST".into(),
            Source::FashionMnist => "Fashion-MNIST".into(),
            Source::Cifar10 => "CIFAR-10".into(),
            Source::Cifar100 => "CIFAR-100".into(),
        }
    }

    /// The published names of its classes.
    pub fn classes(self) -> Vec<String> {
        match self {
            Source::Emnist(split) => split.classes(),
            Source::Mnist => Split::Mnist.classes(),
            Source::FashionMnist => FASHION.map(String::from).to_vec(),
            Source::Cifar10 => Kind::Cifar10.classes(),
            Source::Cifar100 => Kind::Cifar100.classes(),
        }
    }

    /// Mean and standard deviation of each channel over the training images, in units of 0..1, as
    /// published: EMNIST in lightning-bolts, the others in the customary transforms of
    /// torchvision's examples.
    pub fn statistics(self) -> (Vec<f32>, Vec<f32>) {
        match self {
            Source::Emnist(split) => (vec![split.statistics().0], vec![split.statistics().1]),
            Source::Mnist => (vec![0.1307], vec![0.3081]),
            Source::FashionMnist => (vec![0.2861], vec![0.3530]),
            Source::Cifar10 => (vec![0.4914, 0.4822, 0.4465], vec![0.2470, 0.2435, 0.2616]),
            Source::Cifar100 => (vec![0.5071, 0.4867, 0.4408], vec![0.2675, 0.2565, 0.2761]),
        }
    }

    /// Whether its IDX files keep images column by column, as EMNIST's do, instead of row by row.
    pub fn is_transposed(self) -> bool {
        matches!(self, Source::Emnist(_))
    }

    /// Looks for the set in `dir`: its files there or in torchvision's folders (`EMNIST/raw`,
    /// `MNIST/raw`, `FashionMNIST/raw`) or in the folder that the official archive unpacks to, then
    /// the archive itself. IDX files may be plain or gzip, be called `train-images.idx3-ubyte` too,
    /// and lie in a folder of their own name, as Kaggle has them. `dir` may also be an archive of
    /// the files. `None` if there is no trace of it.
    ///
    /// # Errors
    /// Some files are there and others missing, or only the Python version of a CIFAR set; the
    /// message says which. A folder that the system does not let be read.
    pub fn locate(self, dir: &Path, part: Part) -> Result<Option<Place>> {
        self.layout(part).locate(dir)
    }

    /// The error of a set that is not in `dir`, one line: what was looked for, where, and how to
    /// get it.
    pub fn missing(self, dir: &Path, part: Part) -> Error {
        self.layout(part).missing(dir)
    }

    /// Training and test images from `dir`; see [`locate`](Self::locate).
    ///
    /// # Errors
    /// Nothing or not everything there, or a malformed file.
    pub fn load(self, dir: &Path) -> Result<TrainTest> {
        let mut sets = self.read(dir, Part::Both)?;
        let (Some(test), Some(train)) = (sets.pop(), sets.pop()) else {
            return Err(self.missing(dir, Part::Both));
        };
        let (mean, std) = self.statistics();
        TrainTest::new(train, test, mean, std)
    }

    /// Test images alone, from a `dir` that need not hold others. Errors as for
    /// [`load`](Self::load).
    pub fn load_test(self, dir: &Path) -> Result<Dataset> {
        self.read(dir, Part::Test)?
            .pop()
            .ok_or_else(|| self.missing(dir, Part::Test))
    }

    /// The sets of `part`, the test set last.
    fn read(self, dir: &Path, part: Part) -> Result<Vec<Dataset>> {
        let layout = self.layout(part);
        let place = layout.locate(dir)?.ok_or_else(|| layout.missing(dir))?;
        let (mut names, extra) = (layout.files, self.names_file());
        names.extend(extra.clone());
        let mut files = place.read(&names)?;
        let classes = match extra.and_then(|_| files.pop()).flatten() {
            Some(file) => self.class_names(&file)?,
            None => self.classes(),
        };
        let absent = |name: &String| Error::data(place.path(), format!("holds no {name}"));
        let files = names
            .iter()
            .zip(files)
            .map(|(name, file)| file.ok_or_else(|| absent(name)));
        let files = files.collect::<Result<Vec<File>>>()?;
        let test = if self.is_cifar() { 1 } else { 2 };
        let train = files.len() - test;
        let (mut files, mut sets) = (files.into_iter(), Vec::new());
        for (part, count) in [("training", train), ("test", test)]
            .into_iter()
            .filter(|&(_, count)| count > 0)
        {
            let (name, files) = (
                format!("{}, {part}", self.title()),
                files.by_ref().take(count),
            );
            sets.push(if self.is_cifar() {
                self.cifar(name, files, &classes)
            } else {
                self.idx(name, files, &classes)
            }?);
        }
        Ok(sets)
    }

    /// From a file of images and a file of labels.
    fn idx(
        self,
        name: String,
        mut files: impl Iterator<Item = File>,
        classes: &[String],
    ) -> Result<Dataset> {
        let (Some(images), Some(labels)) = (files.next(), files.next()) else {
            return Err(Error::Argument(format!("{name}: no files")));
        };
        let first = if let Source::Emnist(split) = self {
            split.first_label()
        } else {
            0
        };
        idx::dataset(
            name,
            [images, labels],
            self.is_transposed(),
            first,
            classes.to_vec(),
        )
    }

    /// From any number of files of records.
    fn cifar(
        self,
        name: String,
        files: impl Iterator<Item = File>,
        classes: &[String],
    ) -> Result<Dataset> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            cifar::decode(
                &file.path,
                &file.bytes,
                self.kind(),
                &mut pixels,
                &mut labels,
            )?;
        }
        Dataset::new(name, [32, 32, 3], pixels, labels, classes.to_vec())
    }

    fn is_cifar(self) -> bool {
        matches!(self, Source::Cifar10 | Source::Cifar100)
    }

    fn kind(self) -> Kind {
        if self == Source::Cifar100 {
            Kind::Cifar100
        } else {
            Kind::Cifar10
        }
    }

    /// The file that names the classes. It need not be there: torchvision's folders lack EMNIST's.
    fn names_file(self) -> Option<String> {
        match self {
            Source::Emnist(split) => Some(format!("emnist-{split}-mapping.txt")),
            Source::Mnist | Source::FashionMnist => None,
            Source::Cifar10 => Some("batches.meta.txt".into()),
            Source::Cifar100 => Some("fine_label_names.txt".into()),
        }
    }

    fn class_names(self, file: &File) -> Result<Vec<String>> {
        match self {
            Source::Emnist(split) => emnist::mapping(&file.path, &file.bytes, split),
            _ => cifar::names(&file.path, &file.bytes, self.kind()),
        }
    }

    fn layout(self, part: Part) -> Layout {
        let idx = |stem: String, part| {
            [
                format!("{stem}{part}-images-idx3-ubyte"),
                format!("{stem}{part}-labels-idx1-ubyte"),
            ]
        };
        let (train, test) = match self {
            Source::Emnist(split) => {
                let stem = format!("emnist-{split}-");
                (
                    idx(stem.clone(), "train").to_vec(),
                    idx(stem, "test").to_vec(),
                )
            }
            Source::Mnist | Source::FashionMnist => (
                idx(String::new(), "train").to_vec(),
                idx(String::new(), "t10k").to_vec(),
            ),
            Source::Cifar10 => (
                (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
                vec!["test_batch.bin".into()],
            ),
            Source::Cifar100 => (vec!["train.bin".into()], vec!["test.bin".into()]),
        };
        // Fashion-MNIST's files are named as MNIST's, so the folder that says which comes before
        // the one given.
        let (folders, archive, pickles): (&[&str], _, &[&str]) = match self {
            Source::Emnist(_) => (
                &[
                    "EMNIST/raw",
                    "EMNIST",
                    "raw",
                    "gzip",
                    "emnist_source_files",
                    "",
                ],
                Some("gzip.zip"),
                &[],
            ),
            Source::Mnist => (&["MNIST/raw", "MNIST", "raw", ""], None, &[]),
            Source::FashionMnist => (
                &[
                    "FashionMNIST/raw",
                    "FashionMNIST",
                    "raw",
                    "data/fashion",
                    "",
                ],
                None,
                &[],
            ),
            Source::Cifar10 => {
                let pickles = &[
                    "cifar-10-batches-py",
                    "cifar-10-python.tar.gz",
                    "data_batch_1",
                ];
                (
                    &["cifar-10-batches-bin", ""],
                    Some("cifar-10-binary.tar.gz"),
                    pickles,
                )
            }
            Source::Cifar100 => {
                let pickles = &["cifar-100-python", "cifar-100-python.tar.gz", "meta"];
                (
                    &["cifar-100-binary", ""],
                    Some("cifar-100-binary.tar.gz"),
                    pickles,
                )
            }
        };
        let files = if part == Part::Test {
            test
        } else {
            train.into_iter().chain(test).collect()
        };
        Layout {
            title: self.title(),
            folders,
            archive,
            url: self.remotes()[0].bases[0],
            files,
            pickles,
        }
    }
}

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The name that [`FromStr`] reads: `emnist-balanced`, `mnist`, `fashion-mnist`, `cifar-10`,
/// `cifar-100`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title().to_lowercase().replace(' ', "-"))
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let names: Vec<String> = Source::all().iter().map(Source::to_string).collect();
        let unknown = || {
            Error::choice(
                "data set",
                s,
                &names.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        };
        Source::all()
            .into_iter()
            .find(|source| source.to_string() == s)
            .ok_or_else(unknown)
    }
}

/// Where data sets are looked for, and downloaded to, when no folder is given: `$WAVEMIX_DATA`,
/// else `$XDG_CACHE_HOME/wavemix/datasets`, else `~/.cache/wavemix/datasets`.
///
/// # Errors
/// None of the three variables is set.
pub fn default_folder() -> Result<PathBuf> {
    default_folder_from(|name| std::env::var_os(name))
}

/// [`default_folder`] with the environment as a function of a variable's name.
///
/// # Errors
/// None of the three variables is set.
pub fn default_folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("WAVEMIX_DATA")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("wavemix/datasets")))
        .or_else(|| Some(set("HOME")?.join(".cache/wavemix/datasets")))
        .ok_or_else(|| {
            Error::Argument(
                "no place for data sets: none of WAVEMIX_DATA, XDG_CACHE_HOME and HOME is set"
                    .into(),
            )
        })
}
