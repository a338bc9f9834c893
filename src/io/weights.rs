//! Weights in files, under the names and in the layouts of the authors' PyTorch package.
//!
//! The format is safetensors, which holds no code; files of `torch.save` are read too, told by their
//! bytes, and what code they hold is not run. Convolution weights are OIHW in files and OHWI
//! in memory ([`FileLayout::ChannelsFirst`]); weights of a linear layer behind a flattened map have
//! its channels first in files and last in memory ([`FileLayout::Flattened`]); everything else is
//! the same in both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::io::safetensors::{Info, Selection, TensorFile};
use crate::params::FileLayout;
use crate::{DType, Device, Error, Params, Result, Shape, Tensor};

/// Writes all parameters and buffers, with strings that describe them. An old file stays whole
/// until the new one is.
///
/// # Errors
/// Where the system refuses to write.
pub fn save(
    path: impl AsRef<Path>,
    params: &Params,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    TensorFile {
        tensors: to_file(params)?,
        metadata: metadata.clone(),
    }
    .write(path)
}

/// Reads all parameters and buffers of a model, and gives the file's strings. f16, bf16, f32 and
/// f64 are converted to the model's dtype. Everything is checked before anything is written.
///
/// The file is one of safetensors, or of `torch.save`: a state dict, or a checkpoint that keeps one
/// as `state_dict`, `model_state_dict`, `model` or `net`. `module.` before all its names is left
/// away.
///
/// # Errors
/// Where the file cannot be read, or is damaged; where names are missing, unknown, or of another
/// shape or type: the message lists them all, see [`Fit`].
pub fn load(path: impl AsRef<Path>, params: &mut Params) -> Result<BTreeMap<String, String>> {
    let file = select(path.as_ref(), params)?;
    let (fit, values) = compare(params, &file.tensors, &file.others);
    if !fit.is_exact() {
        return Err(Error::data(&path, fit));
    }
    write_all(params, &values)?;
    Ok(file.metadata)
}

/// Reads those parameters and buffers that a file has in the right shape and type, and tells which
/// these were: for a new head on a trained body. What the file has beyond them may be of any dtype
/// and rank; it is not decoded.
///
/// # Errors
/// Where the file cannot be read, or is damaged.
pub fn load_matching(path: impl AsRef<Path>, params: &mut Params) -> Result<Matching> {
    let file = select(path.as_ref(), params)?;
    let (fit, values) = compare(params, &file.tensors, &file.others);
    write_all(params, &values)?;
    Ok(Matching {
        loaded: values.into_iter().map(|(name, _)| name).collect(),
        fit,
    })
}

/// The strings that a file's writer put beside the tensors.
///
/// # Errors
/// Where the file cannot be read, or is damaged.
pub fn read_metadata(path: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    Ok(Selection::read(path.as_ref(), &|_| false)?.metadata)
}

/// What a file holds of a model.
fn select(path: &Path, params: &Params) -> Result<Selection> {
    Selection::read(path, &|name| params.has(name))
}

/// All parameters and buffers by name, in the layout of files, on the CPU.
///
/// # Errors
/// Those of a GPU.
pub fn to_file(params: &Params) -> Result<BTreeMap<String, Tensor>> {
    let arena = params.arena().to_device(Device::Cpu)?;
    let mut tensors = BTreeMap::new();
    for entry in params.entries() {
        let value = arena.view(entry.offset, entry.shape);
        tensors.insert(entry.name.clone(), permuted(&value, entry.layout));
    }
    for (name, value) in params.buffers() {
        tensors.insert(name.clone(), value.to_device(Device::Cpu)?);
    }
    Ok(tensors)
}

/// Overwrites all parameters and buffers by what [`to_file`] gave, and tells how the two fit.
/// Nothing changes where they do not.
///
/// # Errors
/// Those of a GPU.
pub fn from_file(params: &mut Params, tensors: &BTreeMap<String, Tensor>) -> Result<Fit> {
    let (fit, values) = compare(params, tensors, &BTreeMap::new());
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
    /// Names with another shape: the model's, the file's, both as in files. The file's may have any
    /// rank.
    pub shapes: Vec<(String, Shape, Vec<usize>)>,
    /// Names with a type that cannot be converted: the model's, the file's. The file's may be one
    /// that this crate has not.
    pub types: Vec<(String, DType, String)>,
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
        let kinds: [(&str, Vec<String>); 4] = [
            ("missing", self.missing.clone()),
            ("unknown", self.unknown.clone()),
            (
                "of another shape",
                self.shapes
                    .iter()
                    .map(|(name, model, file)| format!("{name} should be {model}, is {file:?}"))
                    .collect(),
            ),
            (
                "of another type",
                self.types
                    .iter()
                    .map(|(name, model, file)| format!("{name} should be {model}, is {file}"))
                    .collect(),
            ),
        ];
        f.write_str("the weights do not fit the model: ")?;
        for (i, (kind, names)) in kinds
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .enumerate()
        {
            let separator = if i > 0 { "; " } else { "" };
            write!(
                f,
                "{separator}{} {kind} ({})",
                names.len(),
                first_ten(names)
            )?;
        }
        Ok(())
    }
}

/// What [`load_matching`] took from a file, and what it left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Names whose values are now the file's.
    pub loaded: Vec<String>,
    /// The names of the model that the file did not serve, and those of the file that the model
    /// lacks.
    pub fit: Fit,
}

impl fmt::Display for Matching {
    /// `loaded 8 of 10; left as they were: ...; not used: ...`, with up to ten names of each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fit {
            missing,
            unknown,
            shapes,
            types,
        } = &self.fit;
        let absent = missing
            .iter()
            .map(|name| format!("{name} (not in the file)"));
        let shapes = shapes
            .iter()
            .map(|(name, model, file)| format!("{name} ({model} here, {file:?} in the file)"));
        let types = types
            .iter()
            .map(|(name, model, file)| format!("{name} ({model} here, {file} in the file)"));
        let left: Vec<String> = absent.chain(shapes).chain(types).collect();
        write!(
            f,
            "loaded {} of {}",
            self.loaded.len(),
            self.loaded.len() + left.len()
        )?;
        if !left.is_empty() {
            write!(f, "; left as they were: {}", first_ten(&left))?;
        }
        if !unknown.is_empty() {
            write!(f, "; not used: {}", first_ten(unknown))?;
        }
        Ok(())
    }
}

fn first_ten(names: &[String]) -> String {
    let shown = names.len().min(10);
    let more = if names.len() > shown { ", ..." } else { "" };
    names[..shown].join(", ") + more
}

/// How a file fits, and the values of those names that do, in memory's layout and the model's
/// dtype. `others` are tensors of the file that were not decoded.
fn compare(
    params: &Params,
    tensors: &BTreeMap<String, Tensor>,
    others: &BTreeMap<String, Info>,
) -> (Fit, Vec<(String, Tensor)>) {
    let (mut fit, mut values) = (Fit::default(), Vec::new());
    let entries = params
        .entries()
        .iter()
        .map(|entry| (&entry.name, entry.shape, params.dtype(), entry.layout));
    let buffers = params
        .buffers()
        .iter()
        .map(|(name, old)| (name, *old.shape(), old.dtype(), FileLayout::Same));
    for (name, shape, dtype, layout) in entries.chain(buffers) {
        let in_file = shape_in_file(&shape, layout);
        let (their_shape, their_type) = match (tensors.get(name), others.get(name)) {
            (Some(tensor), _) => (tensor.shape().to_vec(), tensor.dtype().to_string()),
            (None, Some(info)) => (info.shape.clone(), info.dtype.clone()),
            (None, None) => {
                fit.missing.push(name.clone());
                continue;
            }
        };
        let converts =
            |from: DType| is_float(from) == is_float(dtype) && (is_float(dtype) || from == dtype);
        match tensors.get(name).filter(|tensor| converts(tensor.dtype())) {
            _ if their_shape[..] != in_file[..] => {
                fit.shapes.push((name.clone(), in_file, their_shape))
            }
            None => fit.types.push((name.clone(), dtype, their_type)),
            Some(tensor) => {
                let value = restored(tensor, &shape, layout)
                    .cast(dtype)
                    .expect("files are read to the CPU");
                values.push((name.clone(), value));
            }
        }
    }
    fit.unknown = tensors
        .keys()
        .chain(others.keys())
        .filter(|name| !params.has(name))
        .cloned()
        .collect();
    fit.unknown.sort_unstable();
    (fit, values)
}

fn write_all(params: &mut Params, values: &[(String, Tensor)]) -> Result<()> {
    values
        .iter()
        .try_for_each(|(name, value)| params.set(name, value))
}

fn is_float(dtype: DType) -> bool {
    !matches!(dtype, DType::U8 | DType::I64)
}

fn shape_in_file(shape: &Shape, layout: FileLayout) -> Shape {
    match (layout, &shape[..]) {
        (FileLayout::ChannelsFirst, &[a, kh, kw, b]) => Shape::from([a, b, kh, kw]),
        (FileLayout::ChannelsFirst, &[a, k, b]) => Shape::from([a, b, k]),
        (FileLayout::Unfolded, &[a, kh, kw, b]) => Shape::from([a, b * kh * kw, 1, 1]),
        _ => *shape,
    }
}

/// From memory's layout to the file's.
fn permuted(x: &Tensor, layout: FileLayout) -> Tensor {
    match layout.matrices(x.shape()) {
        Some([rows, columns]) => transposed(x, rows, columns, shape_in_file(x.shape(), layout)),
        None => x.clone(),
    }
}

/// From the file's layout to memory's, of this shape.
fn restored(x: &Tensor, shape: &Shape, layout: FileLayout) -> Tensor {
    match layout.matrices(shape) {
        Some([rows, columns]) => transposed(x, columns, rows, *shape),
        None => x.clone(),
    }
}

/// Each of the matrices `[rows, columns]` that make up `x`, transposed.
fn transposed(x: &Tensor, rows: usize, columns: usize, shape: Shape) -> Tensor {
    let size = (rows * columns).max(1);
    dispatch_dtype!(x.dtype(), T in any => Tensor::build(shape, |out: &mut [T]| {
        for (x, out) in x.data::<T>().chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            for (r, row) in x.chunks_exact(columns).enumerate() {
                row.iter().enumerate().for_each(|(c, &value)| out[c * rows + r] = value);
            }
        }
    }))
}
