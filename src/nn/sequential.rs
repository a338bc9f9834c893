//! Modules one after the other.

use crate::{Module, Pass, Result, Var};

/// Modules that run one after the other, each on the output of the one before. Without any it is
/// the identity.
///
/// It has no names of its own. PyTorch numbers what a `Sequential` holds, functions without weights
/// too, so layers that are declared as `"0"`, `"2"` load its state dict:
///
/// ```
/// use wavemix::{DType, Module, Params, Pass, Rng, Tensor, Var, nn::{Linear, Sequential}};
/// let (model, params) = Params::declare(DType::F32, &Rng::new(0), |names| {
///     Ok(Sequential::new()
///         .then(Linear::new(names, "0", [4, 8])?)
///         .apply(Var::gelu)
///         .then(Linear::new(names, "2", [8, 3])?))
/// })?;
/// let x = Var::from(Tensor::ones([5, 4], DType::F32));
/// assert_eq!(model.forward(&Pass::eval(&params), &x)?.shape()[..], [5, 3]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[doc(alias = "nn.Sequential")]
#[derive(Default)]
pub struct Sequential {
    modules: Vec<Box<dyn Module>>,
}

impl Sequential {
    /// One without any module yet.
    #[must_use]
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// The same, and then this module: a layer, a model, or a closure.
    #[must_use]
    pub fn then(mut self, module: impl Module + 'static) -> Sequential {
        self.modules.push(Box::new(module));
        self
    }

    /// The same, and then this function without weights: `apply(Var::relu)`, `apply(|x|
    /// x.flatten(1))`.
    #[must_use]
    pub fn apply(self, f: impl Fn(&Var) -> Result<Var> + Send + Sync + 'static) -> Sequential {
        self.then(move |_: &Pass, x: &Var| f(x))
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }
}

impl From<Vec<Box<dyn Module>>> for Sequential {
    fn from(modules: Vec<Box<dyn Module>>) -> Sequential {
        Sequential { modules }
    }
}

impl Module for Sequential {
    /// What the first module takes, to what the last one gives.
    ///
    /// # Errors
    /// Those of the modules.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        let mut y = x.clone();
        for module in &self.modules {
            y = module.forward(pass, &y)?;
        }
        Ok(y)
    }
}
