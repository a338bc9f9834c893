//! Functions of one number, element by element.

use crate::autograd::Backward;
use crate::{Result, Tensor, Var};

impl Var {
    /// -x.
    ///
    /// **Shapes**: any. **Backward**: dx = -dy. **Saves**: nothing. **Errors**: other than floats. **Source**: `torch.neg`.
    #[track_caller]
    pub fn neg(&self) -> Result<Var> {
        let y = negative(self.value())?;
        Ok(Var::record("neg", &[self], y, || Neg))
    }
}

struct Neg;

impl Backward for Neg {
    /// dx = -dy.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(negative(&dy)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }
}

#[track_caller]
fn negative(x: &Tensor) -> Result<Tensor> {
    Ok(each_float!("neg", x.dtype(), T => Tensor::build(*x.shape(), |y: &mut [T]| {
        y.iter_mut().zip(x.data::<T>()).for_each(|(y, &x)| *y = -x);
    })))
}
