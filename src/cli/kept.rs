//! A run's settings as `config.json` keeps them: the flags that give them again.
//!
//! A switch is kept as `true`, any other flag as text. A path that is not UTF-8 is kept as the
//! array of its bytes (Unix).

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::ArgMatches;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Flags that only say what a process does, and are not kept with a run.
pub(super) const TRANSIENT: [&str; 11] = [
    "resume",
    "out",
    "force",
    "stop-after",
    "profile",
    "tensorboard",
    "evaluate",
    "max-batch",
    "threads",
    "download",
    "cache-memory",
];

/// All flags that have a value and say what a run is, by name.
pub(super) fn effective(m: &ArgMatches) -> Result<Map<String, Value>> {
    let mut kept = Map::new();
    for flag in m
        .ids()
        .map(clap::Id::as_str)
        .filter(|flag| !TRANSIENT.contains(flag))
    {
        if let Ok(Some(&given)) = m.try_get_one::<bool>(flag) {
            if given {
                kept.insert(flag.into(), true.into());
            }
        } else if let Ok(Some(mut raw)) = m.try_get_raw(flag)
            && let Some(value) = raw.next()
        {
            let value = value
                .to_str()
                .map_or_else(|| bytes(flag, value), |text| Ok(text.into()))?;
            kept.insert(flag.into(), value);
        }
    }
    Ok(kept)
}

/// The argument that gives a kept flag again; `config` is the file that keeps it.
pub(super) fn argument(config: &Path, flag: &str, value: &Value) -> Result<OsString> {
    let mut argument = OsString::from(format!("--{flag}"));
    let text = match value {
        Value::Bool(true) => return Ok(argument),
        Value::String(text) => Some(text.into()),
        Value::Array(values) => from_bytes(values),
        _ => None,
    };
    let text = text.ok_or_else(|| {
        Error::data(
            config,
            format!("setting `{flag}` is neither text, true nor bytes"),
        )
    })?;
    argument.push("=");
    argument.push(text);
    Ok(argument)
}

#[cfg(unix)]
fn bytes(_flag: &str, value: &OsStr) -> Result<Value> {
    use std::os::unix::ffi::OsStrExt;
    Ok(value.as_bytes().into())
}

/// Other systems keep paths in other units than bytes.
#[cfg(not(unix))]
fn bytes(flag: &str, value: &OsStr) -> Result<Value> {
    Err(Error::Argument(format!(
        "--{flag} {}: config.json cannot keep a path that is not Unicode",
        value.display()
    )))
}

#[cfg(unix)]
fn from_bytes(values: &[Value]) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    let bytes = values
        .iter()
        .map(|value| value.as_u64().and_then(|byte| u8::try_from(byte).ok()));
    bytes.collect::<Option<Vec<u8>>>().map(OsString::from_vec)
}

#[cfg(not(unix))]
fn from_bytes(_values: &[Value]) -> Option<OsString> {
    None
}
