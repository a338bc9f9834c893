//! What compares a GPU with the CPU.

use std::io::Write;

use proptest::test_runner::TestCaseError;
use wavemix::{DType, Device, Result, Rng, Shape, Tensor, Var, cuda};

/// What a check returns.
pub type Checked = std::result::Result<(), TestCaseError>;

/// Set in the process that runs on the stand-in.
pub const ON_STAND_IN: &str = "WAVEMIX_TESTS_ON_STAND_IN";

/// The storage types that a GPU computes with.
pub const STORAGE: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

/// Set where there must be a GPU: by `benches/gpu.sh`.
const NEED_GPU: &str = "WAVEMIX_TESTS_NEED_GPU";

/// The GPU to test. On the stand-in there must be one. Where there is none, this test runs on the
/// stand-in now, in another process, and has nothing more to do here: it fails where that fails,
/// and says so where there is no stand-in either.
pub fn gpu() -> Option<Device> {
    match cuda::usable(0) {
        Ok(()) => Some(Device::Cuda(0)),
        Err(e) if std::env::var_os(ON_STAND_IN).is_some() => {
            panic!("the stand-in is not usable: {e}")
        }
        Err(e) if std::env::var_os(NEED_GPU).is_some() => panic!("{NEED_GPU} is set: {e}"),
        Err(_) => {
            crate::same_on_stand_in(own_name().as_deref());
            None
        }
    }
}

/// The name of the test that asks, where it runs on a thread of its own.
fn own_name() -> Option<String> {
    std::thread::current()
        .name()
        .filter(|name| *name != "main")
        .map(str::to_owned)
}

/// Says that a test does nothing by itself, but is what another test starts in a process with
/// settings of its own.
pub fn part_of(whole: &str) {
    not_run(&format!("it is a part of {whole}"));
}

/// Says on stderr itself, which the test runner does not swallow, that a test has nothing to do
/// here.
pub fn not_run(why: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "not run: {}: {why}",
        own_name().unwrap_or_default()
    );
}

/// Says on stderr itself, which the test runner does not swallow, that something was not tested.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("WAVEMIX_NO_SKIP").is_none(),
        "must not be skipped here: {why}"
    );
    let name = own_name().map_or(String::new(), |name| format!("{name}: "));
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {name}the GPU's kernels on the CPU: {why}"
    );
}

/// Normal numbers in f64.
pub fn draw(shape: &[usize], seed: u64) -> Tensor {
    Tensor::normal(
        Shape::new(shape).unwrap(),
        0.0,
        1.0,
        DType::F64,
        &Rng::new(seed),
    )
}

/// Half the distance from 1 to the next number.
pub fn unit(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 2f64.powi(-8),
        DType::F16 => 2f64.powi(-11),
        _ => 2f64.powi(-24),
    }
}

/// How exact an op is on the GPU.
#[derive(Clone, Copy)]
pub struct Bound {
    /// How often a number is rounded to the storage type on its way, as the largest is, or as the
    /// inputs of size 1.
    pub roundings: f64,
    /// How many products of f32 are added up: their roundings grow with the sum, at most linearly.
    pub terms: usize,
}

/// One rounding of the result, and a few operations in f32.
pub const ELEMENTWISE: Bound = Bound {
    roundings: 2.0,
    terms: 8,
};

/// A sum of so many products.
pub fn sums(terms: usize) -> Bound {
    Bound {
        roundings: 2.0,
        terms: terms.max(8),
    }
}

/// Compares f on the GPU, in one storage type, with f in f64 on the CPU: its value, and the
/// gradients of a random dy. Inputs are rounded to the storage type first, so that both begin with
/// the same numbers.
pub fn agrees_in(
    dtype: DType,
    bound: Bound,
    f: &dyn Fn(&[Var]) -> Result<Var>,
    inputs: &[Tensor],
) -> Checked {
    let Some(gpu) = gpu() else { return Ok(()) };
    let rounded = |x: &Tensor| x.cast(dtype);
    let exact: Vec<Var> = inputs
        .iter()
        .map(|x| Ok(Var::leaf(rounded(x)?.cast(DType::F64)?)))
        .collect::<Result<_>>()?;
    let there: Vec<Var> = inputs
        .iter()
        .map(|x| Ok(Var::leaf(rounded(x)?.to_device(gpu)?)))
        .collect::<Result<_>>()?;
    let (want, got) = (f(&exact)?, f(&there)?);
    close(
        &format!("{dtype} value"),
        dtype,
        bound,
        want.value(),
        got.value(),
    )?;
    if !want.requires_grad() {
        return Ok(());
    }
    let dy = draw(want.shape(), 99).cast(got.dtype())?;
    let want = want.backward_from(dy.cast(DType::F64)?, &[])?;
    let got = got.backward_from(dy.to_device(gpu)?, &[])?;
    for (i, (exact, there)) in exact.iter().zip(&there).enumerate() {
        match (want.of(exact), got.of(there)) {
            (Some(want), Some(got)) => {
                close(&format!("{dtype} gradient {i}"), dtype, bound, want, got)?
            }
            (want, got) => assert_eq!(
                want.is_some(),
                got.is_some(),
                "gradient {i} is there on one side only"
            ),
        }
    }
    Ok(())
}

/// As [`agrees_in`], in all storage types.
pub fn agrees(bound: Bound, f: impl Fn(&[Var]) -> Result<Var>, inputs: &[Tensor]) -> Checked {
    STORAGE
        .iter()
        .try_for_each(|&dtype| agrees_in(dtype, bound, &f, inputs))
}

/// Whether two tensors are one but for roundings.
pub fn close(what: &str, dtype: DType, bound: Bound, want: &Tensor, got: &Tensor) -> Checked {
    assert_eq!(want.shape(), got.shape(), "{what}");
    let (want, got) = (
        want.to_device(Device::Cpu)?
            .cast(DType::F64)?
            .to_vec::<f64>()?,
        got.to_device(Device::Cpu)?
            .cast(DType::F64)?
            .to_vec::<f64>()?,
    );
    let largest = want
        .iter()
        .filter(|x| x.is_finite())
        .fold(0.0f64, |most, x| most.max(x.abs()));
    let allowed =
        (bound.roundings * unit(dtype) + bound.terms as f64 * unit(DType::F32)) * largest.max(1.0);
    for (i, (want, got)) in want.iter().zip(&got).enumerate() {
        let same = (want - got).abs() <= allowed || (want.is_nan() && got.is_nan()) || want == got;
        if !same {
            let message =
                format!("{what}: element {i} is {got:e}, should be {want:e} within {allowed:e}");
            return Err(TestCaseError::fail(message));
        }
    }
    Ok(())
}
