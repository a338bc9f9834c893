//! Where a set that is read on demand lies, and what is opened there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::Dataset;
use crate::data::place::{is_file, metadata};
use crate::{Error, Result};

/// A set that is read on demand: a row of the table of sets.
pub(crate) struct OnDemand {
    /// Where it is published.
    pub url: &'static str,
    /// What it consists of.
    pub roots: &'static [Root],
    /// Rows and columns that the papers of WaveMix use.
    pub size: [usize; 2],
    /// Opens what was found of each root, with pictures of so many rows and columns.
    pub open: fn(&[Option<PathBuf>], [usize; 2]) -> Result<Parts>,
}

/// The two parts of a set.
pub(crate) struct Parts {
    pub train: Arc<dyn Dataset>,
    pub test: Arc<dyn Dataset>,
}

/// A folder or archive that is a part of a set.
pub(crate) struct Root {
    /// Folders under the given one, each with a file or folder in it to know it by. `""` is the
    /// given folder itself.
    pub folders: &'static [(&'static str, &'static str)],
    /// Archives under the given folder.
    pub archives: &'static [&'static str],
    /// Whether the set can be read without it.
    pub optional: bool,
}

impl Root {
    /// Where it is: the first of its folders that is there, else the first archive. `dir` may be
    /// one of the archives itself.
    ///
    /// # Errors
    /// A folder that the system does not let be read: what is looked for may well be in it.
    fn find(&self, dir: &Path) -> Result<Option<PathBuf>> {
        if self.archives.iter().any(|name| dir.ends_with(name)) && is_file(dir)? {
            return Ok(Some(dir.to_owned()));
        }
        let within = |name: &str| match name {
            "" => dir.to_owned(),
            name => dir.join(name),
        };
        for (folder, mark) in self.folders {
            if metadata(&within(folder).join(mark))?.is_some() {
                return Ok(Some(within(folder)));
            }
        }
        for path in self.archives.iter().map(|name| within(name)) {
            if is_file(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// What is looked for, for messages.
    fn names(&self) -> String {
        let marks = self.folders.iter().map(|(folder, mark)| match *folder {
            "" => (*mark).to_owned(),
            folder => format!("{folder}/{mark}"),
        });
        let archives = self.archives.iter().map(|name| (*name).to_owned());
        marks.chain(archives).collect::<Vec<_>>().join(" or ")
    }
}

impl OnDemand {
    /// Where each of its roots is; `None` where nothing of it is there.
    ///
    /// # Errors
    /// Some roots are there and others missing; a folder that the system does not let be read.
    pub fn find(&self, title: &str, dir: &Path) -> Result<Option<Vec<Option<PathBuf>>>> {
        let found = self.roots.iter().map(|root| root.find(dir));
        let found: Vec<_> = found.collect::<Result<_>>()?;
        let lacking = |(root, found): &(&Root, &Option<PathBuf>)| found.is_none() && !root.optional;
        let Some((root, _)) = self.roots.iter().zip(&found).find(lacking) else {
            return Ok(Some(found));
        };
        if found.iter().all(Option::is_none) {
            return Ok(None);
        }
        let what = format!("{title} is not whole: {} missing", root.names());
        Err(Error::data(dir, what))
    }

    /// The error of a set that is not in `dir`.
    pub fn missing(&self, title: &str, dir: &Path) -> Error {
        let roots = self.roots.iter().filter(|root| !root.optional);
        let names: Vec<String> = roots.map(Root::names).collect();
        Error::Argument(format!(
            "{}: no {title}; looked for {}; it is published at {}",
            dir.display(),
            names.join(", and "),
            self.url
        ))
    }
}
