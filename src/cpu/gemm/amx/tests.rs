//! Tiles against their definition, and strips, segments and edges against plain sums.

use super::*;
use crate::console::Stderr;
use crate::cpu::gemm::blocking::{dot_width, nr};
use crate::cpu::gemm::microkernel::{KSegment, OutputPanel};

/// Subnormals are 0.
fn flushed(x: f32) -> f32 {
    if x.is_subnormal() {
        0f32.copysign(x)
    } else {
        x
    }
}

/// What a tile instruction computes of one step, in plain loops.
fn step_by_definition(run: &Run, strip: usize, step: usize, [i, j]: [usize; 2]) -> [f32; 2] {
    let mut sums = [0f32; 2];
    for p in 0..PAIRS {
        for (t, sum) in sums.iter_mut().enumerate() {
            let a = run.a[strip]
                .wrapping_add(i * run.a_row + step * BYTES)
                .cast::<bf16>();
            let b = run
                .b
                .wrapping_add((step * PAIRS + p) * run.b_row)
                .cast::<bf16>();
            // SAFETY: the tests' runs lie within their operands.
            let (a, b) = unsafe { (*a.wrapping_add(2 * p + t), *b.wrapping_add(2 * j + t)) };
            *sum = flushed(flushed(a.to_f32()).mul_add(flushed(b.to_f32()), *sum));
        }
    }
    sums
}

/// [`multiply`] in plain loops, on any CPU.
///
/// # Safety
/// As [`Multiply`].
unsafe fn multiply_by_definition(rows: usize, runs: &[Run], sums: &mut Sums) {
    for (at, c) in sums.0.iter_mut().enumerate() {
        let (strip, i, j) = (at / COLUMNS / ROWS, at / COLUMNS % ROWS, at % COLUMNS);
        if i >= rows {
            continue;
        }
        *c = 0.0;
        for run in runs.iter().take_while(|run| run.steps > 0) {
            for step in 0..run.steps {
                let [even, odd] = step_by_definition(run, strip, step, [i, j]);
                *c = flushed(*c + flushed(even + odd));
            }
        }
    }
}

/// Numbers between -4 and 4 whose sums are exact.
fn integers<T: Stored>(count: usize, step: usize) -> Vec<T> {
    let value = |i: usize| T::from_f64((i * step % 9) as f64 - 4.0);
    (0..count).map(value).collect()
}

/// Products in lines of so many rows, with segments of these lengths in pairs.
struct Sizes {
    lines: usize,
    count: usize,
    segments: &'static [usize],
    columns: usize,
}

impl Sizes {
    const fn new([lines, count]: [usize; 2], segments: &'static [usize], columns: usize) -> Sizes {
        Sizes {
            lines,
            count,
            segments,
            columns,
        }
    }
}

const SIZES: &[Sizes] = &[
    Sizes::new([1, 1], &[16], 32),
    Sizes::new([1, 256], &[64], 32),
    Sizes::new([3, 28], &[32, 32], 32),
    Sizes::new([5, 7], &[1], 17),
    Sizes::new([2, 33], &[15, 17, 48], 31),
    Sizes::new([1, 14], &[5, 5, 5], 32),
    Sizes::new([4, 16], &[], 20),
];

/// Operands of a product, with gaps between segments, rows and lines that belong to nothing.
struct Operands<O> {
    a: Vec<bf16>,
    b: Vec<bf16>,
    bias: Vec<O>,
    /// What C holds before, and the first of its columns that are written.
    c: Vec<O>,
    first: usize,
    segments: Vec<KSegment>,
    rows: RowOffsets,
}

/// Elements of a row of a panel of VNNI pairs.
const PANEL_ROW: usize = 2 * nr::<bf16>();

impl<O: Stored<Compute = f32>> Operands<O> {
    fn of(sizes: &Sizes) -> Operands<O> {
        let terms: usize = sizes.segments.iter().sum();
        let steps = [2 * (terms + 3 * sizes.segments.len()) + 2, 40];
        let line = steps.map(|step| step * sizes.count + 6);
        let (mut segments, mut at) = (Vec::new(), [4, 0]);
        for &len in sizes.segments {
            let [a, b] = at;
            segments.push(KSegment { a, b, len });
            at = [a + dot_width::<bf16>() * (len + 3), b + PANEL_ROW * len];
        }
        let starts = (0..sizes.lines).map(|i| line.map(|line| i * line));
        Operands {
            a: integers(sizes.lines * line[0] + 8, 7919),
            b: integers(at[1] + PANEL_ROW, 104_729),
            bias: integers(sizes.columns, 5),
            c: integers(sizes.lines * line[1] + 8, 31),
            first: 3,
            segments,
            rows: RowOffsets::lines::<bf16>(starts, sizes.count, steps, sizes.columns),
        }
    }

    /// The product by plain sums.
    fn product(&self, columns: usize, accumulate: Accumulate<'_, O>) -> Vec<O> {
        let (rows, mut c) = (&self.rows, self.c.clone());
        let all = |&[a, c]: &[usize; 2]| {
            (0..rows.count).map(move |i| [a + i * rows.steps[0], c + i * rows.steps[1]])
        };
        for [a, to] in rows.lines.iter().flat_map(all) {
            for j in 0..columns {
                let to = &mut c[to + self.first + j];
                let mut sum = f64::from(accumulate.start(j, *to));
                for segment in &self.segments {
                    for p in 0..2 * segment.len {
                        let a = self.a[a + segment.a + p].to_f64();
                        let b = segment.b + p / 2 * PANEL_ROW + 2 * j + p % 2;
                        sum += a * self.b[b].to_f64();
                    }
                }
                *to = O::from_f64(sum);
            }
        }
        c
    }
}

/// Whole numbers, so that every order of additions gives the same bits.
fn agrees<O: Stored<Compute = f32>>(
    sizes: &Sizes,
    kernel: impl Fn(&TileProduct<'_, bf16>, &mut PanelTiles<'_, O>),
) {
    let (operands, columns) = (Operands::<O>::of(sizes), sizes.columns);
    let Operands { a, b, segments, .. } = &operands;
    let product = TileProduct::new(a, b, [2, PANEL_ROW], segments);
    for accumulate in [
        Accumulate::Zero,
        Accumulate::Bias(&operands.bias[..]),
        Accumulate::Existing,
    ] {
        let mut c = operands.c.clone();
        let output = OutputPanel {
            c: &mut c,
            first: operands.first,
            columns,
        };
        let mut to = PanelTiles {
            rows: &operands.rows,
            panel: 0,
            accumulate,
            output,
        };
        assert!(applies(&product, &to));
        kernel(&product, &mut to);
        let Sizes {
            lines,
            count,
            segments,
            ..
        } = sizes;
        assert!(
            c == operands.product(columns, accumulate),
            "{lines} lines of {count} rows, segments {segments:?}, {columns} columns"
        );
    }
}

fn agree<O: Stored<Compute = f32>>() {
    for sizes in SIZES {
        // SAFETY: the operands are as large as the offsets say; arrays are any CPU's registers.
        agrees::<O>(sizes, |product, to| unsafe {
            strips_by_panel::<[f32; 4], O>(product, to, multiply_by_definition);
        });
        if has_amx() {
            // SAFETY: as above, and there are tiles.
            agrees::<O>(sizes, |product, to| unsafe { amx(product, to) });
        }
    }
}

#[test]
fn strips_and_segments_of_any_length_give_what_plain_sums_give() {
    agree::<f32>();
    agree::<bf16>();
}

/// Pairs of every kind: of all exponents, subnormal, huge, infinite.
fn kinds() -> [(&'static str, fn(u64) -> bf16); 5] {
    [
        ("moderate", |r| {
            bf16::from_f32((r % 2000) as f32 / 500.0 - 2.0)
        }),
        ("of all exponents", |r| bf16::from_bits(r as u16 & 0xbfff)),
        ("subnormal", |r| {
            bf16::from_bits(if r & 1 == 0 {
                r as u16 & 0x807f
            } else {
                0x6000 | r as u16 & 0x8fff
            })
        }),
        ("tiny", |r| {
            bf16::from_f32((r % 2000) as f32 * 1e-22 - 1e-19)
        }),
        ("huge or infinite", |r| match r % 37 {
            0 => bf16::INFINITY,
            1 => bf16::NEG_INFINITY,
            _ => bf16::from_f32((r % 2000) as f32 * 1e16 - 1e19),
        }),
    ]
}

#[test]
fn the_instruction_computes_its_definition_bit_for_bit() {
    if !has_amx() {
        writeln!(Stderr, "skipped: this process has no tiles");
        return;
    }
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    for (kind, draw) in kinds() {
        let mut draw = |count: usize| (0..count).map(|_| draw(next())).collect::<Vec<bf16>>();
        let (a, b) = (draw(2 * ROWS * 64), draw(2 * PAIRS * 64));
        let run = |steps| Run {
            a: [0, ROWS].map(|row| a[row * 64..].as_ptr().cast()),
            a_row: 128,
            ..Run::of(&b, 64, steps)
        };
        let runs = [run(2), run(0)];
        let [mut got, mut want] = [(); 2].map(|()| Sums([0.0; 2 * ROWS * COLUMNS]));
        // SAFETY: two strips of 16 rows of 64 elements, and 32 pairs of rows of 32 columns.
        unsafe {
            let _tiles = Configured::new(ROWS);
            multiply(ROWS, &runs, &mut got);
            multiply_by_definition(ROWS, &runs, &mut want);
        }
        for (got, want) in got.0.iter().zip(&want.0) {
            let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
            assert!(same, "{kind}: {got:e} for {want:e}");
        }
    }
}
