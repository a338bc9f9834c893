//! Every algorithm against the definition, in bf16 that is multiplied in pairs and as f32; and how
//! much Winograd's rounds.

use half::bf16;

use super::*;
use crate::Rng;
use crate::tensor::window::Window;

/// A layer, and the algorithms that are chosen for its forward pass, its input gradient and its
/// weight's gradient, in bf16 that is multiplied as f32.
struct Case {
    big: [usize; 3],
    channels: usize,
    kernel: [usize; 2],
    window: Window,
    images: usize,
    algorithms: [&'static str; 3],
}

impl Algorithm {
    fn name(&self) -> &'static str {
        match self {
            Algorithm::WinogradInRegisters(_) => "Winograd in registers",
            Algorithm::Winograd(_) => "Winograd",
            Algorithm::Reference => "reference",
            Algorithm::Depthwise(_) => "depthwise",
            Algorithm::Indirect(_) => "indirect",
        }
    }
}

impl WeightAlgorithm {
    fn name(&self) -> &'static str {
        match self {
            WeightAlgorithm::Winograd(_) => "Winograd",
            WeightAlgorithm::Depthwise => "depthwise",
            WeightAlgorithm::Padded => "padded",
            WeightAlgorithm::Im2col => "im2col",
        }
    }
}

/// What is chosen for few channels: something else where a CPU has too few registers.
fn in_registers(otherwise: &'static str) -> &'static str {
    if has_32_registers() {
        "Winograd in registers"
    } else {
        otherwise
    }
}

/// With a padding of 1, three images, and the algorithms of most layers.
fn case(big: [usize; 3], channels: usize, kernel: [usize; 2]) -> Case {
    Case {
        big,
        channels,
        kernel,
        window: window([1, 1], [1, 1]),
        images: 3,
        algorithms: ["indirect", "indirect", "padded"],
    }
}

fn window(stride: [usize; 2], padding: [usize; 2]) -> Window {
    Window {
        stride,
        padding,
        ..Window::default()
    }
}

fn cases() -> Vec<Case> {
    let with = |window: Window, case: Case| Case { window, ..case };
    let by = |algorithms: [&'static str; 3], case: Case| Case { algorithms, ..case };
    let depthwise = |window: Window, case: Case| {
        let groups = case.channels;
        by(["depthwise"; 3], with(Window { groups, ..window }, case))
    };
    let winograd = ["Winograd"; 3];
    let [same, half] = [1, 2].map(|stride| window([stride; 2], [1, 1]));
    let dilated = |dilation: [usize; 2], window: Window| Window { dilation, ..window };
    let far = dilated([1 << 22, 1], window([1, 1], [1 << 22, 0]));
    vec![
        case([9, 7, 3], 18, [3, 3]),
        case([24, 26, 3], 4, [3, 3]),
        by(
            ["Winograd", in_registers("Winograd"), "Winograd"],
            with(half, case([8, 6, 64], 32, [4, 4])),
        ),
        Case {
            images: 5,
            ..by(winograd, with(half, case([8, 6, 32], 64, [4, 4])))
        },
        by(winograd, case([8, 6, 32], 64, [3, 3])),
        by(
            [in_registers("indirect"), in_registers("indirect"), "padded"],
            with(window([1, 1], [0, 1]), case([5, 6, 16], 32, [2, 2])),
        ),
        with(window([1, 2], [0, 0]), case([5, 7, 33], 5, [2, 3])),
        by(
            ["indirect", "indirect", "im2col"],
            with(Window { groups: 2, ..same }, case([6, 5, 10], 6, [3, 3])),
        ),
        depthwise(window([2, 1], [1, 1]), case([6, 5, 9], 9, [3, 3])),
        depthwise(window([1, 1], [0, 0]), case([15, 14, 40], 40, [8, 8])),
        depthwise(window([3, 2], [2, 3]), case([17, 23, 18], 18, [5, 9])),
        depthwise(window([1, 3], [2, 1]), case([6, 40, 16], 16, [4, 2])),
        depthwise(
            dilated([2, 3], window([1, 1], [3, 3])),
            case([9, 7, 17], 17, [3, 4]),
        ),
        with(window([3, 4], [2, 5]), case([33, 29, 5], 7, [2, 3])),
        with(window([1, 1], [1, 0]), case([70, 3, 5], 7, [2, 3])),
        with(
            dilated([2, 3], window([1, 2], [0, 0])),
            case([31, 9, 40], 7, [3, 1]),
        ),
        by(
            ["reference", "reference", "im2col"],
            with(far, case([3, 4, 2], 3, [3, 1])),
        ),
    ]
}

impl Case {
    fn geometry(&self) -> Geometry {
        let ([h, w, _], window) = (self.big, self.window);
        let [h, w] = window.output_size("test", [h, w], self.kernel).unwrap();
        let small = [h, w, self.channels];
        Geometry::new(self.images, self.big, small, self.kernel, window)
    }
}

/// Small integers: all sums of theirs are exact.
fn integers(count: usize, step: usize) -> Vec<bf16> {
    (0..count)
        .map(|i| bf16::from_f64((i * step % 7) as f64 - 3.0))
        .collect()
}

fn without_winograd(mut plan: ConvPlan<bf16>) -> ConvPlan<bf16> {
    plan.tuning.winograd = false;
    plan
}

/// bf16 in pairs, as f32, and as f32 by the algorithm that is chosen for it.
fn check(plan: ConvPlan<bf16>, x: &[bf16], want: &[bf16], algorithm: &str) {
    let g = plan.geometry;
    assert_eq!(choose::<bf16, f32>(&plan).name(), algorithm, "{g:?}");
    let [mut pairs, mut single, mut fast] = [(); 3].map(|()| vec![bf16::ONE; want.len()]);
    convolve_as::<bf16, f32>(&plan, x, &mut fast, &|_, _| {});
    let plan = without_winograd(plan);
    convolve_as::<bf16, bf16>(&plan, x, &mut pairs, &|_, _| {});
    convolve_as::<bf16, f32>(&plan, x, &mut single, &|_, _| {});
    assert!(pairs == want && single == want && fast == want, "{g:?}");
}

#[test]
fn factors_of_either_type_give_the_same() {
    for case in cases() {
        let g = case.geometry();
        let [big, small] = [g.big, g.small].map(|size| g.n * size.iter().product::<usize>());
        let (big, small) = (integers(big, 7919), integers(small, 104_729));
        let weight = integers(g.small[2] * g.columns(), 1_299_709);
        let bias = [integers(g.small[2], 5), integers(g.big[2], 3)];

        let mut want = vec![bf16::ONE; small.len()];
        reference::forward(&g, &big, &weight, Some(&bias[0]), &mut want);
        let plan = ConvPlan::forward(&g, &weight, Some(&bias[0]));
        check(plan, &big, &want, case.algorithms[0]);

        let mut want = vec![bf16::ONE; big.len()];
        reference::transposed(&g, &small, &weight, Some(&bias[1]), &mut want);
        let plan = ConvPlan::transposed(&g, &weight, Some(&bias[1]));
        check(plan, &small, &want, case.algorithms[1]);

        let [mut want, mut pairs, mut single, mut fast] = [(); 4].map(|()| vec![1.0; weight.len()]);
        reference::backward_weight(&g, &small, &big, &mut want);
        let (images, tuning) = ([&small[..], &big[..]], Tuning::default());
        backward_weight_as::<bf16, f32>(&g, tuning, images, &mut fast);
        let chosen = choose_for_weight::<f32>(&g, &tuning).name();
        assert_eq!(chosen, case.algorithms[2], "{g:?}");
        let tuning = Tuning {
            winograd: false,
            ..tuning
        };
        backward_weight_as::<bf16, bf16>(&g, tuning, images, &mut pairs);
        backward_weight_as::<bf16, f32>(&g, tuning, images, &mut single);
        assert!(pairs == want && single == want && fast == want, "{g:?}");
    }
}

/// Numbers of variance 1, in f32, and the same in f64.
fn normals(count: usize, seed: u64) -> (Vec<f32>, Vec<f64>) {
    let mut rng = Rng::new(seed);
    let x: Vec<f32> = (0..count).map(|_| rng.normal() as f32).collect();
    let same = x.iter().map(|&x| f64::from(x)).collect();
    (x, same)
}

/// Checks that the root mean square of the errors is at most what chains of so many terms give,
/// where `amplification` is v of the test below.
fn check_error(what: &str, got: &[f32], want: &[f64], amplification: f64, terms: usize) {
    let pairs = got.iter().zip(want);
    let squares = pairs.map(|(&x, y)| (f64::from(x) - y).powi(2));
    let error = (squares.sum::<f64>() / want.len() as f64).sqrt();
    let k = terms as f64;
    let rounding = f64::from(f32::EPSILON) / 12f64.sqrt();
    let bound = rounding * (amplification * (k * k / 2.0 + 11.0 * k)).sqrt();
    assert!(error <= bound, "{what}: {error:e}, bound {bound:e}");
}

/// Winograd's algorithm in f32 against the definition in f64, on the same numbers of variance 1.
///
/// A rounding to nearest is off by a number that is spread evenly over at most eps/2 |x| to either
/// side, so its variance is at most x^2 eps^2 / 12. A chain of k multiply-adds whose terms have
/// variance v rounds sums of variances v, 2 v, .. k v: together v k (k + 1) / 2, in units of
/// eps^2 / 12. That is v k^2 / 2 and half a v a term. With all other roundings it is at most 11 v a
/// term: 2 of the image's transform, 4 of the filter's (for dw 2 of dy's), 1 of the product (none
/// by an FMA), 4 of the products' transform.
///
/// v, as it arrives in a result, follows from the coefficients. With operands of variance 1 an
/// element of B^T x or G g has as its variance the sum of the squares of its row's coefficients, a
/// product theirs multiplied, and a result the sum of the products' times the squares of A^T's.
/// Axis by axis, with B^T x G g, A^T:
///
/// ```text
/// F(2, 3): B^T 2 2 2 2,  G 1 3/4 3/4 1,  products 2 3/2 3/2 2;   y: 2 + 3/2 + 3/2 = 5
/// F(2, 2): B^T 2 1 2,    G 1 2 1,        products 2 2 2;         y: 2 + 2 = 4
/// ```
///
/// and of the weight's gradient, with B^T x A dy, G^T:
///
/// ```text
/// F(2, 3): B^T 2 2 2 2,  A 1 2 2 1,      products 2 4 4 2;       dw: 4, 2, 4, in the mean 10/3
/// F(2, 2): B^T 2 1 2,    A 1 2 1,        products 2 2 2;         dw: 4, 4
/// ```
///
/// These are squared for two axes. Measured are 0.6 to 0.7 of the bounds with chains of at most 64
/// terms, and 0.4 with longer ones, which are summed in pieces.
#[test]
fn winograd_rounds_as_its_coefficients_say() {
    let [same, half] = [1, 2].map(|stride| window([stride; 2], [1, 1]));
    let three = [25.0, (10.0f64 / 3.0).powi(2)];
    // A strided layer's y is the sum of four components. Its bound is that of one chain of all
    // their terms, which rounds more than one chain each.
    for (big, channels, kernel, window, [of_y, of_dw], components) in [
        ([16, 12, 64], 32, [4, 4], half, [16.0; 2], 4),
        ([16, 12, 32], 64, [4, 4], half, [16.0; 2], 4),
        ([12, 16, 32], 64, [3, 3], same, three, 1),
        ([12, 16, 64], 64, [3, 3], same, three, 1),
    ] {
        let case = Case {
            window,
            images: 4,
            ..case(big, channels, kernel)
        };
        let g = case.geometry();
        let [big, small] = [g.big, g.small].map(|size| g.n * size.iter().product::<usize>());
        let ((big, big_64), (small, small_64)) = (normals(big, 1), normals(small, 2));
        let (weight, weight_64) = normals(g.small[2] * g.columns(), 3);
        let convolved = |plan: ConvPlan<f32>, x: &[f32], length: usize| {
            let chosen = choose::<f32, f32>(&plan).name();
            assert!(chosen.starts_with("Winograd"), "{chosen}: {g:?}");
            let mut y = vec![0.0; length];
            convolve_as::<f32, f32>(&plan, x, &mut y, &|_, _| {});
            y
        };

        let mut want = vec![0.0; small.len()];
        reference::forward(&g, &big_64, &weight_64, None, &mut want);
        let y = convolved(ConvPlan::forward(&g, &weight, None), &big, small.len());
        let terms = components * g.big[2];
        check_error(&format!("y of {g:?}"), &y, &want, of_y, terms);

        let mut want = vec![0.0; big.len()];
        reference::transposed(&g, &small_64, &weight_64, None, &mut want);
        let dx = convolved(ConvPlan::transposed(&g, &weight, None), &small, big.len());
        check_error(&format!("dx of {g:?}"), &dx, &want, of_y, g.small[2]);

        let mut want = vec![0.0; weight.len()];
        reference::backward_weight(&g, &small_64, &big_64, &mut want);
        let (tuning, mut dw) = (Tuning::default(), vec![0.0; weight.len()]);
        let chosen = choose_for_weight::<f32>(&g, &tuning).name();
        assert_eq!(chosen, "Winograd", "{g:?}");
        backward_weight_as::<f32, f32>(&g, tuning, [&small, &big], &mut dw);
        let tiles = g.n * g.small[0] * g.small[1] / 4;
        check_error(&format!("dw of {g:?}"), &dw, &want, of_dw, tiles);
    }
}
