//! Files of `torch.save`: a state dict, or a checkpoint that holds one. Nothing in them is run.
//!
//! ```text
//! a zip      NAME/data.pkl    the object, pickled
//!            NAME/data/0 ..   the elements of each storage, stored as they are
//!            NAME/byteorder   "little"
//! a stream   (before PyTorch 1.6) five pickles: a magic number, 1001, sizes of C's types, the
//!            object, the keys of the storages in order; then for each of them the number of its
//!            elements as i64, and these
//!
//! in the object
//!     _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
//!     _rebuild_parameter(tensor, requires_grad, hooks)
//!     a storage is a persistent id: ("storage", torch.FloatStorage, "0", "cpu", elements)
//! ```
//!
//! Offset and strides count elements. Several tensors may be views of one storage.
//!
//! Source: `torch/serialization.py` and `torch/_utils.py`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::path::Path;

use crate::data::archive;
use crate::io::header::{Contents, View};
use crate::io::pickle::{Name, Pickle, Value};
use crate::tensor::shape::checked_product;
use crate::{Error, Result};

/// What is wrong with a file, where something is.
type Step<T> = std::result::Result<T, String>;

/// The names that a file may ask for.
const NAMES: &[Name] = &[
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch", "BFloat16Storage"),
    ("torch", "BoolStorage"),
    ("torch", "ByteStorage"),
    ("torch", "CharStorage"),
    ("torch", "DoubleStorage"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "IntStorage"),
    ("torch", "LongStorage"),
    ("torch", "ShortStorage"),
];

/// What a storage holds, by safetensors' name, and the bytes of an element.
fn dtype(storage: &str) -> Option<(&'static str, usize)> {
    Some(match storage {
        "BFloat16Storage" => ("BF16", 2),
        "BoolStorage" => ("BOOL", 1),
        "ByteStorage" => ("U8", 1),
        "CharStorage" => ("I8", 1),
        "DoubleStorage" => ("F64", 8),
        "FloatStorage" => ("F32", 4),
        "HalfStorage" => ("F16", 2),
        "IntStorage" => ("I32", 4),
        "LongStorage" => ("I64", 8),
        "ShortStorage" => ("I16", 2),
        _ => return None,
    })
}

/// Under which names checkpoints keep a state dict, and how many of them may lie in one another.
const STATE_DICTS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
const DEEPEST: usize = 4;

/// What wrappers of a whole model put before its names: `DataParallel`, and `torch.compile`.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// The magic number that a stream begins with, and the end of its pickle.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// How many times the bytes of the file its tensors may take: views may overlap.
const MOST_TIMES: usize = 16;

/// The most axes of a tensor, as in PyTorch.
const MOST_AXES: usize = 64;

/// Whether `torch.save` may have written these bytes.
pub(super) fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || stream_start(bytes).is_some()
}

/// Where the second pickle of a stream begins. Protocol 4 has a frame before the magic number.
fn stream_start(bytes: &[u8]) -> Option<usize> {
    let start = bytes.get(..MAGIC.len() + 11).unwrap_or(bytes);
    let at = start.windows(MAGIC.len()).position(|w| w == MAGIC)?;
    (bytes[0] == 0x80).then_some(at + MAGIC.len())
}

/// The tensors of a file's state dict.
///
/// # Errors
/// A damaged file; one of something else than tensors. `path` only serves the message.
pub(super) fn read<'a>(path: &Path, bytes: &'a [u8]) -> Result<Contents<'a>> {
    let file = match stream_start(bytes) {
        Some(start) => stream(bytes, start).map_err(|what| Error::data(path, what))?,
        None => zip(path, bytes)?,
    };
    let most = bytes.len().saturating_mul(MOST_TIMES);
    file.contents(most).map_err(|what| Error::data(path, what))
}

/// The object of a file, and its storages by their keys.
pub(crate) struct TorchFile<'a> {
    pub object: Pickle,
    pub storages: HashMap<String, &'a [u8]>,
}

/// Reads the pickle that bytes begin with.
pub(crate) fn pickle(bytes: &[u8]) -> Step<Pickle> {
    let pickle = Pickle::read(Cursor::new(bytes), bytes.len() as u64, NAMES);
    pickle.map_err(|what| {
        let hint = match what.starts_with("it names") {
            true => "; torch.save(model.state_dict(), PATH) writes tensors alone",
            false => "",
        };
        format!("broken or foreign pickle: {what}{hint}")
    })
}

fn zip<'a>(path: &Path, bytes: &'a [u8]) -> Result<TorchFile<'a>> {
    let wrong = |what: &str| Error::data(path, what);
    let entries = archive::directory(path, &mut Cursor::new(bytes))?;
    let pickled = entries
        .iter()
        .find_map(|entry| Some((entry, entry.name.strip_suffix("data.pkl")?)));
    let (pickled, folder) =
        pickled.ok_or_else(|| wrong("a zip archive that torch.save did not write"))?;
    let object = archive::stored(path, bytes, pickled)?;
    let object = pickle(object).map_err(|what| Error::data(path.join(&pickled.name), what))?;
    let (mut storages, mut left) = (HashMap::new(), bytes.len());
    for entry in &entries {
        let Some(name) = entry.name.strip_prefix(folder) else {
            continue;
        };
        if name == "byteorder" && archive::stored(path, bytes, entry)? != b"little" {
            return Err(wrong("its elements are not in little-endian order"));
        }
        if let Some(key) = name.strip_prefix("data/") {
            let content = archive::stored(path, bytes, entry)?;
            left = left
                .checked_sub(content.len())
                .ok_or_else(|| wrong("broken zip: its members overlap"))?;
            storages.insert(key.to_owned(), content);
        }
    }
    Ok(TorchFile { object, storages })
}

fn stream(bytes: &[u8], start: usize) -> Step<TorchFile<'_>> {
    let mut rest = &bytes[start..];
    let mut next = || {
        let next = pickle(rest)?;
        rest = &rest[next.end as usize..];
        Ok::<Pickle, String>(next)
    };
    let [version, _sizes, object, keys] = [next()?, next()?, next()?, next()?];
    if version.count(version.root) != Some(1001) {
        return Err("torch.save's stream, of another version than 1001".into());
    }
    let mut widths = HashMap::new();
    for (value, _) in (object.values.iter().enumerate())
        .filter(|(_, value)| matches!(value, Value::Persistent(_)))
    {
        let storage = Storage::read(&object, value)?;
        widths.insert(storage.key, storage.width);
    }
    let Value::List(list) = &keys.values[keys.root] else {
        return Err("the keys of its storages are no list".into());
    };
    let mut storages = HashMap::new();
    for &key in list {
        let key = keys.text(key).unwrap_or_default();
        let content = widths.get(key).and_then(|width| {
            let (elements, behind) = rest.split_first_chunk()?;
            let elements = usize::try_from(i64::from_le_bytes(*elements)).ok()?;
            let (content, behind) = behind.split_at_checked(elements.checked_mul(*width)?)?;
            rest = behind;
            Some(content)
        });
        let content = content.ok_or_else(|| format!("it ends within its storage `{key}`"))?;
        storages.insert(key.to_owned(), content);
    }
    Ok(TorchFile { object, storages })
}

/// What the object says of a storage.
struct Storage<'p> {
    dtype: &'static str,
    width: usize,
    key: &'p str,
    elements: usize,
}

impl<'p> Storage<'p> {
    fn read(object: &'p Pickle, value: usize) -> Step<Storage<'p>> {
        let read = || {
            let Value::Persistent(id) = object.values[value] else {
                return None;
            };
            // A stream says in a sixth place what the storage is a part of, if it is one.
            let (&[kind, class, key, _device, elements], rest) =
                object.tuple(id)?.split_first_chunk()?;
            let whole = (rest.iter()).all(|&rest| matches!(object.values[rest], Value::None));
            let Value::Global(class) = object.values[class] else {
                return None;
            };
            let (dtype, width) = dtype(class)?;
            (object.text(kind)? == "storage" && whole).then_some(Storage {
                dtype,
                width,
                key: object.text(key)?,
                elements: object.count(elements)?,
            })
        };
        read().ok_or_else(|| "has a storage that torch.save does not write".into())
    }
}

impl<'a> TorchFile<'a> {
    /// The tensors of the state dict, which may take so many bytes.
    pub fn contents(&self, most: usize) -> Step<Contents<'a>> {
        let (mut tensors, mut left) = (BTreeMap::new(), most);
        for &(key, value) in self.state_dict()? {
            let name = self.object.text(key);
            let name = name.ok_or("a name in its state dict is no text, or a very long one")?;
            let view = self.view(value, &mut left);
            let view = view.map_err(|what| format!("tensor `{}`: {what}", name.escape_debug()))?;
            tensors.insert(name.to_owned(), view);
        }
        while let Some(prefix) = PREFIXES.iter().find(|prefix| {
            !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(**prefix))
        }) {
            let unwrapped = |(name, view): (String, View<'a>)| (name[prefix.len()..].into(), view);
            tensors = tensors.into_iter().map(unwrapped).collect();
        }
        Ok(Contents {
            tensors,
            metadata: BTreeMap::new(),
        })
    }

    /// Keys and values of the state dict: of the object, or of what it keeps under a name that says
    /// so.
    fn state_dict(&self) -> Step<&[(usize, usize)]> {
        let text = |key: usize| self.object.text(key);
        let mut items = self.items(self.object.root).ok_or("holds no state dict")?;
        for _ in 0..=DEEPEST {
            let named = |name: &&str| {
                let mut items = items.iter().rev();
                let item = items.find(|(key, _)| text(*key) == Some(name));
                item.and_then(|(_, value)| self.items(*value))
            };
            match STATE_DICTS.iter().find_map(named) {
                Some(inner) => items = inner,
                None if items.iter().all(|(_, value)| self.items(*value).is_none()) => {
                    return Ok(items);
                }
                None => break,
            }
        }
        let names = items.iter().filter_map(|(key, _)| text(*key)).take(10);
        let names: Vec<String> = names.map(|name| name.escape_debug().to_string()).collect();
        let (names, known) = (names.join(", "), STATE_DICTS.join(", "));
        Err(format!("holds no state dict under {known}, but {names}"))
    }

    /// Keys and values of a dictionary, ordered or not.
    fn items(&self, value: usize) -> Option<&[(usize, usize)]> {
        match &self.object.values[value] {
            Value::Dict(items) => Some(items),
            Value::Call(call) => {
                let arguments = self.object.called(value, "OrderedDict")?;
                arguments.is_empty().then_some(&call.items)
            }
            _ => None,
        }
    }

    /// A tensor; its bytes are taken from what is left.
    fn view(&self, value: usize, left: &mut usize) -> Step<View<'a>> {
        let object = &self.object;
        let tensor = match object.called(value, "_rebuild_parameter") {
            Some([tensor, ..]) => *tensor,
            _ => value,
        };
        let arguments = object
            .called(tensor, "_rebuild_tensor_v2")
            .or_else(|| object.called(tensor, "_rebuild_tensor"))
            .and_then(|arguments| arguments.split_first_chunk());
        let (&[storage, offset, shape, strides], rest) = arguments.ok_or("is no tensor")?;
        if (rest.get(2)).is_some_and(|bits| !matches!(object.values[*bits], Value::None)) {
            return Err("is a negated or conjugated view".into());
        }
        let Storage {
            dtype,
            width,
            key,
            elements,
        } = Storage::read(object, storage)?;
        let stored = self.storages.get(key);
        let stored = *stored.ok_or_else(|| format!("its storage `{key}` is not in the file"))?;
        if elements.checked_mul(width) != Some(stored.len()) {
            let bytes = stored.len();
            return Err(format!("{bytes} bytes of a storage of {elements} elements"));
        }
        let counts = |value| {
            object
                .counts(value)
                .filter(|counts| counts.len() <= MOST_AXES)
        };
        let place = (object.count(offset), counts(shape), counts(strides));
        let (Some(offset), Some(shape), Some(strides)) = place else {
            return Err("sizes or strides that are no counts, or too many".into());
        };
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |last, (&n, &stride)| {
                last.checked_add(n.saturating_sub(1).checked_mul(stride)?)
            });
        let bytes = checked_product(&shape).and_then(|count| count.checked_mul(width));
        let (Some(last), Some(bytes), true) = (last, bytes, shape.len() == strides.len()) else {
            return Err("a shape that no memory holds, or with other strides".into());
        };
        if bytes > 0 && last >= elements {
            return Err("it reaches beyond its storage".into());
        }
        *left = (left.checked_sub(bytes))
            .ok_or_else(|| format!("tensors take more than {MOST_TIMES} times the file's bytes"))?;
        let bytes = gathered(stored, [offset, width, bytes], &shape, &strides);
        Ok(View {
            dtype,
            shape,
            bytes,
        })
    }
}

/// The elements of a view in the order of their indices; each of them lies within the storage.
fn gathered<'a>(
    stored: &'a [u8],
    [offset, width, bytes]: [usize; 3],
    shape: &[usize],
    strides: &[usize],
) -> Cow<'a, [u8]> {
    // The inner axes that lie side by side are one run of elements.
    let (mut run, mut outer) = (1, shape.len());
    while outer > 0 && (shape[outer - 1] == 1 || strides[outer - 1] == run) {
        outer -= 1;
        run *= shape[outer];
    }
    if bytes == 0 {
        return Cow::default();
    }
    if outer == 0 {
        return Cow::Borrowed(&stored[offset * width..][..bytes]);
    }
    let (mut out, mut place, mut at) = (Vec::with_capacity(bytes), vec![0; outer], offset);
    while out.len() < bytes {
        out.extend_from_slice(&stored[at * width..][..run * width]);
        for axis in (0..outer).rev() {
            place[axis] += 1;
            // A stride along an axis of one element may be any number.
            at = at.wrapping_add(strides[axis]);
            if place[axis] < shape[axis] {
                break;
            }
            place[axis] = 0;
            at = at.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
        }
    }
    Cow::Owned(out)
}
