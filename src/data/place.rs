//! Where a data set lies: a folder of its files, or its official archive, read in place.

use super::archive::{self, File};
use crate::{Error, Result};
use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder or archive that holds a data set; found by [`Source::locate`](super::Source::locate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder with the files themselves, plain or (IDX) as gzip, each perhaps in a folder of its
    /// own name.
    Folder(PathBuf),
    /// An archive: zip where the name ends in `.zip`, else a tar, gzipped or not.
    Archive(PathBuf),
}

/// What a data set looks like on a disk.
pub(crate) struct Layout {
    /// Its name, for messages.
    pub title: String,
    /// Folders under the given one in which the files may lie, in order of preference.
    pub folders: &'static [&'static str],
    /// The official archive's file name, where there is one.
    pub archive: Option<&'static str>,
    /// Where to get it, for messages.
    pub url: &'static str,
    /// The files without which it is not whole.
    pub files: Vec<String>,
    /// Names that give away the Python version of the set, which is not read.
    pub pickles: &'static [&'static str],
}

/// Which of a set's files were found in folders.
enum Files<'a> {
    All(PathBuf),
    Part(Partial<'a>),
    Nothing,
}

/// A folder with some of a set's files.
struct Partial<'a> {
    folder: PathBuf,
    /// Names of those that are not there.
    missing: Vec<&'a str>,
    /// Paths of the others.
    found: Vec<PathBuf>,
}

impl Layout {
    fn places(&self, dir: &Path) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().map(|folder| {
            if folder.is_empty() {
                dir.to_owned()
            } else {
                dir.join(folder)
            }
        })
    }

    /// The first place under `dir` that holds the set, or `dir` itself if it is an archive; `None`
    /// if there is nothing.
    ///
    /// # Errors
    /// Files found partially, the Python version of a set, a folder that the system does not let be
    /// read.
    pub fn locate(&self, dir: &Path) -> Result<Option<Place>> {
        let is_pickle = self.pickles.iter().any(|name| dir.ends_with(name)) && is_file(dir)?;
        if !is_pickle && is_archive(dir)? {
            return Ok(Some(Place::Archive(dir.to_owned())));
        }
        let partial = match self.find_folder(dir)? {
            Files::All(folder) => return Ok(Some(Place::Folder(folder))),
            Files::Part(partial) => Some(partial),
            Files::Nothing => None,
        };
        if let Some(archive) = self.find_archive(dir)? {
            return Ok(Some(Place::Archive(archive)));
        }
        if is_pickle {
            return Err(self.refused_pickle(dir.to_owned()));
        }
        for pickle in self.pickles.iter().map(|name| dir.join(name)) {
            if metadata(&pickle)?.is_some() {
                return Err(self.refused_pickle(pickle));
            }
        }
        partial.map_or(Ok(None), |partial| Err(self.not_whole(&partial)))
    }

    /// The first folder that holds all files, else the first that holds some.
    fn find_folder(&self, dir: &Path) -> Result<Files<'_>> {
        let mut first = Files::Nothing;
        for folder in self.places(dir) {
            let (mut missing, mut found) = (Vec::new(), Vec::new());
            for name in &self.files {
                match find(&folder, name)? {
                    Some(path) => found.push(path),
                    None => missing.push(name.as_str()),
                }
            }
            if missing.is_empty() {
                return Ok(Files::All(folder));
            }
            if !found.is_empty() && matches!(first, Files::Nothing) {
                first = Files::Part(Partial {
                    folder,
                    missing,
                    found,
                });
            }
        }
        Ok(first)
    }

    /// The official archive, under its name or as Safari leaves it, which unpacks the gzip of what
    /// it fetches.
    fn find_archive(&self, dir: &Path) -> Result<Option<PathBuf>> {
        let Some(name) = self.archive else {
            return Ok(None);
        };
        for folder in self.places(dir) {
            for path in [name, name.trim_end_matches(".gz")].map(|name| folder.join(name)) {
                if is_file(&path)? {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    fn refused_pickle(&self, path: PathBuf) -> Error {
        let (archive, url, title) = (self.archive.unwrap_or_default(), self.url, &self.title);
        let what = format!(
            "the Python version of {title} is not read (pickles run code); get {archive} from {url}"
        );
        Error::data(path, what)
    }

    fn not_whole(&self, partial: &Partial) -> Error {
        let Partial {
            folder,
            missing,
            found,
        } = partial;
        let near = near_name(folder, &missing[..1], found);
        let what = format!(
            "{} is not whole: {} missing{near}",
            self.title,
            missing.join(", ")
        );
        Error::data(folder, what)
    }

    /// The message for a set that is not there: what was looked for, where, and how to get it.
    pub fn missing(&self, dir: &Path) -> Error {
        let first = self.files.first().map_or("", String::as_str);
        let folders: Vec<String> = self
            .places(dir)
            .map(|folder| folder.display().to_string())
            .collect();
        let archive = self
            .archive
            .map_or(String::new(), |name| format!(" or {name}"));
        let found = match fs::metadata(dir) {
            Err(_) => "no such folder, hence no",
            Ok(found) if found.is_dir() => "no",
            Ok(_) => "neither a folder nor a zip or tar archive, hence no",
        };
        let near = near_name(
            dir,
            &[Some(first), self.archive]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
            &[],
        );
        let (title, dir, url) = (&self.title, dir.display(), self.url);
        Error::Argument(format!(
            "{dir}: {found} {title}; looked for {first}{archive} in {}{near}; --download fetches it from {url}",
            folders.join(", ")
        ))
    }
}

/// The names under which a file is published: `train-images-idx3-ubyte`, and as the gzip file calls
/// its content itself, `train-images.idx3-ubyte`, which 7-Zip, macOS and Kaggle go by.
fn spellings(name: &str) -> Vec<String> {
    let ending = ["-idx3-ubyte", "-idx1-ubyte"]
        .into_iter()
        .find_map(|ending| Some((name.strip_suffix(ending)?, &ending[1..])));
    let dotted = ending.map(|(stem, ending)| format!("{stem}.{ending}"));
    std::iter::once(name.to_owned()).chain(dotted).collect()
}

/// All of [`spellings`], plain and as gzip.
fn variants(name: &str) -> Vec<String> {
    spellings(name)
        .into_iter()
        .flat_map(|name| [name.clone(), format!("{name}.gz")])
        .collect()
}

/// The file `name` in `folder`, in any of its [`variants`], or in a folder of its own name there,
/// as Kaggle has it.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let mut folders = vec![folder.to_owned()];
    folders.extend(spellings(name).iter().map(|name| folder.join(name)));
    for folder in folders {
        for path in variants(name).iter().map(|name| folder.join(name)) {
            if is_file(&path)? {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Whether it is a file with the name of an archive.
fn is_archive(path: &Path) -> Result<bool> {
    let endings = ["zip", "tar", "tgz"];
    let named = path
        .extension()
        .is_some_and(|own| endings.iter().any(|ending| own == *ending));
    Ok((named || path.to_string_lossy().ends_with(".tar.gz")) && is_file(path)?)
}

/// Whether there is a folder; errors as for [`metadata`].
pub(crate) fn is_folder(path: &Path) -> Result<bool> {
    Ok(metadata(path)?.is_some_and(|found| found.is_dir()))
}

/// Whether there is a file; errors as for [`metadata`].
pub(crate) fn is_file(path: &Path) -> Result<bool> {
    Ok(metadata(path)?.is_some_and(|found| found.is_file()))
}

/// What the system knows of a path; `None` where nothing is there.
///
/// # Errors
/// Whatever keeps the system from telling: a folder on the way that may not be read, above all.
pub(crate) fn metadata(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        found => found.map(Some).map_err(Error::io("read", path)),
    }
}

/// `; a near name is ...` where a file in `folder` or in folders below it, other than those
/// `known`, has a name like one of `names`.
fn near_name(folder: &Path, names: &[&str], known: &[PathBuf]) -> String {
    let plain = |name: &str| -> Vec<char> {
        let name = name.to_lowercase();
        name.strip_suffix(".gz")
            .unwrap_or(&name)
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect()
    };
    let wanted: Vec<Vec<char>> = names
        .iter()
        .map(|name| plain(name))
        .filter(|name| !name.is_empty())
        .collect();
    let mut nearest = None;
    let (mut folders, mut entries) = (VecDeque::from([(folder.to_owned(), 0)]), 0);
    while let Some((folder, depth)) = folders.pop_front() {
        // What cannot be listed was looked into by name before; here it only lacks a hint.
        for path in fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            entries += 1;
            if entries > MOST_ENTRIES {
                break;
            }
            if path.is_dir() {
                folders.extend((depth < DEEPEST).then(|| (path, depth + 1)));
                continue;
            }
            let own = plain(&path.file_name().unwrap_or_default().to_string_lossy());
            // Behind a whole name there may be `(1)` or `.part`.
            let is_longer = |name: &[char]| own.len() > name.len() && own.starts_with(name);
            let distances = wanted.iter().map(|name| {
                if is_longer(name) {
                    1
                } else {
                    edit_distance(&own, name)
                }
            });
            let distance = distances.min().unwrap_or(usize::MAX);
            if distance <= FARTHEST
                && !known.contains(&path)
                && nearest.as_ref().is_none_or(|(least, _)| distance < *least)
            {
                nearest = Some((distance, path));
            }
        }
    }
    nearest.map_or(String::new(), |(_, path)| {
        format!("; a near name is {}", path.display())
    })
}

/// Entries of folders that are looked at for a near name, and how far below the given folder.
const MOST_ENTRIES: usize = 10_000;
const DEEPEST: usize = 3;

/// The most changes between near names: `train` and `t10k` differ by four.
const FARTHEST: usize = 3;

/// The characters to insert, remove or replace to make `b` of `a` (Levenshtein's distance).
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

impl Place {
    /// The folder or archive.
    pub fn path(&self) -> &Path {
        let (Place::Folder(path) | Place::Archive(path)) = self;
        path
    }

    /// The files with these names, in any of their [`variants`], in this order; `None` for those
    /// that are not there.
    pub(crate) fn read(&self, names: &[String]) -> Result<Vec<Option<File>>> {
        match self {
            Place::Folder(folder) => names
                .iter()
                .map(|name| find(folder, name)?.map(read_file).transpose())
                .collect(),
            Place::Archive(path) => {
                let mut file = fs::File::open(path).map_err(Error::io("open", path))?;
                let stored = file.metadata().map_err(Error::io("read", path))?.len();
                let variants: Vec<Vec<String>> = names.iter().map(|name| variants(name)).collect();
                let flat = variants.concat();
                let mut found = match path.extension().is_some_and(|e| e == "zip") {
                    true => archive::zip(path, &mut file, &flat)?,
                    false => archive::tar_gz(path, &mut file, stored, &flat)?,
                }
                .into_iter();
                Ok(variants
                    .iter()
                    .map(|names| found.by_ref().take(names.len()).fold(None, Option::or))
                    .collect())
            }
        }
    }
}

fn read_file(path: PathBuf) -> Result<File> {
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    Ok(File { path, bytes })
}
