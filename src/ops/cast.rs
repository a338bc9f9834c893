//! Casts: the same values in another type.

use crate::autograd::Backward;
use crate::{DType, Error, Result, Tensor, Var};

impl Var {
    /// Each element as another float type, rounded to nearest.
    ///
    /// Mixed precision begins and ends with this: weights and images become 16-bit numbers,
    /// gradients of weights come back as f32. **Shapes**: any. **Backward**: dx = dy as x's type.
    /// **Saves**: nothing.
    /// **Errors**: a type that is not a float; f64 on a GPU. **Source**: `torch.Tensor.to`.
    #[doc(alias = "to")]
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Result<Var> {
        let integer = |dtype: &DType| matches!(dtype, DType::U8 | DType::I64);
        if let Some(integer) = [self.dtype(), dtype].into_iter().find(integer) {
            return Err(Error::operand(
                "cast",
                "dtype",
                "floats, as only those have a gradient",
                integer,
            ));
        }
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let from = self.dtype();
        Ok(Var::record(
            "cast",
            &[self],
            self.value().cast(dtype)?,
            || Cast { from },
        ))
    }
}

struct Cast {
    from: DType,
}

impl Backward for Cast {
    /// dx = dy as x's type.
    fn backward(self: Box<Self>, dy: Tensor, _wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(dy.cast(self.from)?)])
    }

    fn saves(&self) -> Vec<&Tensor> {
        vec![]
    }

    fn takes_f32(&self) -> bool {
        true
    }
}
