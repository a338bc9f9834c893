//! The folder of a run: claimed by one process, locked against all others.
//!
//! The lock is the system's, on the file `.lock` ([`File::try_lock`]), and ends with the process
//! that holds it, however that ends. So a killed run leaves no lock behind, and no process id has
//! to be judged, which another process may have by then. The id in the file is for messages.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::console::Stderr;
use crate::io::tensorboard::EventFile;
use crate::train::config::Config;
use crate::{Error, Result};

const LOCK: &str = ".lock";

/// The lock file's second line from when a folder is claimed until it holds a run that can be
/// resumed. Where a killed process left it so, nothing of worth is in the way of starting over.
const BEGINNING: &str = "beginning";

/// What a run writes, `config.json` first: without it there is nothing to resume.
const FILES: [&str; 10] = [
    "config.json",
    "metrics.jsonl",
    "last/state.safetensors",
    "last/model.safetensors",
    "best/model.safetensors",
    "curves.svg",
    "confusion.svg",
    "mistakes.svg",
    "profile.json",
    "profile.svg",
];

/// A run's folder, and the lock on it for as long as this lives.
pub(crate) struct RunFolder {
    path: PathBuf,
    lock: File,
}

impl Deref for RunFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl RunFolder {
    /// The folder that the settings name, where there is one already, locked: a run to go on with, or
    /// room for a new one.
    ///
    /// # Errors
    /// Another process writes to it, it may not be written, or it holds what a new run would write
    /// over.
    pub fn existing(config: &Config) -> Result<Option<RunFolder>> {
        match &config.out {
            Some(path) if config.resume => RunFolder::reopen(path).map(Some),
            Some(path) if path.exists() => RunFolder::claim(path, config).map(Some),
            _ => Ok(None),
        }
    }

    /// A new folder: the one asked for, or the next free `runs/<name>-<n>`. It is this process's
    /// that creates it, so that of runs started together each has its own.
    ///
    /// # Errors
    /// The system refuses, or another process was faster with the folder asked for.
    pub fn create(config: &Config) -> Result<RunFolder> {
        let created = |path: &Path| match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            outcome => outcome.map(|()| true).map_err(Error::io("create", path)),
        };
        if let Some(path) = &config.out {
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            created(path)?;
            return RunFolder::claim(path, config);
        }
        let runs = Path::new("runs");
        fs::create_dir_all(runs).map_err(Error::io("create", runs))?;
        let mut paths = (1..).map(|n| runs.join(format!("{}-{n}", config.name)));
        loop {
            let path = paths
                .next()
                .ok_or_else(|| Error::Argument("no free folder under runs".into()))?;
            if created(&path)? {
                return RunFolder::claim(&path, config);
            }
        }
    }

    /// Locks a folder in which nothing is in the way of a new run, or where `force` lets it write
    /// over what is.
    fn claim(path: &Path, config: &Config) -> Result<RunFolder> {
        // What is refused is left as it is, without a lock file. Where there is one its holder is
        // the better reason.
        if !path.join(LOCK).exists() {
            refuse_contents(path, config)?;
        }
        let folder = RunFolder {
            path: path.to_owned(),
            lock: lock(path)?,
        };
        refuse_contents(path, config)?;
        folder.sign(BEGINNING)?;
        Ok(folder)
    }

    /// Removes the files of an earlier run, which a new one may write over: not before the new one
    /// is known to begin.
    pub fn clear(&self) -> Result<()> {
        for file in FILES
            .iter()
            .map(|name| self.path.join(name))
            .filter(|file| file.exists())
        {
            fs::remove_file(&file).map_err(Error::io("remove", &file))?;
        }
        for events in EventFile::find(&self.path)? {
            fs::remove_file(&events).map_err(Error::io("remove", &events))?;
        }
        Ok(())
    }

    /// Locks a run's folder, and makes sure that a checkpoint can be written to it.
    fn reopen(path: &Path) -> Result<RunFolder> {
        let folder = RunFolder {
            path: path.to_owned(),
            lock: lock(path)?,
        };
        folder.sign("")?;
        for part in ["", "last", "best"].map(|part| path.join(part)) {
            let probe = part.join(".probe.tmp");
            let written = fs::write(&probe, b"probe").and_then(|()| fs::remove_file(&probe));
            written.map_err(Error::io("write to", &part))?;
        }
        Ok(folder)
    }

    /// From now on the folder holds a run that can be resumed.
    pub fn begun(&self) -> Result<()> {
        self.sign("")
    }

    /// Writes who holds the lock.
    fn sign(&self, stage: &str) -> Result<()> {
        let mut lock = &self.lock;
        let text = format!("{}\n{stage}", std::process::id());
        let written = lock
            .rewind()
            .and_then(|()| lock.set_len(0))
            .and_then(|()| lock.write_all(text.as_bytes()));
        written.map_err(Error::io("write", self.path.join(LOCK)))
    }
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(Error::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = holder
                .lines()
                .next()
                .map_or("another process".into(), |id| format!("process {id}"));
            let folder = folder.display();
            return Err(Error::Argument(format!(
                "{folder} is in use: {holder} trains there; wait for it or stop it first"
            )));
        }
        // Some network file systems know no locks. They shall not keep anybody from training.
        Err(TryLockError::Error(why)) => {
            writeln!(
                Stderr,
                "{} cannot be locked ({why}): see to it that no other run writes there",
                folder.display()
            );
        }
    }
    Ok(file)
}

/// An error where the folder holds anything but what a run left that was killed before it began.
fn refuse_contents(folder: &Path, config: &Config) -> Result<()> {
    let has_run = folder.join("config.json").exists();
    let state = fs::read_to_string(folder.join(LOCK)).unwrap_or_default();
    if config.force || (!has_run && state.lines().nth(1) == Some(BEGINNING)) {
        return Ok(());
    }
    let [resume, out, force] = ["resume", "out", "force"].map(|flag| config.setting(flag));
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let name = entry.map_err(Error::io("read", folder))?.file_name();
        if has_run {
            let how = format!(
                "go on with it by {resume}, take another {out}, or write over it by {force}"
            );
            return Err(Error::Argument(format!(
                "{} holds a run already: {how}",
                folder.display()
            )));
        }
        if name != LOCK {
            let (folder, name) = (folder.display(), name.display());
            return Err(Error::Argument(format!(
                "{folder} holds other files, such as {name}: take another {out}, or write beside them by {force}"
            )));
        }
    }
    Ok(())
}

/// Reads `config.json` of a run's folder.
///
/// # Errors
/// No such file, or not JSON.
pub fn read_config(folder: impl AsRef<Path>) -> Result<Value> {
    let path = folder.as_ref().join("config.json");
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    serde_json::from_str(&text).map_err(|e| Error::data(&path, format!("is not JSON: {e}")))
}
