//! Files of named tensors and strings, in the safetensors format.
//!
//! Such a file is eight bytes with the length of a header, the header (JSON: each tensor's dtype,
//! shape and place), and the tensors' bytes. Equal contents make equal bytes: names are in order,
//! which the `safetensors` crate leaves to chance. Reading accepts what that crate accepts, and what
//! `torch.save` writes; truth values become bytes, 0 and 1.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use half::{bf16, f16};
use serde_json::{Map, json};

use crate::io::atomic;
use crate::io::header::{self, Contents, METADATA, View};
use crate::io::pth;
use crate::{DType, Device, Element, Error, Result, Shape, Tensor};

/// Named tensors, and strings that describe them.
///
/// ```
/// use wavemix::{Tensor, io::safetensors::TensorFile};
/// let mut file = TensorFile::default();
/// file.tensors.insert("x".into(), Tensor::scalar(1.5f32));
/// file.metadata.insert("made".into(), "by hand".into());
/// let mut bytes = Vec::new();
/// file.write_to(&mut bytes)?;
/// let copy = TensorFile::from_bytes("copy", &bytes)?;
/// assert_eq!((copy.tensors["x"].item()?, &*copy.metadata["made"]), (1.5, "by hand"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct TensorFile {
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The strings by name.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, is cut short or damaged, or holds a dtype this crate has not.
    pub fn read(path: impl AsRef<Path>) -> Result<TensorFile> {
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        TensorFile::from_bytes(path, &bytes)
    }

    /// As [`TensorFile::read`], from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<TensorFile> {
        let contents = parse(path.as_ref(), bytes)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in contents.tensors {
            let tensor = decode(&view)
                .map_err(|what| Error::data(&path, format!("tensor `{name}`: {what}")))?;
            tensors.insert(name, tensor);
        }
        let metadata = contents.metadata;
        Ok(TensorFile { tensors, metadata })
    }

    /// Writes a file, the old one of that name staying whole until the new one is
    /// ([`atomic::write_atomic`]).
    ///
    /// # Errors
    /// Where the system refuses to write.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        atomic::write_atomic(path, |out| self.write_to(out))
    }

    /// Writes the bytes of a file. Equal contents give equal bytes.
    ///
    /// # Errors
    /// Those of `out`, and [`io::ErrorKind::InvalidInput`] where a tensor is named `__metadata__`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.tensors.contains_key(METADATA) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no tensor can be named {METADATA}"),
            ));
        }
        // Large elements first, so that each tensor is aligned to its element; else by name.
        let mut order: Vec<(&String, &Tensor)> = self.tensors.iter().collect();
        order.sort_unstable_by_key(|&(name, tensor)| (Reverse(tensor.dtype().bytes()), name));
        let (mut header, mut offset) = (Map::new(), 0);
        if !self.metadata.is_empty() {
            header.insert(METADATA.to_owned(), json!(self.metadata));
        }
        for (name, tensor) in &order {
            let range = [offset, offset + tensor.bytes()];
            offset = range[1];
            let info = json!({"dtype": file_dtype(tensor.dtype()), "shape": tensor.shape()[..], "data_offsets": range});
            header.insert(name.to_string(), info);
        }
        let mut header = serde_json::to_vec(&header)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        order
            .iter()
            .try_for_each(|(_, tensor)| out.write_all(&encode(tensor)?))
    }
}

/// The tensors of a file that somebody asked for, and what its header says of the others.
pub(crate) struct Selection {
    /// Those asked for, in a dtype and of a rank that this crate has.
    pub tensors: BTreeMap<String, Tensor>,
    /// All others.
    pub others: BTreeMap<String, Info>,
    /// The strings by name.
    pub metadata: BTreeMap<String, String>,
}

/// A tensor that was not decoded.
pub(crate) struct Info {
    /// The format's name of its dtype, in small letters: `i32`.
    pub dtype: String,
    /// Its shape, of any rank.
    pub shape: Vec<usize>,
}

impl Selection {
    /// Reads a file. Tensors that nobody asks for may be of any dtype and rank.
    pub fn read(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Selection> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let contents = parse(path, &bytes)?;
        let (mut tensors, mut others) = (BTreeMap::new(), BTreeMap::new());
        for (name, view) in contents.tensors {
            let decoded = wanted(&name).then(|| decode(&view).ok()).flatten();
            match decoded {
                Some(tensor) => drop(tensors.insert(name, tensor)),
                None => {
                    let (dtype, shape) = (view.dtype.to_lowercase(), view.shape);
                    others.insert(name, Info { dtype, shape });
                }
            }
        }
        Ok(Selection {
            tensors,
            others,
            metadata: contents.metadata,
        })
    }
}

/// What a file holds, undecoded.
fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Contents<'a>> {
    if pth::is_torch(bytes) {
        return pth::read(path, bytes);
    }
    header::read(bytes).map_err(|why| match foreign(bytes) {
        Some(format) => Error::data(path, format!("not a safetensors file but {format}")),
        None => Error::data(path, format!("not a whole safetensors file: {why}")),
    })
}

/// What else people take for a weight file; asked only of bytes that are no safetensors file.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        // As a safetensors file it would have a header of more than 16 MB.
        [0x80, 2..=5, _, 1..=255, ..] => Some(
            "a Python pickle that torch.save did not write: write the state dict with torch.save",
        ),
        _ if bytes.starts_with(b"version https://git-lfs") => {
            Some("a pointer of Git LFS: fetch the file itself with git lfs pull")
        }
        _ => None,
    }
}

/// The format's name of a dtype.
fn file_dtype(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::BF16 => "BF16",
        DType::F16 => "F16",
        DType::U8 => "U8",
        DType::I64 => "I64",
    }
}

/// A tensor from a view, whose length was compared with its shape.
fn decode(view: &View) -> std::result::Result<Tensor, String> {
    let shape = Shape::new(&view.shape[..]).map_err(|error| error.to_string())?;
    let bytes = &view.bytes;
    Ok(match view.dtype {
        "F32" => elements(shape, bytes, f32::from_le_bytes),
        "F64" => elements(shape, bytes, f64::from_le_bytes),
        "BF16" => elements(shape, bytes, bf16::from_le_bytes),
        "F16" => elements(shape, bytes, f16::from_le_bytes),
        "U8" | "BOOL" => elements(shape, bytes, u8::from_le_bytes),
        "I64" => elements(shape, bytes, i64::from_le_bytes),
        other => {
            return Err(format!(
                "elements of type {other}; this crate has f32, f64, bf16, f16, u8, i64"
            ));
        }
    })
}

/// A tensor of elements of `N` bytes each.
fn elements<T: Element, const N: usize>(
    shape: Shape,
    bytes: &[u8],
    element: impl Fn([u8; N]) -> T,
) -> Tensor {
    let (chunks, _) = bytes.as_chunks();
    Tensor::build(shape, |out| {
        out.iter_mut()
            .zip(chunks)
            .for_each(|(x, chunk)| *x = element(*chunk));
    })
}

/// A tensor's elements in little-endian order.
fn encode(tensor: &Tensor) -> io::Result<Vec<u8>> {
    let tensor = tensor.to_device(Device::Cpu).map_err(io::Error::other)?;
    Ok(match tensor.dtype() {
        DType::F32 => bytes(tensor.data(), f32::to_le_bytes),
        DType::F64 => bytes(tensor.data(), f64::to_le_bytes),
        DType::BF16 => bytes(tensor.data(), bf16::to_le_bytes),
        DType::F16 => bytes(tensor.data(), f16::to_le_bytes),
        DType::U8 => bytes(tensor.data(), u8::to_le_bytes),
        DType::I64 => bytes(tensor.data(), i64::to_le_bytes),
    })
}

fn bytes<T: Copy, const N: usize>(elements: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut out = vec![0; elements.len() * N];
    let (chunks, _) = out.as_chunks_mut();
    chunks
        .iter_mut()
        .zip(elements)
        .for_each(|(chunk, &x)| *chunk = bytes(x));
    out
}
