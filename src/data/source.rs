//! The published sets: one way to find and read them all, by the table of `sets`.

use super::archive::File;
use super::emnist::{self, Split};
use super::place::{Layout, Place};
use super::sets::{self, Format, Spec};
use super::{ImageSet, Remote, TrainTest, cifar, glyphs, idx, stl10, svhn};
use crate::{Error, Result};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A published data set.
///
/// ```no_run
/// let source: wavemix::data::Source = "emnist-balanced".parse()?;
/// let pair = source.load("/data")?;
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
    /// Photographs of 10 kinds of things, 96 x 96 in colour: the 5,000 with labels, and 8,000 to
    /// test with.
    Stl10,
    /// Digits of house numbers, 32 x 32 in colour, with the extra training images: 604,388 of them.
    Svhn,
    /// The same without the extra images: 73,257 to train on.
    SvhnWithoutExtra,
    /// Pictures of 200 of ImageNet's classes, 64 x 64, read on demand: see [`Source::open`].
    TinyImageNet,
    /// All of ImageNet's pictures, made 64 x 64, read on demand.
    ImageNet64,
    /// Pictures of any size of 256 kinds of things and of none of them, read on demand.
    Caltech256,
    /// Pictures of 365 kinds of scenes, 256 x 256, read on demand.
    Places365,
    /// Pictures of 10,000 species, 50 of each to train on, read on demand.
    INaturalist2021Mini,
    /// Street scenes with a class for each pixel, read on demand.
    Cityscapes,
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
            Source::Stl10,
            Source::Svhn,
            Source::SvhnWithoutExtra,
            Source::TinyImageNet,
            Source::ImageNet64,
            Source::Caltech256,
            Source::Places365,
            Source::INaturalist2021Mini,
            Source::Cityscapes,
        ];
        Split::ALL
            .into_iter()
            .map(Source::Emnist)
            .chain(others)
            .collect()
    }

    /// Its row of the table.
    pub(crate) fn spec(self) -> &'static Spec {
        match self {
            Source::Emnist(split) => &sets::EMNIST[split as usize],
            Source::Mnist => &sets::MNIST,
            Source::FashionMnist => &sets::FASHION_MNIST,
            Source::Cifar10 => &sets::CIFAR10,
            Source::Cifar100 => &sets::CIFAR100,
            Source::Stl10 => &sets::STL10,
            Source::Svhn => &sets::SVHN,
            Source::SvhnWithoutExtra => &sets::SVHN_WITHOUT_EXTRA,
            Source::TinyImageNet => &sets::TINY_IMAGENET,
            Source::ImageNet64 => &sets::IMAGENET64,
            Source::Caltech256 => &sets::CALTECH256,
            Source::Places365 => &sets::PLACES365,
            Source::INaturalist2021Mini => &sets::INATURALIST,
            Source::Cityscapes => &sets::CITYSCAPES,
        }
    }

    /// Its name as its authors write it: `EMNIST balanced`.
    pub fn title(self) -> String {
        self.spec().title.to_owned()
    }

    /// The published names of its classes; none for a set that is read on demand, whose files say
    /// them.
    pub fn classes(self) -> Vec<String> {
        let names = |classes: &[&str]| classes.iter().map(|name| name.to_string()).collect();
        match self.spec().format {
            Format::Idx(classes) => names(classes),
            Format::Stl10 => names(&stl10::CLASSES),
            Format::Svhn => names(&sets::DIGITS),
            Format::OnDemand(_) => Vec::new(),
            Format::Emnist(split) => split.classes(),
            Format::Cifar(kind) => kind.classes(),
        }
    }

    /// Mean and standard deviation of each channel over the training images, in units of 0..1, as
    /// published: EMNIST in lightning-bolts, the others in the customary transforms of programs
    /// with torchvision. Caltech-256 and Cityscapes have those of ImageNet, ImageNet 64x64
    /// deviations of 1, as in the papers of WaveMix.
    pub fn statistics(self) -> (Vec<f32>, Vec<f32>) {
        (self.spec().mean.to_vec(), self.spec().std.to_vec())
    }

    /// Whether its IDX files keep images column by column, as EMNIST's do, instead of row by row.
    pub fn is_transposed(self) -> bool {
        matches!(self.spec().format, Format::Emnist(_))
    }

    /// Whether it is too large for memory, so that [`Source::open`] reads it and [`Source::load`]
    /// does not.
    pub fn is_on_demand(self) -> bool {
        matches!(self.spec().format, Format::OnDemand(_))
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
    pub fn locate(self, dir: impl AsRef<Path>, part: Part) -> Result<Option<Place>> {
        let dir = dir.as_ref();
        let Format::OnDemand(set) = self.spec().format else {
            return self.layout(part).locate(dir);
        };
        let first = set
            .find(&self.title(), dir)?
            .and_then(|found| found[0].clone());
        Ok(first.map(|path| match path.is_dir() {
            true => Place::Folder(path),
            false => Place::Archive(path),
        }))
    }

    /// The error of a set that is not in `dir`, one line: what was looked for, where, and how to
    /// get it.
    pub fn missing(self, dir: impl AsRef<Path>, part: Part) -> Error {
        match self.spec().format {
            Format::OnDemand(set) => set.missing(&self.title(), dir.as_ref()),
            _ => self.layout(part).missing(dir.as_ref()),
        }
    }

    /// Training and test images from `dir`; see [`locate`](Self::locate).
    ///
    /// # Errors
    /// Nothing or not everything there, or a malformed file; a set that is read on demand, by
    /// [`Source::open`].
    pub fn load(self, dir: impl AsRef<Path>) -> Result<TrainTest> {
        let dir = dir.as_ref();
        let mut sets = self.read(dir, Part::Both)?;
        let (Some(test), Some(train)) = (sets.pop(), sets.pop()) else {
            return Err(self.missing(dir, Part::Both));
        };
        let (mean, std) = self.statistics();
        TrainTest::new(train, test, mean, std)
    }

    /// Test images alone, from a `dir` that need not hold others. Errors as for
    /// [`load`](Self::load).
    pub fn load_test(self, dir: impl AsRef<Path>) -> Result<ImageSet> {
        let dir = dir.as_ref();
        self.read(dir, Part::Test)?
            .pop()
            .ok_or_else(|| self.missing(dir, Part::Test))
    }

    /// Built-in glyphs of its classes, framed as its images are: so many of each class to train on
    /// and to test with. They stand in for a set of characters that is not there.
    ///
    /// # Errors
    /// A set of other things than characters, a count of 0, more glyphs than memory can hold.
    pub fn drawn(self, [train, test]: [usize; 2], seed: u64) -> Result<TrainTest> {
        let Some((classes, framing)) = self.spec().glyphs else {
            return Err(Error::Argument(format!(
                "no built-in glyphs are of {}'s classes",
                self.title()
            )));
        };
        let settings = glyphs::Settings {
            classes,
            framing,
            seed,
        };
        glyphs::pair(&settings, train, test)
    }

    /// The set from `folder`, as [`Source::load`] reads it; where no folder is given, built-in
    /// glyphs of its classes, as [`Source::drawn`] draws them with seed 0.
    ///
    /// # Errors
    /// Those of [`Source::load`] and [`Source::drawn`].
    pub fn load_or_drawn(
        self,
        folder: Option<impl AsRef<Path>>,
        per_class: [usize; 2],
    ) -> Result<TrainTest> {
        match folder {
            Some(folder) => self.load(folder),
            None => self.drawn(per_class, 0),
        }
    }

    /// The sets of `part`, the test set last.
    fn read(self, dir: &Path, part: Part) -> Result<Vec<ImageSet>> {
        let (spec, layout) = (self.spec(), self.layout(part));
        if let Format::OnDemand(_) = spec.format {
            let title = spec.title;
            return Err(Error::Argument(format!(
                "{title} is read on demand, by `Source::open`, not into memory"
            )));
        }
        let place = layout.locate(dir)?.ok_or_else(|| layout.missing(dir))?;
        let (mut names, extra) = (layout.files, spec.names.map(str::to_owned));
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
        let mut files = files.collect::<Result<Vec<File>>>()?.into_iter();
        let parts = match part {
            Part::Both => vec![("training", spec.files[0]), ("test", spec.files[1])],
            Part::Test => vec![("test", spec.files[1])],
        };
        let sets = parts.into_iter().map(|(part, list)| {
            let name = format!("{}, {part}", spec.title);
            self.decode(name, files.by_ref().take(list.len()), &classes)
        });
        sets.collect()
    }

    fn decode(
        self,
        name: String,
        mut files: impl Iterator<Item = File>,
        classes: &[String],
    ) -> Result<ImageSet> {
        let (mut pixels, classes) = (Vec::new(), classes.to_vec());
        match self.spec().format {
            Format::Cifar(kind) => {
                let mut labels = Vec::new();
                for file in files {
                    cifar::decode(&file.path, &file.bytes, kind, &mut pixels, &mut labels)?;
                }
                let labels = labels.into_iter().map(i64::from).collect();
                return ImageSet::new(name, [32, 32, 3], pixels, labels, classes);
            }
            Format::Svhn => {
                let mut labels = Vec::new();
                for file in files {
                    svhn::decode(&file.path, &file.bytes, &mut pixels, &mut labels)?;
                }
                return ImageSet::new(name, [svhn::SIDE, svhn::SIDE, 3], pixels, labels, classes);
            }
            Format::Idx(_) | Format::Emnist(_) | Format::Stl10 | Format::OnDemand(_) => {}
        }
        let (Some(images), Some(labels)) = (files.next(), files.next()) else {
            return Err(Error::Argument(format!("{name}: no files")));
        };
        let first = match self.spec().format {
            Format::Emnist(split) => split.first_label(),
            Format::Stl10 => return stl10::dataset(name, [images, labels], classes),
            _ => 0,
        };
        let files = [images, labels];
        idx::dataset(name, files, self.is_transposed(), first, classes)
    }

    fn class_names(self, file: &File) -> Result<Vec<String>> {
        match self.spec().format {
            Format::Emnist(split) => emnist::mapping(&file.path, &file.bytes, split),
            Format::Cifar(_) | Format::Stl10 => {
                cifar::names_of(&file.path, &file.bytes, self.classes().len())
            }
            Format::Idx(_) | Format::Svhn | Format::OnDemand(_) => Ok(self.classes()),
        }
    }

    /// The official files; none of sets that are not fetched by this program.
    pub fn remotes(self) -> &'static [Remote] {
        self.spec().remotes
    }

    fn layout(self, part: Part) -> Layout {
        let spec = self.spec();
        let [train, test] = spec.files;
        let train = if part == Part::Test { &[] } else { train };
        Layout {
            title: spec.title.to_owned(),
            folders: spec.folders,
            archive: spec.archive,
            url: spec.remotes.first().map_or("", |remote| remote.bases[0]),
            files: train
                .iter()
                .chain(test)
                .map(|name| name.to_string())
                .collect(),
            pickles: spec.pickles,
        }
    }
}

/// The name that [`FromStr`] reads: `emnist-balanced`, `mnist`, `fashion-mnist`, `cifar-10`,
/// `cifar-100`, `stl-10`, `svhn`, `svhn-without-extra`, `tiny-imagenet`,
/// `imagenet-64x64`, `caltech-256`, `places365-small`, `inaturalist-2021-mini`, `cityscapes`.
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
