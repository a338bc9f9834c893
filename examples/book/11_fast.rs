//! Chapter 11 of the book, "Fast": one matrix product, from three loops to all cores; memory; and
//! numbers of 16 bits.
//!
//! `cargo run --release --example book_11_fast`

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use half::{bf16, f16};
use wavemix::console::Stdout;
use wavemix::{DType, Result, Rng, Tensor, Var};

// ANCHOR: loops
/// All matrices are [N, N].
const N: usize = 512;

/// 1. The definition: c_ij is the sum over k of a_ik b_kj.
fn three_loops(a: &[f32], b: &[f32], c: &mut [f32]) {
    for i in 0..N {
        for j in 0..N {
            c[i * N + j] = (0..N).map(|k| a[i * N + k] * b[k * N + j]).sum();
        }
    }
}

/// 2. The same terms in another order: the innermost loop runs along rows of b and c.
fn along_rows(a: &[f32], b: &[f32], c: &mut [f32]) {
    for i in 0..N {
        let row = &mut c[i * N..][..N];
        row.fill(0.0);
        for k in 0..N {
            let b = &b[k * N..][..N];
            row.iter_mut().zip(b).for_each(|(c, b)| *c += a[i * N + k] * b);
        }
    }
}
// ANCHOR_END: loops

// ANCHOR: tiles
/// Rows and columns of a tile of c that is kept in registers.
const MR: usize = 4;
const NR: usize = 8;

/// Panels of NR columns of b, each in one piece: what the innermost loop reads, in its order.
fn pack(b: &[f32]) -> Vec<f32> {
    let panels = (0..N).step_by(NR);
    let rows = panels.flat_map(|j| (0..N).map(move |k| &b[k * N + j..][..NR]));
    rows.flatten().copied().collect()
}

/// The micro-kernel: a tile of MR rows and NR columns, c = a b. Each element of b that is loaded
/// serves MR multiplications, each of a serves NR.
#[inline(always)]
fn tile(
    a: [&[f32]; MR],
    panel: &[f32],
    multiply_add: impl Fn(f32, f32, f32) -> f32,
) -> [[f32; NR]; MR] {
    let mut sums = [[0.0; NR]; MR];
    for (k, b) in panel.chunks_exact(NR).enumerate() {
        for r in 0..MR {
            let x = a[r][k];
            for s in 0..NR {
                sums[r][s] = multiply_add(x, b[s], sums[r][s]);
            }
        }
    }
    sums
}

/// 3. Some rows of c, tile by tile.
#[inline(always)]
fn in_tiles(
    a: &[f32],
    packed: &[f32],
    c: &mut [f32],
    multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    for (panel, j) in packed.chunks_exact(N * NR).zip((0..N).step_by(NR)) {
        for (a, c) in a.chunks_exact(MR * N).zip(c.chunks_exact_mut(MR * N)) {
            let rows = std::array::from_fn(|r| &a[r * N..][..N]);
            let sums = tile(rows, panel, multiply_add);
            // Here an epilogue would work on the sums: add a bias, apply relu.
            (0..MR).for_each(|r| c[r * N + j..][..NR].copy_from_slice(&sums[r]));
        }
    }
}

fn tiles(a: &[f32], b: &[f32], c: &mut [f32]) {
    in_tiles(a, &pack(b), c, |x, y, sum| x * y + sum);
}
// ANCHOR_END: tiles

// ANCHOR: lanes
/// The same loops, compiled for vectors of 8 lanes and fused multiply-add.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn compiled_for_avx2(a: &[f32], packed: &[f32], c: &mut [f32]) {
    in_tiles(a, packed, c, |x, y, sum| x.mul_add(y, sum));
}

/// 4. By the widest of the two that this CPU has.
fn widest(a: &[f32], packed: &[f32], c: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the CPU has both features.
        return unsafe { compiled_for_avx2(a, packed, c) };
    }
    in_tiles(a, packed, c, |x, y, sum| x * y + sum);
}

fn lanes(a: &[f32], b: &[f32], c: &mut [f32]) {
    widest(a, &pack(b), c);
}

/// 5. Rows of c are shared out among the cores. No two threads write to the same place.
fn threads(a: &[f32], b: &[f32], c: &mut [f32]) {
    let packed = pack(b);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let rows = (N / MR).div_ceil(cores) * MR;
    thread::scope(|scope| {
        for (a, c) in a.chunks(rows * N).zip(c.chunks_mut(rows * N)) {
            scope.spawn(|| widest(a, &packed, c));
        }
    });
}
// ANCHOR_END: lanes

/// The seconds that the fastest of three runs takes.
fn fastest(mut run: impl FnMut()) -> f64 {
    let mut seconds = || {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| seconds()).fold(f64::INFINITY, f64::min)
}

type Product = fn(&[f32], &[f32], &mut [f32]);

// ANCHOR: compare
fn products() -> Result<()> {
    let normal = |seed| Tensor::normal([N, N], 0.0, 1.0, DType::F32, &Rng::new(seed));
    let (x, y) = (normal(0), normal(1));
    let (a, b) = (x.to_vec::<f32>()?, y.to_vec::<f32>()?);
    let want = Var::from(x).matmul(&y.into())?.to_vec::<f32>()?;
    let products: [(&str, Product); 5] = [
        ("three loops", three_loops),
        ("along rows", along_rows),
        ("tiles", tiles),
        ("wide lanes", lanes),
        ("all cores", threads),
    ];
    for (name, product) in products {
        let mut c = vec![0f32; N * N];
        let seconds = fastest(|| product(&a, &b, &mut c));
        let far = c.iter().zip(&want).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        let same = if far < 1e-3 { "agrees" } else { "DIFFERS" };
        let gflops = 2.0 * (N * N * N) as f64 / seconds / 1e9;
        writeln!(Stdout, "{name:<12} {gflops:6.1} GFLOP/s, {same}")?;
    }
    Ok(())
}

/// How many bytes a second come from memory: the sum of 64 MiB, which no cache holds.
fn memory() -> Result<()> {
    let data = vec![1u64; 8 << 20];
    let seconds = fastest(|| _ = black_box(data.iter().sum::<u64>()));
    let rate = (64 << 20) as f64 / seconds / 1e9;
    writeln!(Stdout, "memory       {rate:6.1} GB/s with one core")
}
// ANCHOR_END: compare

// ANCHOR: short
fn short_numbers() -> Result<()> {
    let ones = [bf16::ONE; 4096];
    let short: bf16 = ones.iter().fold(bf16::ZERO, |sum, &x| sum + x);
    let long: f32 = ones.iter().map(|x| x.to_f32()).sum();
    writeln!(Stdout, "4096 ones, added up in bf16: {short}; in f32: {long}")?;

    let gradient = 2e-8f32;
    let plain = f16::from_f32(gradient).to_f32();
    let scaled = f16::from_f32(gradient * 1024.0).to_f32() / 1024.0;
    writeln!(Stdout, "a gradient of {gradient:e} in f16: {plain:e}; times 1024: {scaled:.2e}")
}
// ANCHOR_END: short

fn main() -> Result<()> {
    products()?;
    memory()?;
    short_numbers()
}
