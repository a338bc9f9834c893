//! Products of f32 whose operands are rounded to TF32.

use wavemix::ops::{conv_transpose2d, conv2d, linear};
use wavemix::{DType, Device, Result, Tensor, Var, Window};

use crate::harness::{Bound, close, draw, gpu, sums};

/// Value and gradients of each kind of product: rounded to TF32 where one operand allows it, and
/// only there.
#[test]
fn products_round_to_tf32_where_an_operand_allows_it() {
    let Some(gpu) = gpu() else { return };
    type Product = fn(&Var, &Var) -> Result<Var>;
    const HALVED: Window = Window {
        stride: [2, 2],
        padding: [1, 1],
        output_padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let products: [(&str, Product, &[usize], &[usize]); 5] = [
        (
            "conv2d",
            |x, w| conv2d(x, w, None, HALVED),
            &[2, 6, 6, 8],
            &[8, 3, 3, 8],
        ),
        (
            "conv2d of one pixel",
            |x, w| conv2d(x, w, None, Window::default()),
            &[2, 6, 6, 8],
            &[8, 1, 1, 8],
        ),
        (
            "conv_transpose2d",
            |x, w| conv_transpose2d(x, w, None, HALVED),
            &[2, 6, 6, 8],
            &[8, 4, 4, 8],
        ),
        ("linear", |x, w| linear(x, w, None), &[9, 8], &[8, 8]),
        ("matmul", |a, b| a.matmul(b), &[3, 9, 8], &[3, 8, 8]),
    ];
    // All gradients are sums of at most so many products.
    const TERMS: usize = 128;
    for (name, product, x, w) in products {
        let (x, w) = (draw(x, 1), draw(w, 2));
        let with = |dtype: DType, tf32: [bool; 2]| -> Result<Vec<Tensor>> {
            let device = if dtype == DType::F64 {
                Device::Cpu
            } else {
                gpu
            };
            let leaf = |x: &Tensor| Ok(Var::leaf(x.cast(dtype)?.to_device(device)?));
            let (x, w) = (leaf(&x)?.with_tf32(tf32[0]), leaf(&w)?.with_tf32(tf32[1]));
            let y = product(&x, &w)?;
            let dy = draw(y.shape(), 3).cast(dtype)?.to_device(device)?;
            let gradients = y.backward_from(dy, &[])?;
            let of = |x: &Var| gradients.of(x).unwrap().clone();
            Ok(vec![y.value().clone(), of(&x), of(&w)])
        };
        let exact = with(DType::F64, [false; 2]).unwrap();
        let full = with(DType::F32, [false; 2]).unwrap();
        let first = with(DType::F32, [true, false]).unwrap();
        let second = with(DType::F32, [false, true]).unwrap();
        for i in 0..3 {
            let bits = |x: &[Tensor]| x[i].to_vec::<f32>().unwrap();
            let what = format!("{name}, result {i}");
            close(&what, DType::F32, sums(TERMS), &exact[i], &full[i]).unwrap();
            assert!(bits(&first) != bits(&full), "{what} is not rounded to TF32");
            assert!(bits(&first) == bits(&second), "{what} depends on the side");
            // TF32 has the significant bits of f16. Each product has two rounded operands.
            let rounded = Bound {
                roundings: 2.0 * TERMS as f64,
                terms: TERMS,
            };
            close(&what, DType::F16, rounded, &exact[i], &first[i]).unwrap();
        }
    }
}

/// Rounding operands to TF32 keeps not-a-number and infinity, whatever their bits: a training run
/// that diverges must not look as if it went on. CUDA's own not-a-number is 0x7fffffff.
#[test]
fn products_in_tf32_keep_what_is_not_finite() {
    let Some(gpu) = gpu() else { return };
    const SAME: Window = Window {
        stride: [1, 1],
        padding: [1, 1],
        output_padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    for bits in [
        0x7fff_ffff,
        0xffff_ffff,
        0x7fc0_0000,
        0x7f80_0001,
        0x7f80_0000,
        0xff80_0000,
    ] {
        let bad = f32::from_bits(bits);
        let tensor = |shape: [usize; 4], at: usize| {
            let mut values = vec![1.0f32; shape.iter().product()];
            values[at] = bad;
            let tensor = Tensor::from_vec(values, shape).unwrap();
            Var::leaf(tensor.to_device(gpu).unwrap()).with_tf32(true)
        };
        let ones = |shape: [usize; 4]| {
            let tensor = Tensor::full_on(gpu, shape, 1.0, DType::F32).unwrap();
            Var::leaf(tensor).with_tf32(true)
        };
        type Product = fn(&Var, &Var) -> Result<Var>;
        let products: [Product; 2] = [
            |x, w| conv2d(x, w, None, SAME),
            |x, w| conv_transpose2d(x, w, None, SAME),
        ];
        for product in products {
            let reached = |x: &Tensor| {
                let values = x.to_vec::<f32>().unwrap();
                values.iter().filter(|x| !x.is_finite()).count()
            };
            let (x, w) = (tensor([1, 3, 3, 8], 4 * 8), ones([8, 3, 3, 8]));
            let y = product(&x, &w).unwrap();
            // The middle pixel reaches all nine, in each of eight channels.
            assert_eq!(reached(y.value()), 72, "{bits:x}: the value by x");
            let gradients = y.sum(..).unwrap().backward().unwrap();
            let of_w = reached(gradients.of(&w).unwrap());
            assert_eq!(of_w, 72, "{bits:x}: the weight's gradient");
            let (x, w) = (ones([1, 3, 3, 8]), tensor([8, 3, 3, 8], 4 * 8));
            let y = product(&x, &w).unwrap();
            assert!(reached(y.value()) >= 9, "{bits:x}: the value by w");
            let gradients = y.sum(..).unwrap().backward().unwrap();
            let of_x = reached(gradients.of(&x).unwrap());
            assert!(of_x >= 9, "{bits:x}: the gradient of x");
        }
    }
}
