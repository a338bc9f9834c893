//! The state of a training run, in one file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::io::safetensors::TensorFile;
use crate::{Error, Result, Tensor};

/// All that a training run needs to go on where it stopped: sections of named tensors (weights,
/// moments, means), and single values by name (epoch, step, seed, ...).
///
/// ```
/// use wavemix::{Tensor, io::checkpoint::State};
/// let mut state = State::new();
/// state.put("epoch", 3);
/// state.put_section("optimizer", [("step".to_owned(), Tensor::scalar(1200i64))]);
/// let bytes = state.to_bytes()?;
/// let state = State::from_bytes("state.safetensors", &bytes)?;
/// assert_eq!(state.get::<u64>("epoch")?, 3);
/// assert_eq!(state.section("optimizer")?["step"].item()?, 1200.0);
/// let error = state.get::<u64>("seed").unwrap_err();
/// assert_eq!(error.to_string(), "state.safetensors: the training state lacks `seed`");
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct State {
    /// Where it was read, for messages.
    path: PathBuf,
    file: TensorFile,
}

/// The name under which the format's version is kept.
const FORMAT: &str = "format";
/// The version that this crate writes, and the only one it reads.
const VERSION: &str = "1";

impl State {
    /// An empty state.
    pub fn new() -> State {
        let mut state = State::default();
        state.put(FORMAT, VERSION);
        state
    }

    /// Keeps one value. Numbers of all types come back from [`State::get`] bit for bit.
    pub fn put(&mut self, name: &str, value: impl Display) {
        self.file
            .metadata
            .insert(name.to_owned(), value.to_string());
    }

    /// A value that was put.
    ///
    /// # Errors
    /// Where there is none, or it does not read as a `T`.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.file.metadata.get(name);
        let text = text
            .ok_or_else(|| Error::data(&self.path, format!("the training state lacks `{name}`")))?;
        let unreadable = |_| {
            format!(
                "the training state's `{name}` is `{text}`, not of type {}",
                std::any::type_name::<T>()
            )
        };
        text.parse()
            .map_err(unreadable)
            .map_err(|what| Error::data(&self.path, what))
    }

    /// Whether a value of that name was put.
    pub fn has(&self, name: &str) -> bool {
        self.file.metadata.contains_key(name)
    }

    /// Keeps named tensors together, as `SECTION/NAME`.
    pub fn put_section(
        &mut self,
        section: &str,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) {
        self.file.tensors.extend(
            tensors
                .into_iter()
                .map(|(name, tensor)| (format!("{section}/{name}"), tensor)),
        );
    }

    /// The tensors of a section.
    ///
    /// # Errors
    /// Where it has none.
    pub fn section(&self, section: &str) -> Result<BTreeMap<String, Tensor>> {
        let prefix = format!("{section}/");
        let mut found = BTreeMap::new();
        for (name, tensor) in &self.file.tensors {
            if let Some(name) = name.strip_prefix(&prefix) {
                found.insert(name.to_owned(), tensor.clone());
            }
        }
        if found.is_empty() {
            return Err(Error::data(
                &self.path,
                format!("the training state has no tensors in section `{section}`"),
            ));
        }
        Ok(found)
    }

    /// Whether a section has tensors.
    pub fn has_section(&self, section: &str) -> bool {
        self.file.tensors.keys().any(|name| {
            name.strip_prefix(section)
                .is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Writes it as [`write_atomic`](crate::io::atomic::write_atomic) does.
    ///
    /// # Errors
    /// Where the system refuses to write.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        self.file.write(path)
    }

    /// Its bytes, as [`State::write`] would write them.
    ///
    /// # Errors
    /// Where a tensor has a name that the format keeps for itself.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file
            .write_to(&mut bytes)
            .map_err(Error::io("write", &self.path))?;
        Ok(bytes)
    }

    /// Reads what [`State::write`] wrote.
    ///
    /// # Errors
    /// Where the file cannot be read, is damaged, is not a training state or one of another
    /// version.
    pub fn read(path: impl AsRef<Path>) -> Result<State> {
        State::checked(&path, TensorFile::read(&path)?)
    }

    /// As [`State::read`], from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`State::read`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<State> {
        State::checked(&path, TensorFile::from_bytes(&path, bytes)?)
    }

    fn checked(path: impl AsRef<Path>, file: TensorFile) -> Result<State> {
        match file.metadata.get(FORMAT).map(String::as_str) {
            Some(VERSION) => Ok(State {
                path: path.as_ref().to_owned(),
                file,
            }),
            Some(other) => Err(Error::data(
                path,
                format!("a training state of format `{other}`; this version reads `{VERSION}`"),
            )),
            None => Err(Error::data(
                path,
                "not a training state: it names no format",
            )),
        }
    }
}
