//! `Module`: what maps one value to another with weights that a pass lends it.

use crate::{Pass, Result, Var};

/// A layer, or a model made of layers, with one input and one output.
///
/// A module holds the names of its weights, and takes their values from the [`Pass`]: so one module
/// serves any number of threads and of weight sets at once. Implement it for your own models; what
/// has more inputs or outputs than one is a function of your own, which calls modules.
///
/// ```
/// use wavemix::prelude::*;
///
/// /// Two layers with a relu between them.
/// struct Mlp { hidden: Linear, output: Linear }
///
/// impl Mlp {
///     fn new(names: &mut Names) -> Result<Mlp> {
///         Ok(Mlp {
///             hidden: Linear::new(names, "hidden", [4, 8])?,
///             output: Linear::new(names, "output", [8, 2])?,
///         })
///     }
/// }
///
/// impl Module for Mlp {
///     fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
///         self.output.forward(pass, &self.hidden.forward(pass, x)?.relu()?)
///     }
/// }
///
/// let (model, params) = Params::declare(DType::F32, &Rng::new(0), Mlp::new)?;
/// let x = Var::from(Tensor::ones([3, 4], DType::F32));
/// assert_eq!(model.forward(&Pass::eval(&params), &x)?.shape()[..], [3, 2]);
/// # Ok::<(), wavemix::Error>(())
/// ```
///
/// A closure without weights is a module too, as `|_: &Pass, x: &Var| x.relu()`.
#[doc(alias = "nn.Module")]
pub trait Module: Send + Sync {
    /// The output for x, with the pass's weights.
    ///
    /// # Errors
    /// Those of the module's ops, with the line that calls the module, and the name of the layer
    /// that runs: those of this crate enter theirs with [`Pass::enter`], and so can yours.
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var>;
}

impl<F: Fn(&Pass, &Var) -> Result<Var> + Send + Sync> Module for F {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        self(pass, x)
    }
}

impl Module for Box<dyn Module> {
    #[track_caller]
    fn forward(&self, pass: &Pass, x: &Var) -> Result<Var> {
        (**self).forward(pass, x)
    }
}
