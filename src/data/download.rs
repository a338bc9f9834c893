//! Fetching the official archives with the system's curl or wget, and only when asked to.
//!
//! No network code of our own: those two know proxies, certificates and slow servers. A file is
//! written as `NAME.part`, resumed where an earlier attempt stopped, and takes its name once its
//! SHA-256 is right. So what bears the final name is whole.

use super::{Part, Remote, Source};
use crate::console::{Stderr, quoted};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program that fetches.
#[derive(Clone, Debug)]
pub struct Downloader {
    program: Option<Program>,
}

/// curl or wget.
#[derive(Clone, Debug)]
struct Program {
    name: &'static str,
    path: PathBuf,
}

impl Program {
    /// Fetches the file of the first address that answers into `part`, or goes on with it. Where
    /// none does, a line for each says why.
    ///
    /// # Errors
    /// The program cannot be run.
    fn fetch_any(&self, urls: &[String], part: &Path) -> Result<Option<String>> {
        let Program { name, path } = self;
        let mut failures = String::new();
        for url in urls {
            let mut command = Command::new(path);
            match *name {
                "curl" => command.args(["-fL", "-C", "-", "-o"]).arg(part).arg(url),
                _ => command.args(["-c", "-O"]).arg(part).arg(url),
            };
            let status = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .map_err(Error::io("run", path))?;
            if status.success() {
                return Ok(None);
            }
            failures += &format!("\n  {url}: {name} ended with {status}");
        }
        Ok(Some(failures))
    }
}

impl Downloader {
    /// Looks for curl, then wget, in the folders of `path`, which is written as `$PATH` is.
    pub fn new(path: Option<OsString>) -> Self {
        let path = path.unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let find = |name: &'static str| {
            let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
            let mut files = folders.iter().map(|folder| folder.join(&file));
            let path = files.find(|file| file.is_file())?;
            Some(Program { name, path })
        };
        Downloader {
            program: find("curl").or_else(|| find("wget")),
        }
    }

    /// Fetches `remote` into `folder`, going on where an earlier attempt stopped. Does nothing if
    /// the file is there. Waits while another process fetches into the same folder.
    ///
    /// # Errors
    /// Neither curl nor wget (the message tells how to do it by hand), no server that answers, a
    /// wrong checksum, a disk that refuses. In each case nothing stands under the final name.
    pub fn fetch(&self, remote: &Remote, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let file = folder.join(remote.file);
        if file.is_file() {
            return Ok(());
        }
        let part = folder.join(format!("{}.part", remote.file));
        let (parent, urls) = (part.parent().unwrap_or(folder), remote.urls());
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let Some(program) = &self.program else {
            return Err(by_hand(remote, &file));
        };
        let _lock = lock(parent);
        // Whoever held the lock before may have fetched it.
        if file.is_file() {
            return Ok(());
        }
        if size(&part) > remote.bytes {
            fs::remove_file(&part).map_err(Error::io("remove", &part))?;
        }
        // Both programs would take a file that is already whole for a failure.
        if size(&part) != remote.bytes
            && let Some(failures) = program.fetch_any(&urls, &part)?
        {
            let (got, part) = (size(&part), part.display());
            let what = format!(
                "was not fetched:{failures}\n{got} bytes are in {part}; try again to go on from there, or remove it to begin anew"
            );
            return Err(Error::data(file, what));
        }
        let sum = sha256(&part)?;
        if sum != remote.sha256 {
            // What is wrong would only be resumed.
            fs::remove_file(&part).map_err(Error::io("remove", &part))?;
            let what = format!(
                "what {} sent has SHA-256 {sum}, expected {}; it was removed",
                urls.join(" or "),
                remote.sha256
            );
            return Err(Error::data(file, what));
        }
        fs::rename(&part, &file).map_err(Error::io("rename", &part))
    }
}

/// Looks in `$PATH`.
impl Default for Downloader {
    fn default() -> Self {
        Downloader::new(std::env::var_os("PATH"))
    }
}

/// The folder, locked by the system until this is dropped or the process ends. `None` where a
/// folder cannot be locked, as on Windows and some network file systems: there two downloads at
/// once may spoil each other, which their checksum shows.
fn lock(folder: &Path) -> Option<fs::File> {
    let file = fs::File::open(folder).ok()?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        writeln!(
            Stderr,
            "another process fetches into {}: waiting for it",
            folder.display()
        );
    }
    file.lock().ok().map(|()| file)
}

fn by_hand(remote: &Remote, file: &Path) -> Error {
    let (url, path, sum) = (
        remote.urls().into_iter().next().unwrap_or_default(),
        quoted(file),
        remote.sha256,
    );
    Error::Argument(format!(
        "neither curl nor wget was found; fetch {url} by any means, as with\n  curl -fL -o {path} {url}\n\
         and compare its SHA-256 with\n  {sum}"
    ))
}

/// Bytes of a file, 0 where there is none.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(Error::io("open", path))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => {
                return Ok(hash
                    .finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect());
            }
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path)(e)),
        }
    }
}

impl Source {
    /// Fetches what is missing of the official files into `folder`, where [`Source::load`] finds
    /// them.
    ///
    /// # Errors
    /// See [`Downloader::fetch`]; a set that its publisher does not give to programs, or whose
    /// checksum is not known.
    pub fn download(self, folder: impl AsRef<Path>, downloader: &Downloader) -> Result<()> {
        if self.remotes().is_empty() {
            return Err(self.missing(folder, Part::Both));
        }
        self.remotes()
            .iter()
            .try_for_each(|remote| downloader.fetch(remote, folder.as_ref()))
    }
}
