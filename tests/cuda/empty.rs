//! Products, reductions and windows over nothing, on a GPU: a grid without blocks is never started.

use wavemix::{DType, Result, Shape, Tensor, Var};

use crate::empty_cases::{Case, cases};
use crate::harness::{STORAGE, gpu};

#[test]
fn products_and_sums_of_nothing_have_values_and_gradients() {
    if gpu().is_none() {
        return;
    }
    for dtype in STORAGE {
        for case in cases() {
            check(case, dtype).unwrap_or_else(|e| panic!("{}, {dtype}: {e}", case.name));
        }
    }
}

fn check(case: &Case, dtype: DType) -> Result<()> {
    let gpu = gpu().unwrap();
    let leaf = |shape: &&[usize]| {
        Ok(Var::leaf(Tensor::full_on(
            gpu,
            Shape::new(shape)?,
            1.0,
            dtype,
        )?))
    };
    let inputs: Vec<Var> = case.inputs.iter().map(leaf).collect::<Result<_>>()?;
    let y = (case.call)(&inputs)?;
    assert_eq!(y.shape()[..], *case.result.0, "{}", case.name);
    all_are(case.result.1, y.value(), case.name)?;
    let gradients = y.backward_from(Tensor::full_on(gpu, y.shape(), 1.0, y.dtype())?, &[])?;
    for (i, (x, &want)) in inputs.iter().zip(case.gradients).enumerate() {
        let dx = gradients
            .of(x)
            .unwrap_or_else(|| panic!("{}: no gradient of input {i}", case.name));
        assert_eq!(dx.shape(), x.shape(), "{}", case.name);
        all_are(want, dx, case.name)?;
    }
    Ok(())
}

fn all_are(want: f64, x: &Tensor, name: &str) -> Result<()> {
    let values = x
        .to_device(wavemix::Device::Cpu)?
        .cast(DType::F64)?
        .to_vec::<f64>()?;
    assert!(
        values.iter().all(|&value| value == want),
        "{name}: {values:?}, not {want}"
    );
    Ok(())
}
