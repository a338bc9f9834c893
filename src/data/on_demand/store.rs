//! The files of a set: in a folder, or in a zip or tar that is read in place.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::data::archive::{self, Entry};
use crate::data::place::is_folder;
use crate::data::tar;
use crate::{Error, Result};

/// Folders within one another are walked to this depth: a link that leads back would go on for
/// ever.
const DEEPEST: usize = 16;

/// The files under a folder or in an archive, by their names, and where each of them lies.
///
/// An archive is opened anew for each file that is read, so that several threads can.
pub(crate) struct Store {
    path: PathBuf,
    /// The archive's own folder, which is no part of names.
    top: String,
    members: Members,
}

enum Members {
    /// Paths under the folder, with `/`.
    Folder(Vec<String>),
    Zip(Vec<Entry>),
    Tar(Vec<TarMember>),
}

/// Where a file lies in a tar.
pub(crate) struct TarMember {
    name: String,
    start: u64,
    size: u64,
}

impl Store {
    /// The files of a folder, or of a zip or tar. `top` is the folder that an archive has
    /// everything in. Files are in the order of their names.
    ///
    /// # Errors
    /// A folder or archive that cannot be read; a tar that is compressed, in which nothing can be
    /// found but by unpacking all before it.
    pub fn open(path: &Path, top: &str) -> Result<Store> {
        let members = if is_folder(path)? {
            let mut names = Vec::new();
            walk(path, "", DEEPEST, &mut names)?;
            names.sort_unstable();
            Members::Folder(names)
        } else {
            let mut file = File::open(path).map_err(Error::io("open", path))?;
            match path.extension().is_some_and(|ending| ending == "zip") {
                true => zip_members(path, &mut file)?,
                false => {
                    let length = file.metadata().map_err(Error::io("read", path))?.len();
                    Members::Tar(tar_members(path, file, length)?)
                }
            }
        };
        Ok(Store {
            path: path.to_owned(),
            top: format!("{top}/"),
            members,
        })
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        match &self.members {
            Members::Folder(names) => names.len(),
            Members::Zip(entries) => entries.len(),
            Members::Tar(members) => members.len(),
        }
    }

    /// The name of a file, with the folders that it is in.
    pub fn name(&self, index: usize) -> &str {
        let name = match &self.members {
            Members::Folder(names) => return &names[index],
            Members::Zip(entries) => &entries[index].name,
            Members::Tar(members) => &members[index].name,
        };
        let name = name.strip_prefix("./").unwrap_or(name);
        name.strip_prefix(&self.top).unwrap_or(name)
    }

    /// All names, by number.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.name(index))
    }

    /// The number of the file of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names().position(|own| own == name)
    }

    /// The text of the file of this name.
    ///
    /// # Errors
    /// No such file, or one that is no text.
    pub fn text(&self, name: &str) -> Result<String> {
        let index = self
            .find(name)
            .ok_or_else(|| Error::data(&self.path, format!("holds no {name}")))?;
        let bytes = self.read(index)?;
        crate::data::text(&self.path(index), &bytes).map(str::to_owned)
    }

    /// Where a file is, for messages.
    pub fn path(&self, index: usize) -> PathBuf {
        self.path.join(self.name(index))
    }

    /// The folder or archive.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// A file that cannot be read, or a damaged member.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        let path = &self.path;
        if let Members::Folder(names) = &self.members {
            let path = path.join(&names[index]);
            return fs::read(&path).map_err(Error::io("read", &path));
        }
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        match &self.members {
            Members::Zip(entries) => {
                archive::member(path, &mut file, &entries[index]).map(|file| file.bytes)
            }
            Members::Tar(members) => {
                let member = &members[index];
                let mut bytes = vec![0; member.size as usize];
                file.seek(SeekFrom::Start(member.start))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(Error::io("read", path))?;
                Ok(bytes)
            }
            Members::Folder(_) => Ok(Vec::new()),
        }
    }
}

/// Adds the files under a folder to `names`, `within` being the name of the folder itself.
fn walk(folder: &Path, within: &str, depth: usize, names: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let own = path.file_name().unwrap_or_default().to_string_lossy();
        let name = match within {
            "" => own.into_owned(),
            within => format!("{within}/{own}"),
        };
        if !path.is_dir() {
            names.push(name);
        } else if depth > 0 {
            walk(&path, &name, depth - 1, names)?;
        }
    }
    Ok(())
}

fn zip_members(path: &Path, file: &mut File) -> Result<Members> {
    let mut entries = archive::directory(path, file)?;
    for entry in &mut entries {
        // Some programs on Windows write `\` where the zip format wants `/`.
        if !entry.name.contains('/') {
            entry.name = entry.name.replace('\\', "/");
        }
    }
    entries.retain(|entry| !entry.name.ends_with('/'));
    entries.sort_unstable_by(|a, b| (&a.name, a.header).cmp(&(&b.name, b.header)));
    Ok(Members::Zip(entries))
}

/// The files of a tar of `length` bytes, in one pass over its headers.
pub(crate) fn tar_members(
    path: &Path,
    reader: impl Read + Seek,
    length: u64,
) -> Result<Vec<TarMember>> {
    let mut reader = BufReader::new(reader);
    let start = reader.fill_buf().map_err(Error::io("read", path))?;
    if start.starts_with(&[0x1F, 0x8B]) {
        let what = "is compressed, so that nothing is found in it but by unpacking all before: \
                    unpack it, or make a plain tar of it with gunzip";
        return Err(Error::data(path, what));
    }
    let mut members = Vec::new();
    while let Some(header) = tar::next(path, &mut reader)? {
        let start = reader.stream_position().map_err(Error::io("read", path))?;
        let (name, size) = (header.name, header.size);
        if start.checked_add(size).is_none_or(|end| end > length) {
            let what = "broken tar: the archive ends inside this member";
            return Err(Error::data(path.join(name), what));
        }
        reader
            .seek_relative(size.next_multiple_of(512) as i64)
            .map_err(Error::io("read", path))?;
        if header.is_file {
            members.push(TarMember { name, start, size });
        }
    }
    members.sort_unstable_by(|a, b| (&a.name, a.start).cmp(&(&b.name, b.start)));
    Ok(members)
}
