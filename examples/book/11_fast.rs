//! Chapter 11 of the book, "Fast": one matrix product, from three loops to all cores; memory; and
//! numbers of 16 bits.
//!
//! `cargo run --release --example book_11_fast -- [FOLDER]`, with a folder for the figure.

use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::Instant;

use half::{bf16, f16};
use wavemix::console::Stdout;
use wavemix::plots::{Axes, Style, Svg};
use wavemix::{DType, Error, Result, Rng, Tensor, Var};

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
    let scaled = f16::from_f32(gradient * 65536.0).to_f32() / 65536.0;
    writeln!(Stdout, "a gradient of {gradient:e} in f16: {plain:e}; times 65536: {scaled:.2e}")
}
// ANCHOR_END: short

/// What the chapter says of one core: its peak in GFLOP/s, and its memory's GB/s. Like the times
/// below they are the page's and not this run's: a busy machine would draw another roof.
const PEAK: f64 = 85.0;
const MEMORY: f64 = 14.7;
/// GFLOP/s of the four products of one core, and where their names are to stand.
const MEASURED: [(&str, f64, f64); 4] = [
    ("three loops", 1.2, 4.0),
    ("along rows", 15.6, 12.0),
    ("tiles", 19.6, 4.0),
    ("wide lanes", 27.5, 0.0),
];

/// The roofline, on logarithmic scales, with what lies under it.
fn draw(folder: &Path) -> Result<()> {
    const INK: &str = "#1f2328";
    const GREY: &str = "#6a737d";
    const GRID: &str = "#e6e8eb";
    let mut svg = Svg::new(620.0, 380.0);
    svg.text([56.0, 26.0], Style::new(13.0, INK).bold(), "GFLOP/s, at most and measured");
    let axes = Axes::new([56.0, 46.0], [540.0, 270.0], (-4.0, 8.0), (-2.0, 8.0));
    let place = |x: f64, y: f64| axes.place((x.log2(), y.log2()));
    for (y, text) in
        [(0.25, "1/4"), (1.0, "1"), (4.0, "4"), (16.0, "16"), (64.0, "64"), (256.0, "256")]
    {
        let [left, height] = place(0.0625, y);
        svg.line(&[[left, height], place(256.0, y)], GRID, 1.0);
        svg.text([left - 8.0, height + 4.0], Style::new(11.0, GREY).end(), text);
    }
    for (x, text) in
        [(0.125, "1/8"), (0.5, "1/2"), (2.0, "2"), (8.0, "8"), (32.0, "32"), (128.0, "128")]
    {
        let [at, bottom] = place(x, 0.25);
        svg.line(&[[at, bottom], [at, bottom + 4.0]], GREY, 1.0);
        svg.text([at, bottom + 18.0], Style::new(11.0, GREY).middle(), text);
    }
    let title = Style::new(11.0, GREY).middle();
    svg.text([326.0, 356.0], title, "operations for each byte that has to be moved");

    let bend = PEAK / MEMORY;
    let roof = [place(0.0625, MEMORY * 0.0625), place(bend, PEAK), place(256.0, PEAK)];
    svg.line(&roof, "#d9622b", 2.5);
    let [x, y] = place(bend, PEAK);
    svg.text([x + 60.0, y - 8.0], Style::new(11.0, "#d9622b"), "peak: 85 GFLOP/s");
    let [x, y] = place(1.0, MEMORY);
    svg.text([x - 8.0, y - 4.0], Style::new(11.0, "#d9622b").end(), "memory: 14.7 GB/s");
    // The intensity of relu, and that of a product of [512, 512].
    let [x, y] = place(0.125, MEMORY / 8.0);
    svg.circle([x, y], 4.0, "#d9622b");
    svg.text([x + 12.0, y + 10.0], Style::new(11.0, INK), "relu: 1.8 at most");
    for (name, speed, lower) in MEASURED {
        let [x, y] = place(N as f64 / 6.0, speed);
        svg.circle([x, y], 4.0, "#2f6fbb");
        let text = format!("{name}: {speed}");
        svg.text([x - 12.0, y + lower], Style::new(11.0, INK).end(), &text);
    }
    let path = folder.join("11_roofline.svg");
    std::fs::write(&path, svg.finish()).map_err(Error::io("write", path))
}

fn main() -> Result<()> {
    products()?;
    memory()?;
    short_numbers()?;
    match std::env::args().nth(1) {
        Some(folder) => draw(Path::new(&folder)),
        None => Ok(()),
    }
}
