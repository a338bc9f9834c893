//! Files that are old or new, but never half.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file so that whatever happens, a full disk, a signal, a power cut, the path holds the
/// old contents or the new ones, whole.
///
/// `write` fills a file beside it, `NAME.tmp`, which is forced to the disk and then renamed; at
/// last the folder is forced to the disk, so that the new name lasts. Where anything fails the file
/// beside is removed; one that a killed process left is overwritten by the next call.
///
/// # Errors
/// Those of `write` and of the system.
pub fn write_atomic(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let written = fill(&beside, write)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(Error::io("write", path));
    if written.is_err() {
        // Nothing is lost where this fails too: the next call overwrites it.
        let _ = fs::remove_file(&beside);
        return written;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    sync_folder(folder).map_err(Error::io("write to disk", folder))
}

fn fill(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    write(&mut out)?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems offer no handle on a folder to force to the disk.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
