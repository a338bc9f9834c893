//! Solutions of the exercises of chapter 12, "Sure".

/// SplitMix64 (Steele, Lea, Flood, 2014): a counter, mixed. The first mixing keeps streams apart.
pub fn uniform(seed: u64, index: u64) -> f64 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let step = 0x9e37_79b9_7f4a_7c15u64;
    let stream = mix(seed.wrapping_add(step));
    let word = mix(stream.wrapping_add(step.wrapping_mul(index.wrapping_add(1))));
    (word >> 11) as f64 / (1u64 << 53) as f64
}

/// Blocks of 1000 are what is summed, whoever does it; the sums are added up in order.
pub fn sum(x: &[f32], threads: usize) -> f32 {
    let part = x
        .len()
        .div_ceil(threads.max(1))
        .max(1)
        .next_multiple_of(1000);
    let sums = std::thread::scope(|scope| {
        let blocks = |part: &[f32]| -> Vec<f32> {
            part.chunks(1000).map(|block| block.iter().sum()).collect()
        };
        let started: Vec<_> = x
            .chunks(part)
            .map(|part| scope.spawn(move || blocks(part)))
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    sums.concat().iter().sum()
}

/// For random x and y: a wrong g would have to be right by chance. Rounding is a few eps, relative
/// to the lengths of the vectors.
pub fn is_adjoint(
    f: &dyn Fn(&[f64]) -> Vec<f64>,
    g: &dyn Fn(&[f64]) -> Vec<f64>,
    [n, m]: [usize; 2],
) -> bool {
    let random = |seed: u64, count: usize| -> Vec<f64> {
        (0..count as u64)
            .map(|i| 2.0 * uniform(seed, i) - 1.0)
            .collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (x, y) = (random(1, n), random(2, m));
    let (fx, gy) = (f(&x), g(&y));
    let size = (dot(&fx, &fx) * dot(&y, &y)).sqrt() + (dot(&x, &x) * dot(&gy, &gy)).sqrt();
    let fits = fx.len() == m && gy.len() == n;
    fits && (dot(&fx, &y) - dot(&x, &gy)).abs() <= 1e-13 * size.max(1.0)
}
