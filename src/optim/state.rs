//! Long arrays as maps of names and back, for checkpoints: names stay right where a model declares
//! its weights in another order one day.

use std::collections::{BTreeMap, HashSet};

use crate::{DType, Error, Params, Result, Shape, Tensor};

/// An array in the arena's layout as one tensor a parameter, `PREFIXname`; nothing is copied.
pub(super) fn by_name<'a>(
    prefix: &'a str,
    params: &'a Params,
    flat: &'a Tensor,
) -> impl Iterator<Item = (String, Tensor)> + 'a {
    let entries = params.entries().iter();
    entries.map(move |entry| {
        (
            format!("{prefix}{}", entry.name),
            flat.view(entry.offset, entry.shape),
        )
    })
}

/// Takes tensors out of a map, and knows which were left.
pub(super) struct Reader<'a> {
    /// Whose state it is, for messages.
    of: &'static str,
    state: &'a BTreeMap<String, Tensor>,
    taken: HashSet<String>,
}

impl<'a> Reader<'a> {
    pub fn new(of: &'static str, state: &'a BTreeMap<String, Tensor>) -> Reader<'a> {
        Reader {
            of,
            state,
            taken: HashSet::new(),
        }
    }

    /// The tensor `name`, which must have this shape and dtype.
    pub fn tensor(&mut self, name: String, shape: &Shape, dtype: DType) -> Result<&'a Tensor> {
        let (of, state) = (self.of, self.state);
        let value = state
            .get(&name)
            .ok_or_else(|| Error::Argument(format!("the state of the {of} lacks `{name}`")))?;
        if (value.shape(), value.dtype()) != (shape, dtype) {
            let got = format!("{} of {}", value.shape(), value.dtype());
            return Err(Error::Argument(format!(
                "the state of the {of}: `{name}` must be {shape} of {dtype}, got {got}"
            )));
        }
        self.taken.insert(name);
        Ok(value)
    }

    /// A count, stored as one i64.
    pub fn counter(&mut self, name: &str) -> Result<u64> {
        let count = self
            .tensor(name.to_owned(), &Shape::from([]), DType::I64)?
            .to_vec::<i64>()?[0];
        u64::try_from(count).map_err(|_| {
            Error::Argument(format!(
                "the state of the {}: `{name}` is negative",
                self.of
            ))
        })
    }

    /// The tensors `PREFIXname` of all parameters as one array in the arena's layout, where the
    /// arena is.
    pub fn flat(&mut self, prefix: &str, params: &Params) -> Result<Tensor> {
        let mut flat = Tensor::zeros(params.arena().shape(), params.dtype());
        dispatch_dtype!("load_state", params.dtype(), T in [f32, f64] => {
            let out = flat.data_mut::<T>();
            for entry in params.entries() {
                let value = self.tensor(format!("{prefix}{}", entry.name), &entry.shape, params.dtype())?;
                out[entry.offset..entry.offset + entry.shape.elements()].copy_from_slice(value.as_slice()?);
            }
        });
        flat.to_device(params.device())
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<()> {
        match self.state.keys().find(|name| !self.taken.contains(*name)) {
            Some(name) => Err(Error::Argument(format!(
                "the state of the {} has an unknown name, `{name}`",
                self.of
            ))),
            None => Ok(()),
        }
    }
}
