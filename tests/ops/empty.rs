use wavemix::ops::{BatchNormOptions, batch_norm, mse};
use wavemix::{DType, Device, Shape, Tensor, Var};

use crate::empty_cases::cases;

use crate::helpers::assert_error;

/// Operands of 1 everywhere, as leaves.
fn ones(shapes: &[&[usize]], dtype: DType) -> Vec<Var> {
    shapes
        .iter()
        .map(|shape| Var::leaf(Tensor::ones(Shape::new(shape).unwrap(), dtype)))
        .collect()
}

/// All elements, where there are few enough to look at.
fn values(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec().unwrap()
}

/// Gradients of operands that are not empty are there, and are sums of nothing: 0.
#[test]
fn products_and_sums_of_nothing_have_values_and_gradients() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for case in cases() {
            let name = format!("{}, {dtype}", case.name);
            let inputs = ones(case.inputs, dtype);
            let y = (case.call)(&inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(y.shape()[..], *case.result.0, "{name}");
            assert!(
                values(y.value()).iter().all(|&y| y == case.result.1),
                "{name}: {}",
                y.value()
            );
            let dy = Tensor::ones(y.shape(), y.dtype());
            let gradients = y
                .backward_from(dy, &[])
                .unwrap_or_else(|e| panic!("{name}, backward: {e}"));
            for (i, (x, &want)) in inputs.iter().zip(case.gradients).enumerate() {
                let dx = gradients
                    .of(x)
                    .unwrap_or_else(|| panic!("{name}: no gradient of input {i}"));
                assert_eq!(dx.shape(), x.shape(), "{name}");
                assert!(
                    values(dx).iter().all(|&dx| dx == want),
                    "{name}: the gradient of input {i} is {dx}"
                );
            }
        }
    }
}

#[test]
fn what_no_elements_cannot_say_is_an_error() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let [x, gamma] = [&[0, 3][..], &[3]].map(|shape| ones(&[shape], dtype).remove(0));
        let errors = [
            x.mean(0).err(),
            x.mean_all().err(),
            x.var(0, false).err(),
            x.std(0, true).err(),
            x.max(0).err(),
            x.min([0, 1]).err(),
            x.softmax(0).err(),
            mse(&x, &x).err(),
            batch_norm(&x, &gamma, &gamma, BatchNormOptions::default()).err(),
            x.value().argmax(0).err(),
        ];
        for (i, error) in errors.into_iter().enumerate() {
            assert!(
                error.is_some_and(|error| error.to_string().contains("expects")),
                "{i}, {dtype}"
            );
        }
    }
}

/// Results that no memory holds, of operands that take none.
#[test]
fn a_result_too_large_is_an_error() {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let far = 1 << 48;
        let x = ones(&[&[far, 0], &[1 << 20, 0], &[0, far]], dtype);
        let errors = [
            ("linear", wavemix::ops::linear(&x[0], &x[1], None)),
            ("matmul", x[0].matmul(&x[2])),
            ("sum", x[0].sum(1)),
            ("pad", x[0].pad(&[(0, 0), (1, 0)])),
        ];
        for (op, result) in errors {
            let expected = format!("{op}: result expects a shape that fits in memory");
            assert_error(result, &expected);
        }
    }
    assert_error(
        Tensor::full_on(Device::Cpu, [1 << 63, 2], 0.0, DType::F32),
        "full_on: shape expects one that fits in memory, got [9223372036854775808, 2] (empty.rs:",
    );
}
