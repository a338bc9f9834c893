//! Where a data set lies: a folder of its files, or its official archive, read in place.

use super::archive::{self, File};
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder or archive that holds a data set; found by [`Source::locate`](super::Source::locate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder with the files themselves, plain or (IDX) as gzip.
    Folder(PathBuf),
    /// An archive: zip, or a gzipped tar where the name ends in `.tar.gz`.
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

impl Layout {
    fn places(&self, dir: &Path) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().map(|folder| if folder.is_empty() { dir.to_owned() } else { dir.join(folder) })
    }

    /// The first place under `dir` that holds the set, or `dir` itself if it is the archive; `None` if there is nothing.
    ///
    /// # Errors
    /// Files found partially, and the Python version of a set.
    pub fn locate(&self, dir: &Path) -> Result<Option<Place>> {
        let is_archive = |path: &Path| self.archive.is_some_and(|name| path.ends_with(name)) && path.is_file();
        if is_archive(dir) {
            return Ok(Some(Place::Archive(dir.to_owned())));
        }
        let mut partial = None;
        for folder in self.places(dir) {
            let missing: Vec<&str> =
                self.files.iter().map(String::as_str).filter(|name| variant(&folder, name).is_none()).collect();
            if missing.is_empty() {
                return Ok(Some(Place::Folder(folder)));
            }
            if missing.len() < self.files.len() && partial.is_none() {
                partial = Some((folder, missing.join(", ")));
            }
        }
        let mut archives = self.places(dir).filter_map(|folder| Some(folder.join(self.archive?)));
        if let Some(archive) = archives.find(|path| path.is_file()) {
            return Ok(Some(Place::Archive(archive)));
        }
        if let Some(pickle) = self.pickles.iter().map(|name| dir.join(name)).find(|path| path.exists()) {
            let (archive, url) = (self.archive.unwrap_or_default(), self.url);
            let what = format!("the Python version of {} is not read (pickles run code); get {archive} from {url}", self.title);
            return Err(Error::data(pickle, what));
        }
        match partial {
            Some((folder, missing)) => Err(Error::data(folder, format!("{} is not whole: {missing} missing", self.title))),
            None => Ok(None),
        }
    }

    /// The message for a set that is not there: what was looked for, where, and how to get it.
    pub fn missing(&self, dir: &Path) -> Error {
        let first = self.files.first().map_or("", String::as_str);
        let folders: Vec<String> = self.places(dir).map(|folder| folder.display().to_string()).collect();
        let archive = self.archive.map_or(String::new(), |name| format!(" or {name}"));
        let found = if dir.exists() { "no" } else { "no such folder, hence no" };
        let (title, dir, url) = (&self.title, dir.display(), self.url);
        Error::Argument(format!(
            "{dir}: {found} {title}; looked for {first}{archive} in {}; --download fetches it from {url}",
            folders.join(", ")
        ))
    }
}

/// `name` in `folder`, or `name.gz`.
fn variant(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

impl Place {
    /// The folder or archive.
    pub fn path(&self) -> &Path {
        let (Place::Folder(path) | Place::Archive(path)) = self;
        path
    }

    /// The files with these names (or with `.gz` behind), in this order; `None` for those that are not there.
    pub(crate) fn read(&self, names: &[String]) -> Result<Vec<Option<File>>> {
        match self {
            Place::Folder(folder) => names.iter().map(|name| variant(folder, name).map(read_file).transpose()).collect(),
            Place::Archive(path) => {
                let mut file = fs::File::open(path).map_err(Error::io("open", path))?;
                if path.extension().is_none_or(|e| e != "zip") {
                    let stored = file.metadata().map_err(Error::io("read", path))?.len();
                    return archive::tar_gz(path, file, stored, names);
                }
                let both: Vec<String> = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]).collect();
                let mut found = archive::zip(path, &mut file, &both)?.into_iter();
                Ok(std::iter::from_fn(|| Some(found.next()?.or(found.next()?))).collect())
            }
        }
    }
}

fn read_file(path: PathBuf) -> Result<File> {
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    Ok(File { path, bytes })
}
