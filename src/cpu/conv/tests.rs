//! Every algorithm against the definition, in bf16 that is multiplied in pairs and as f32.

use half::bf16;

use super::*;
use crate::tensor::window::Window;

/// A layer, and whether Winograd's algorithm computes its forward pass, its input gradient and its
/// weight gradient.
struct Case {
    big: [usize; 3],
    channels: usize,
    kernel: [usize; 2],
    window: Window,
    images: usize,
    winograd: bool,
}

/// With a padding of 1.
fn case(big: [usize; 3], channels: usize, kernel: [usize; 2]) -> Case {
    Case {
        big,
        channels,
        kernel,
        window: window([1, 1], [1, 1]),
        images: 3,
        winograd: false,
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
    let groups = |groups: usize, window: Window| Window { groups, ..window };
    let winograd = |images: usize, case: Case| Case {
        winograd: true,
        images,
        ..case
    };
    let [same, half] = [1, 2].map(|stride| window([stride; 2], [1, 1]));
    let dilated = Window {
        dilation: [2, 3],
        ..window([1, 2], [0, 0])
    };
    vec![
        case([9, 7, 3], 18, [3, 3]),
        case([24, 26, 3], 4, [3, 3]),
        winograd(3, with(half, case([8, 6, 64], 32, [4, 4]))),
        winograd(5, with(half, case([8, 6, 32], 64, [4, 4]))),
        winograd(3, case([8, 6, 32], 64, [3, 3])),
        with(window([1, 2], [0, 0]), case([5, 7, 33], 5, [2, 3])),
        with(groups(2, same), case([6, 5, 10], 6, [3, 3])),
        with(
            groups(9, window([2, 1], [1, 1])),
            case([6, 5, 9], 9, [3, 3]),
        ),
        with(
            groups(40, window([1, 1], [0, 0])),
            case([15, 14, 40], 40, [8, 8]),
        ),
        with(
            groups(18, window([3, 2], [2, 3])),
            case([17, 23, 18], 18, [5, 9]),
        ),
        with(
            groups(16, window([1, 3], [2, 1])),
            case([6, 40, 16], 16, [4, 2]),
        ),
        with(
            Window {
                dilation: [2, 3],
                ..groups(17, window([1, 1], [3, 3]))
            },
            case([9, 7, 17], 17, [3, 4]),
        ),
        with(window([3, 4], [2, 5]), case([33, 29, 5], 7, [2, 3])),
        with(window([1, 1], [1, 0]), case([70, 3, 5], 7, [2, 3])),
        with(dilated, case([31, 9, 40], 7, [3, 1])),
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
fn check(plan: ConvPlan<bf16>, x: &[bf16], want: &[bf16], winograd: bool) {
    let g = plan.geometry;
    let chosen = matches!(
        choose::<bf16, f32>(&plan),
        Algorithm::Winograd(_) | Algorithm::WinogradInRegisters(_)
    );
    assert_eq!(chosen, winograd, "{g:?}");
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
        check(plan, &big, &want, case.winograd);

        let mut want = vec![bf16::ONE; big.len()];
        reference::transposed(&g, &small, &weight, Some(&bias[1]), &mut want);
        let plan = ConvPlan::transposed(&g, &weight, Some(&bias[1]));
        check(plan, &small, &want, case.winograd);

        let [mut want, mut pairs, mut single, mut fast] = [(); 4].map(|()| vec![1.0; weight.len()]);
        reference::backward_weight(&g, &small, &big, &mut want);
        let (images, tuning) = ([&small[..], &big[..]], Tuning::default());
        backward_weight_as::<bf16, f32>(&g, tuning, images, &mut fast);
        let chosen = choose_for_weight::<f32>(&g, &tuning);
        let winograd = matches!(chosen, WeightAlgorithm::Winograd(_));
        assert_eq!(winograd, case.winograd, "{g:?}");
        let tuning = Tuning {
            winograd: false,
            ..tuning
        };
        backward_weight_as::<bf16, bf16>(&g, tuning, images, &mut pairs);
        backward_weight_as::<bf16, f32>(&g, tuning, images, &mut single);
        assert!(pairs == want && single == want && fast == want, "{g:?}");
    }
}
