//! A user's own pictures as the data of a run: `DIR/train/CLASS/*` with `DIR/val` and `DIR/test`, where
//! there are such, or `DIR/CLASS/*`.

use std::path::Path;
use std::sync::Arc;

use super::{Settings, splits};
use crate::console::Stderr;
use crate::data::{Dataset, ImageFolder, Loader, Subset, is_folder};
use crate::models::ImageMeta;
use crate::train::Data;
use crate::{Error, Result, Rng};

/// Pictures that the channels' mean and standard deviation are taken from.
const SAMPLED: usize = 1000;

/// The share of a class that is held out for a part that has no folder.
const HELD_OUT: f64 = 0.1;

/// The pictures of a folder without those that cannot be read; in memory, if they take no more than
/// what is left of the room.
fn decoded(folder: ImageFolder, room: &mut usize, settings: &Settings) -> Result<ImageFolder> {
    let (name, count) = (folder.name().to_owned(), folder.len());
    let (folder, broken) = folder.decoded(*room);
    if broken.count > 0 {
        let (those, number) = (broken.first.join("\n  "), broken.count);
        let more = if number > broken.first.len() {
            "\n  .."
        } else {
            ""
        };
        let what = format!("{number} of {count} pictures cannot be read:\n  {those}{more}");
        if !settings.skip_broken {
            let what = format!("{what}\nmend or remove them, or train without by --skip-broken");
            return Err(Error::data(name, what));
        }
        writeln!(Stderr, "{name}: {what}\nthey are left out");
    }
    if folder.is_in_memory() {
        *room -= (3 * settings.size * settings.size).saturating_mul(folder.len());
    }
    Ok(folder)
}

/// Half of the machine's memory in bytes, where the system tells; else 2 GiB.
fn half_of_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(2 << 30, |kib| kib.saturating_mul(512))
}

/// Some of the pictures of a folder.
struct Part {
    folder: Arc<ImageFolder>,
    indices: Vec<usize>,
}

/// The parts of the pictures.
pub(super) struct Pictures {
    train: Part,
    validation: Option<Part>,
    test: Option<Part>,
}

impl Part {
    fn whole(folder: ImageFolder) -> Part {
        Part {
            indices: (0..folder.len()).collect(),
            folder: Arc::new(folder),
        }
    }

    /// Takes a share of each class out, drawn at random: at least one picture of those with two.
    fn hold_out(&mut self, rng: &mut Rng) -> Part {
        let (files, mut kept, mut held_out) = (self.folder.files(), Vec::new(), Vec::new());
        for class in 0..self.folder.classes().len() {
            let own = |&&i: &&usize| files[i].1 == class as i64;
            let members: Vec<usize> = self.indices.iter().filter(own).copied().collect();
            let share = (members.len() as f64 * HELD_OUT).round() as usize;
            let share = share.max(usize::from(members.len() > 1));
            for (rank, place) in rng.permutation(members.len()).into_iter().enumerate() {
                let to = if rank < share {
                    &mut held_out
                } else {
                    &mut kept
                };
                to.push(members[place]);
            }
        }
        kept.sort_unstable();
        held_out.sort_unstable();
        self.indices = kept;
        Part {
            folder: self.folder.clone(),
            indices: held_out,
        }
    }

    fn dataset(self) -> Result<Subset> {
        Subset::new(self.folder, self.indices)
    }
}

impl Pictures {
    /// Those in the folder of `--data`, as squares of `--size`, all decoded once: what cannot be read
    /// is told, and left out where `--skip-broken` says so.
    ///
    /// A part without a folder is drawn from the training pictures: that for validation, and where
    /// there is no `train` that for the test. Where the best weights are chosen on the test set,
    /// nothing is held out for validation.
    ///
    /// # Errors
    /// No folder given, one without pictures, parts of other classes; pictures that cannot be read.
    pub fn open(settings: &Settings) -> Result<Pictures> {
        // What is wrong with the folders themselves is told before anything takes long.
        Pictures::find(settings)?;
        let mut room = settings.cache_memory.unwrap_or_else(half_of_memory) as usize;
        Pictures::of(settings, |folder| decoded(folder, &mut room, settings))
    }

    /// The same, with no picture looked at.
    ///
    /// # Errors
    /// As for [`Pictures::open`], but for pictures that cannot be read.
    pub fn find(settings: &Settings) -> Result<Pictures> {
        Pictures::of(settings, Ok)
    }

    fn of(
        settings: &Settings,
        mut opened: impl FnMut(ImageFolder) -> Result<ImageFolder>,
    ) -> Result<Pictures> {
        let dir = settings.data.as_ref().ok_or_else(|| {
            let what = "say where the pictures are, in a folder for each class, with --data DIR";
            Error::Argument(what.into())
        })?;
        let mut folder = |path: &Path| {
            let folder = ImageFolder::new(path, [settings.size; 2])?;
            opened(match settings.resize {
                Some(shorter) => folder.with_centre_crop(shorter)?,
                None => folder,
            })
        };
        let mut part = |names: &[&str]| -> Result<Option<Part>> {
            for path in names.iter().map(|name| dir.join(name)) {
                if is_folder(&path)? {
                    return Ok(Some(Part::whole(folder(&path)?)));
                }
            }
            Ok(None)
        };
        let random = |stream: u64| Rng::new(settings.seed).stream(stream);
        let mut pictures = match part(&["train", "training"])? {
            Some(train) => Pictures {
                train,
                validation: part(&["val", "valid", "validation"])?,
                test: part(&["test", "testing"])?,
            },
            None => {
                let mut train = Part::whole(folder(dir)?);
                let test = train.hold_out(&mut random(5));
                Pictures {
                    train,
                    validation: None,
                    test: Some(test),
                }
            }
        };
        if settings.select_on_test {
            pictures.validation = None;
        } else if pictures.validation.is_none() {
            pictures.validation = Some(pictures.train.hold_out(&mut random(3)));
        }
        pictures.check()?;
        Ok(pictures)
    }

    /// Checks that all parts have the classes of the training pictures.
    fn check(&self) -> Result<()> {
        let own = self.train.folder.classes();
        let parts = self.validation.iter().chain(&self.test);
        for folder in parts.map(|part| &part.folder) {
            let others = folder.classes();
            if let Some(class) = others.iter().find(|class| !own.contains(class)) {
                let what = format!("holds the class `{class}`, which the training pictures lack");
                return Err(Error::data(folder.name(), what));
            }
            if let Some(class) = own.iter().find(|class| !others.contains(class)) {
                let what = format!("lacks the class `{class}` of the training pictures");
                return Err(Error::data(folder.name(), what));
            }
        }
        Ok(())
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.train.folder.classes().len()
    }

    /// The batches, for a model of so many channels, and what weight files say of the pictures.
    ///
    /// # Errors
    /// A picture that cannot be read, among those that the statistics are taken from.
    pub fn load(self, settings: &Settings, channels: usize) -> Result<(Data, ImageMeta)> {
        let (mean, std) = self.statistics()?;
        let Pictures {
            mut train,
            validation,
            test,
        } = self;
        let loader = |part: Part| -> Result<Loader> {
            let loader = Loader::new(part.dataset()?, settings.batch_size)?;
            let loader = loader.normalised(&mean, &std)?.with_channels(channels)?;
            Ok(loader.with_workers(settings.threads))
        };
        if let Some(limit) = settings.limit {
            let order = Rng::new(settings.seed).stream(4);
            let order = order.clone().permutation(train.indices.len());
            let kept = order.into_iter().take(limit);
            train.indices = kept.map(|i| train.indices[i]).collect();
        }
        let images = ImageMeta {
            classes: train.folder.classes().to_vec(),
            mean: mean.clone(),
            std: std.clone(),
            trained_on: train.folder.name().to_owned(),
            preparation: train.folder.preparation(),
            ..ImageMeta::default()
        };
        let data = Data {
            train: loader(train)?.with_augment(splits::augment(settings)),
            validation: validation.map(loader).transpose()?,
            test: test.map(loader).transpose()?,
        };
        Ok((data, images))
    }

    /// Batches of the test pictures as they are, or where there are none of those for validation;
    /// height, width and channels; and what normalises them.
    ///
    /// # Errors
    /// Neither part there; those of [`Pictures::load`].
    pub fn test(self, settings: &Settings) -> Result<(Loader, [usize; 3], (Vec<f32>, Vec<f32>))> {
        let statistics = self.statistics()?;
        let part = self.test.or(self.validation).ok_or_else(|| {
            Error::data(self.train.folder.name(), "has no test pictures beside it")
        })?;
        let loader = Loader::new(part.dataset()?, settings.batch_size)?;
        let size = [settings.size, settings.size, 3];
        Ok((loader.with_workers(settings.threads), size, statistics))
    }

    /// Mean and standard deviation of each channel, in units of 0..1, over up to 1,000 training
    /// pictures that are spread evenly.
    fn statistics(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (indices, mut sums) = (&self.train.indices, [[0u64; 3]; 2]);
        let mut pixels = 0u64;
        for &i in indices
            .iter()
            .step_by(indices.len().div_ceil(SAMPLED).max(1))
        {
            let picture = self.train.folder.sample(i)?.input;
            for pixel in picture.as_slice::<u8>()?.chunks_exact(3) {
                for (c, &v) in pixel.iter().enumerate() {
                    sums[0][c] += u64::from(v);
                    sums[1][c] += u64::from(v) * u64::from(v);
                }
                pixels += 1;
            }
        }
        let mean = |sum: u64| sum as f64 / pixels.max(1) as f64;
        let of = |c: usize| {
            let (first, second) = (mean(sums[0][c]), mean(sums[1][c]));
            let std = (second - first * first).max(0.0).sqrt();
            // Pictures of a single colour have none.
            ((first / 255.0) as f32, (std.max(1.0) / 255.0) as f32)
        };
        Ok((0..3).map(of).unzip())
    }
}
