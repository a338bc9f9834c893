//! Tiles against their definition, and strips, segments and edges against plain sums.

use super::*;
use crate::cpu::gemm::blocking::{dot_width, nr};
use crate::cpu::gemm::microkernel::{KSegment, OutputTile};

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

const SIZES: &[Sizes] = &[
    Sizes {
        lines: 1,
        count: 1,
        segments: &[16],
        columns: 32,
    },
    Sizes {
        lines: 1,
        count: 256,
        segments: &[64],
        columns: 32,
    },
    Sizes {
        lines: 3,
        count: 28,
        segments: &[32, 32],
        columns: 32,
    },
    Sizes {
        lines: 5,
        count: 7,
        segments: &[1],
        columns: 17,
    },
    Sizes {
        lines: 2,
        count: 33,
        segments: &[15, 17, 48],
        columns: 31,
    },
    Sizes {
        lines: 1,
        count: 14,
        segments: &[5, 5, 5],
        columns: 32,
    },
    Sizes {
        lines: 4,
        count: 16,
        segments: &[],
        columns: 20,
    },
];

/// Whole numbers, so that every order of additions gives the same bits.
fn agrees<O: Stored<Compute = f32>>(
    sizes: &Sizes,
    kernel: impl Fn(&TileProduct<'_, bf16>, &mut PanelTiles<'_, O>),
) {
    let &Sizes {
        lines,
        count,
        segments: lengths,
        columns,
    } = sizes;
    let terms: usize = lengths.iter().sum();
    // Gaps between segments, rows and lines, which belong to nothing.
    let (a_step, c_step) = (2 * (terms + 3 * lengths.len()) + 2, 40);
    let [a_line, c_line] = [a_step, c_step].map(|step| step * count + 6);
    let (t, mut segments, mut at) = (dot_width::<bf16>(), Vec::new(), [4, 0]);
    for &len in lengths {
        segments.push(KSegment {
            a: at[0],
            b: at[1],
            len,
        });
        at = [at[0] + t * (len + 3), at[1] + t * nr::<bf16>() * len];
    }
    let a = integers::<bf16>(lines * a_line + 8, 7919);
    let b = integers::<bf16>(at[1] + t * nr::<bf16>(), 104_729);
    let bias = integers::<O>(columns, 5);
    let starts = (0..lines).map(|line| [line * a_line, line * c_line]);
    let rows = RowOffsets::lines::<bf16>(starts, count, [a_step, c_step], columns);
    let product = TileProduct::new(&a, &b, [t, t * nr::<bf16>()], &segments);
    let before = integers::<O>(lines * c_line + 8, 31);
    for accumulate in [
        Accumulate::Zero,
        Accumulate::Bias(&bias[..]),
        Accumulate::Existing,
    ] {
        let mut want = before.clone();
        for (line, i, j) in (0..lines)
            .flat_map(|line| (0..count).flat_map(move |i| (0..columns).map(move |j| (line, i, j))))
        {
            let start = accumulate.start(j, before[line * c_line + i * c_step + 3 + j]);
            let mut sum = f64::from(start);
            for segment in &segments {
                for p in 0..t * segment.len {
                    let a = a[line * a_line + i * a_step + segment.a + p].to_f64();
                    sum += a * b[segment.b + (p / t * nr::<bf16>() + j) * t + p % t].to_f64();
                }
            }
            want[line * c_line + i * c_step + 3 + j] = O::from_f64(sum);
        }
        let mut c = before.clone();
        let output = OutputTile {
            c: &mut c,
            first: 3,
            columns,
        };
        let mut to = PanelTiles {
            rows: &rows,
            panel: 0,
            accumulate,
            output,
        };
        assert!(applies(&product, &to));
        kernel(&product, &mut to);
        assert!(
            c == want,
            "{lines} lines of {count} rows, segments {lengths:?}, {columns} columns"
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
        eprintln!("skipped: this CPU has no tiles, or this process may not use them");
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
