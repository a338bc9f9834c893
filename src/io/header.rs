//! The header of a safetensors file, read and checked.
//!
//! ```text
//! 8 bytes    the length of the JSON, little-endian
//! JSON       {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"KEY": "TEXT", ...}}
//! the rest   elements, little-endian and row-major; data_offsets count from here
//! ```
//!
//! Tensors fill the rest in the order of their offsets, without a hole or an overlap: so a file
//! holds nothing that its header does not tell of, and no tensor is longer than the file.
//!
//! Source: <https://github.com/huggingface/safetensors>, whose crate is the oracle of
//! `tests/safetensors.rs`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The key under which the header keeps strings.
pub(super) const METADATA: &str = "__metadata__";

/// The longest header that is read, in bytes: the format's own limit.
const LONGEST: u64 = 100_000_000;

/// Why bytes are no safetensors file.
type Reason = String;

/// What a file holds, undecoded.
pub(crate) struct Contents<'a> {
    /// The tensors by name.
    pub tensors: BTreeMap<String, View<'a>>,
    /// The strings by name.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor as it lies in a file: as many bytes as its shape and dtype say.
pub(crate) struct View<'a> {
    /// The format's name of its dtype: `F32`.
    pub dtype: &'static str,
    /// Its shape, of any rank.
    pub shape: Vec<usize>,
    pub bytes: Cow<'a, [u8]>,
}

/// The format's dtypes, and the bits of an element.
const DTYPES: [(&str, usize); 22] = [
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("BOOL", 8),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
];

/// What a file's bytes hold.
pub(super) fn read(bytes: &[u8]) -> Result<Contents<'_>, Reason> {
    let (length, rest) = bytes.split_first_chunk().ok_or("header too small")?;
    let length = u64::from_le_bytes(*length);
    if length > LONGEST {
        return Err("header too large".into());
    }
    let (json, data) = rest
        .split_at_checked(length as usize)
        .ok_or("invalid header length")?;
    let json = std::str::from_utf8(json).map_err(|e| format!("invalid UTF-8 in header: {e}"))?;
    let mut header: Map<String, Value> =
        serde_json::from_str(json).map_err(|e| format!("invalid JSON in header: {e}"))?;
    let metadata = strings(header.remove(METADATA))?;
    let entries: Vec<(String, Entry)> = header
        .into_iter()
        .map(|(name, value)| match entry(&value) {
            Ok(entry) => Ok((name, entry)),
            Err(why) => Err(format!("invalid JSON in header: tensor `{name}` {why}")),
        })
        .collect::<Result<_, Reason>>()?;
    let tensors = views(entries, data)?;
    Ok(Contents { tensors, metadata })
}

/// The strings of the header, where it has any.
fn strings(metadata: Option<Value>) -> Result<BTreeMap<String, String>, Reason> {
    let entries = match metadata {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(entries)) => entries,
        Some(_) => {
            return Err(format!(
                "invalid JSON in header: {METADATA} is not an object"
            ));
        }
    };
    let mut strings = BTreeMap::new();
    for (key, value) in entries {
        let Value::String(text) = value else {
            return Err(format!(
                "invalid JSON in header: `{key}` of {METADATA} is not a string"
            ));
        };
        strings.insert(key, text);
    }
    Ok(strings)
}

/// What the header says of one tensor.
struct Entry {
    dtype: &'static str,
    bits: usize,
    shape: Vec<usize>,
    /// Its first byte and the one after its last.
    offsets: [usize; 2],
}

fn entry(value: &Value) -> Result<Entry, &'static str> {
    let name = value["dtype"].as_str().ok_or("has no `dtype`")?;
    let (dtype, bits) = DTYPES
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or("is of no dtype of this format")?;
    let counts = |key: &str| -> Option<Vec<usize>> {
        let count = |value: &Value| usize::try_from(value.as_u64()?).ok();
        value[key].as_array()?.iter().map(count).collect()
    };
    let shape = counts("shape").ok_or("has no `shape`")?;
    let offsets = counts("data_offsets").and_then(|offsets| offsets.try_into().ok());
    Ok(Entry {
        dtype,
        bits,
        shape,
        offsets: offsets.ok_or("has no two `data_offsets`")?,
    })
}

/// Cuts `data` into the tensors, which must cover it.
fn views(
    mut entries: Vec<(String, Entry)>,
    data: &[u8],
) -> Result<BTreeMap<String, View<'_>>, Reason> {
    entries.sort_unstable_by_key(|(_, entry)| entry.offsets);
    let (mut tensors, mut rest, mut at) = (BTreeMap::new(), data, 0);
    for (name, entry) in entries {
        let [start, end] = entry.offsets;
        if start != at || end < start {
            return Err(format!("invalid offset for tensor `{name}`"));
        }
        if end - start != size(&entry)? {
            return Err(format!(
                "invalid shape, data type, or offset for tensor `{name}`"
            ));
        }
        let (bytes, behind) = rest.split_at_checked(end - start).ok_or(NOT_COVERED)?;
        (rest, at) = (behind, end);
        let Entry { dtype, shape, .. } = entry;
        tensors.insert(
            name,
            View {
                dtype,
                shape,
                bytes: Cow::Borrowed(bytes),
            },
        );
    }
    if rest.is_empty() {
        Ok(tensors)
    } else {
        Err(NOT_COVERED.into())
    }
}

const NOT_COVERED: &str = "incomplete metadata, file not fully covered";

/// Bytes that a tensor's shape and dtype take.
fn size(entry: &Entry) -> Result<usize, Reason> {
    let bits = entry
        .shape
        .iter()
        .try_fold(1usize, |n, &length| n.checked_mul(length))
        .and_then(|elements| elements.checked_mul(entry.bits))
        .ok_or("overflow computing buffer size from shape and/or element type")?;
    if bits % 8 == 0 {
        Ok(bits / 8)
    } else {
        Err("a tensor of elements of less than a byte ends inside a byte".into())
    }
}
