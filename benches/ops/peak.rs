//! What this machine can do: multiply-adds without memory, and a copy without arithmetic.

use std::hint::black_box;
use std::time::Instant;

use rayon::ThreadPool;
use rayon::prelude::*;
use wavemix::DType;

use crate::parts::median;

/// The limits that times are held against.
#[derive(Clone, Copy)]
pub struct Peak {
    /// Floating-point operations a second on operands of one type, a multiplication and an addition
    /// counting as two.
    pub flops: f64,
    /// Bytes a second that a copy of a large array reads and writes.
    pub bytes: f64,
}

impl Peak {
    /// The least time that so much work can take, in seconds.
    pub fn limit(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops).max(bytes / self.bytes)
    }
}

/// Measures the limits between the times that are held against them: a machine that is shared has
/// other limits a moment later.
pub struct Meter<'a> {
    pool: &'a ThreadPool,
    dtype: DType,
    arrays: [Vec<f32>; 2],
    flops: Vec<f64>,
    bytes: Vec<f64>,
}

impl Meter<'_> {
    /// Of all threads of the pool together.
    pub fn new(pool: &ThreadPool, dtype: DType) -> Meter<'_> {
        // No cache holds these.
        const LENGTH: usize = 32 << 20;
        let mut meter = Meter {
            pool,
            dtype,
            arrays: [vec![1.0; LENGTH], vec![0.0; LENGTH]],
            flops: Vec::new(),
            bytes: Vec::new(),
        };
        // The first copy finds the memory that it writes to.
        meter.copy();
        meter
    }

    /// Measures both limits once more, in some 30 ms.
    pub fn read(&mut self) {
        let flops = multiply_adds(self.pool, self.dtype);
        let bytes = self.copy();
        self.flops.push(flops);
        self.bytes.push(bytes);
    }

    /// The medians of what was read since the last call, once at least.
    pub fn peak(&mut self) -> Peak {
        let [flops, bytes] =
            [&mut self.flops, &mut self.bytes].map(|readings| median(std::mem::take(readings)));
        Peak { flops, bytes }
    }

    /// Bytes a second, read and written together.
    fn copy(&mut self) -> f64 {
        let (pool, [from, to]) = (self.pool, &mut self.arrays);
        let piece = from.len() / pool.current_num_threads().max(1) / 4;
        let start = Instant::now();
        pool.install(|| {
            to.par_chunks_mut(piece)
                .zip(from.par_chunks(piece))
                .for_each(|(to, from)| to.copy_from_slice(from))
        });
        black_box(&to);
        8.0 * from.len() as f64 / start.elapsed().as_secs_f64()
    }
}

/// Operations a second of a loop that keeps all its numbers in registers.
fn multiply_adds(pool: &ThreadPool, dtype: DType) -> f64 {
    let start = Instant::now();
    let operations: u64 = pool
        .broadcast(|_| chains(dtype, black_box(1_000_000)))
        .into_iter()
        .sum();
    operations as f64 / start.elapsed().as_secs_f64()
}

/// Chains of x = a x + b side by side, `steps` long each; gives the number of operations. An
/// instruction's result comes after four cycles or so and two begin in each: 12 chains of vectors
/// keep them busy. Loops, not closures: only what is inlined here is compiled for these
/// instructions.
fn chains(dtype: DType, steps: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if dtype == DType::BF16
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bf16")
        {
            // SAFETY: the CPU was just asked for these instructions.
            return unsafe { chains_bf16(steps) };
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the CPU was just asked for these instructions.
            return unsafe { chains_avx512(steps) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU was just asked for these instructions.
            return unsafe { chains_avx2(steps) };
        }
    }
    let _ = dtype;
    chains_of::<4>(steps)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn chains_avx512(steps: u64) -> u64 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let (a, b) = (
        _mm512_set1_ps(black_box(0.5)),
        _mm512_set1_ps(black_box(1.0)),
    );
    let mut x = [a; 12];
    for _ in 0..steps {
        for x in &mut x {
            *x = _mm512_fmadd_ps(*x, a, b);
        }
    }
    black_box(x);
    steps * 12 * 16 * 2
}

/// Dot products of pairs: two multiplications and two additions a lane.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn chains_bf16(steps: u64) -> u64 {
    use std::arch::x86_64::{_mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_set1_ps};
    let (zero, half) = (
        _mm512_set1_ps(black_box(0.0)),
        _mm512_set1_ps(black_box(0.5)),
    );
    let (a, b) = (
        _mm512_cvtne2ps_pbh(half, half),
        _mm512_cvtne2ps_pbh(half, zero),
    );
    let mut x = [zero; 12];
    for _ in 0..steps {
        for x in &mut x {
            *x = _mm512_dpbf16_ps(*x, a, b);
        }
    }
    black_box(x);
    steps * 12 * 32 * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn chains_avx2(steps: u64) -> u64 {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let (a, b) = (
        _mm256_set1_ps(black_box(0.5)),
        _mm256_set1_ps(black_box(1.0)),
    );
    let mut x = [a; 12];
    for _ in 0..steps {
        for x in &mut x {
            *x = _mm256_fmadd_ps(*x, a, b);
        }
    }
    black_box(x);
    steps * 12 * 8 * 2
}

/// The same in vectors of N numbers, as the compiler makes them.
fn chains_of<const N: usize>(steps: u64) -> u64 {
    let (a, b) = ([black_box(0.5f32); N], [black_box(1.0f32); N]);
    let mut x = [a; 12];
    for _ in 0..steps {
        for x in &mut x {
            for i in 0..N {
                x[i] = x[i] * a[i] + b[i];
            }
        }
    }
    black_box(x);
    steps * 12 * N as u64 * 2
}
