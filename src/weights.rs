//! Weights in files, under the names and in the layouts of the authors' PyTorch package.
//!
//! The format is safetensors, which holds no code. Convolution weights are OIHW in files and OHWI in memory
//! ([`FileLayout::ChannelsFirst`]); everything else is the same in both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::params::FileLayout;
use crate::tensorfile::TensorFile;
use crate::{DType, Device, Error, Params, Result, Shape, Tensor};

/// Writes all parameters and buffers, with strings that describe them. An old file stays whole until the new one is.
///
/// # Errors
/// Where the system refuses to write.
pub fn save(path: impl AsRef<Path>, params: &Params, metadata: &BTreeMap<String, String>) -> Result<()> {
    TensorFile { tensors: to_file(params)?, metadata: metadata.clone() }.write(path)
}

/// Reads all parameters and buffers of a model, and gives the file's strings. f16, bf16, f32 and f64 are converted to the
/// model's dtype. Everything is checked before anything is written.
///
/// # Errors
/// Where the file cannot be read, or is damaged; where names are missing, unknown, or of another shape or type: the
/// message lists them all, see [`Fit`].
pub fn load(path: impl AsRef<Path>, params: &mut Params) -> Result<BTreeMap<String, String>> {
    let file = TensorFile::read(&path)?;
    match from_file(params, &file.tensors)? {
        fit if fit.is_exact() => Ok(file.metadata),
        fit => Err(Error::data(&path, fit)),
    }
}

/// Reads those parameters and buffers that a file has in the right shape and type, and tells which it did not: for a
/// new head on a trained body.
///
/// # Errors
/// Where the file cannot be read, or is damaged.
pub fn load_matching(path: impl AsRef<Path>, params: &mut Params) -> Result<Fit> {
    let file = TensorFile::read(&path)?;
    let (fit, values) = compare(params, &file.tensors);
    write_all(params, &values)?;
    Ok(fit)
}

/// The strings that a file's writer put beside the tensors.
///
/// # Errors
/// Where the file cannot be read, or is damaged.
pub fn read_metadata(path: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    Ok(TensorFile::read(path)?.metadata)
}

/// All parameters and buffers by name, in the layout of files, on the processor.
///
/// # Errors
/// Those of a GPU.
pub fn to_file(params: &Params) -> Result<BTreeMap<String, Tensor>> {
    let arena = params.arena().to_device(Device::Cpu)?;
    let value = |offset, shape| arena.view(offset, shape);
    let entries = params.entries().iter();
    let weights = entries.map(|entry| Ok((entry.name.clone(), permuted(&value(entry.offset, entry.shape), entry.layout))));
    let buffers = params.buffers().iter().map(|(name, value)| Ok((name.clone(), value.to_device(Device::Cpu)?)));
    weights.chain(buffers).collect()
}

/// Overwrites all parameters and buffers by what [`to_file`] gave, and tells how the two fit. Nothing changes where they
/// do not.
///
/// # Errors
/// Those of a GPU.
pub fn from_file(params: &mut Params, tensors: &BTreeMap<String, Tensor>) -> Result<Fit> {
    let (fit, values) = compare(params, tensors);
    if fit.is_exact() {
        write_all(params, &values)?;
    }
    Ok(fit)
}

/// How the names, shapes and types of a file fit those of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Names of the model that the file lacks.
    pub missing: Vec<String>,
    /// Names of the file that the model lacks.
    pub unknown: Vec<String>,
    /// Names with another shape: the model's, the file's, both as in files.
    pub shapes: Vec<(String, Shape, Shape)>,
    /// Names with a type that cannot be converted: the model's, the file's.
    pub types: Vec<(String, DType, DType)>,
}

impl Fit {
    /// Whether all is as it should be.
    pub fn is_exact(&self) -> bool {
        *self == Fit::default()
    }
}

impl fmt::Display for Fit {
    /// One sentence with a count and up to ten names of each kind of mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_exact() {
            return f.write_str("the weights fit the model");
        }
        let pair =
            |name: &String, model: &dyn fmt::Display, file: &dyn fmt::Display| format!("{name} should be {model}, is {file}");
        let kinds: [(&str, Vec<String>); 4] = [
            ("missing", self.missing.clone()),
            ("unknown", self.unknown.clone()),
            ("of another shape", self.shapes.iter().map(|(name, model, file)| pair(name, model, file)).collect()),
            ("of another type", self.types.iter().map(|(name, model, file)| pair(name, model, file)).collect()),
        ];
        f.write_str("the weights do not fit the model: ")?;
        for (i, (kind, names)) in kinds.iter().filter(|(_, names)| !names.is_empty()).enumerate() {
            let shown = names.len().min(10);
            let more = if names.len() > shown { ", ..." } else { "" };
            let separator = if i > 0 { "; " } else { "" };
            write!(f, "{separator}{} {kind} ({}{more})", names.len(), names[..shown].join(", "))?;
        }
        Ok(())
    }
}

/// How a file fits, and the values of those names that do, in memory's layout and the model's dtype.
fn compare(params: &Params, tensors: &BTreeMap<String, Tensor>) -> (Fit, Vec<(String, Tensor)>) {
    let (mut fit, mut values) = (Fit::default(), Vec::new());
    let entries = params.entries().iter().map(|entry| (&entry.name, entry.shape, params.dtype(), entry.layout));
    let buffers = params.buffers().iter().map(|(name, old)| (name, *old.shape(), old.dtype(), FileLayout::Same));
    let mut known = std::collections::BTreeSet::new();
    for (name, shape, dtype, layout) in entries.chain(buffers) {
        known.insert(name);
        let Some(tensor) = tensors.get(name) else {
            fit.missing.push(name.clone());
            continue;
        };
        let in_file = shape_in_file(&shape, layout);
        if *tensor.shape() != in_file {
            fit.shapes.push((name.clone(), in_file, *tensor.shape()));
        } else if is_float(tensor.dtype()) != is_float(dtype) || (!is_float(dtype) && tensor.dtype() != dtype) {
            fit.types.push((name.clone(), dtype, tensor.dtype()));
        } else {
            values.push((name.clone(), restored(tensor, &shape, layout).cast(dtype).expect("files are read to the cpu")));
        }
    }
    fit.unknown = tensors.keys().filter(|name| !known.contains(name)).cloned().collect();
    (fit, values)
}

fn write_all(params: &mut Params, values: &[(String, Tensor)]) -> Result<()> {
    values.iter().try_for_each(|(name, value)| params.set(name, value))
}

fn is_float(dtype: DType) -> bool {
    !matches!(dtype, DType::U8 | DType::I64)
}

fn shape_in_file(shape: &Shape, layout: FileLayout) -> Shape {
    match (layout, &shape[..]) {
        (FileLayout::ChannelsFirst, &[a, kh, kw, b]) => Shape::from([a, b, kh, kw]),
        _ => *shape,
    }
}

/// From memory's layout to the file's: `[a, kh, kw, b]` to `[a, b, kh, kw]`.
fn permuted(x: &Tensor, layout: FileLayout) -> Tensor {
    match (layout, &x.shape()[..]) {
        (FileLayout::ChannelsFirst, &[_, kh, kw, b]) => transposed(x, kh * kw, b, shape_in_file(x.shape(), layout)),
        _ => x.clone(),
    }
}

/// From the file's layout to memory's, of this shape.
fn restored(x: &Tensor, shape: &Shape, layout: FileLayout) -> Tensor {
    match (layout, &shape[..]) {
        (FileLayout::ChannelsFirst, &[_, kh, kw, b]) => transposed(x, b, kh * kw, *shape),
        _ => x.clone(),
    }
}

/// Each of the matrices `[rows, columns]` that make up `x`, transposed.
fn transposed(x: &Tensor, rows: usize, columns: usize, shape: Shape) -> Tensor {
    let size = (rows * columns).max(1);
    each_dtype!(x.dtype(), T => Tensor::build(shape, |out: &mut [T]| {
        for (x, out) in x.data::<T>().chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            for (r, row) in x.chunks_exact(columns).enumerate() {
                row.iter().enumerate().for_each(|(c, &value)| out[c * rows + r] = value);
            }
        }
    }))
}
