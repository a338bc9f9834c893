//! Counter-based random numbers: value = f(seed, stream, index).
//!
//! A classical generator carries a state that every draw changes, so the numbers depend on who
//! draws first. Here the i-th number of a stream is a pure function of `(seed, stream, i)`: threads
//! may draw in any order, a GPU draws the same numbers as the CPU, dropout stores a seed instead of
//! a mask, and the whole state of a checkpoint is a few integers.
//!
//! The function is Philox4x32-10: ten rounds of a keyed bijection on 128 bits, each round two 32x32
//! -> 64 bit products. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1,
//! 2, 3" (SC 2011); the tests hold the known answers of the authors' Random123 library.

use std::convert::Infallible;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// The golden ratio and sqrt(3) - 1, as 32-bit fractions: the key moves on by these from round to
/// round.
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A vector of 32-bit words, each in the lower half of a 64-bit lane. The upper halves are ignored:
/// a 32 x 32 -> 64 bit multiplication reads the lower halves only, so its product can be used as
/// the next word without masking.
pub(crate) trait Words: Copy {
    /// How many.
    const N: usize;
    fn splat(word: u32) -> Self;
    /// All 64 bits of `first`, `first + 1`, and so on.
    fn count_from(first: u64) -> Self;
    /// All 64 bits of the products.
    fn times(self, b: Self) -> Self;
    fn xor(self, b: Self) -> Self;
    /// The upper halves, shifted down.
    fn upper(self) -> Self;
    /// Writes the four words of each block, block by block, two in an element: the first of them in
    /// its lower half.
    fn write(block: [Self; 4], to: &mut [u64]);
}

impl<const N: usize> Words for [u64; N] {
    const N: usize = N;
    #[inline(always)]
    fn splat(word: u32) -> Self {
        [word.into(); N]
    }
    #[inline(always)]
    fn count_from(first: u64) -> Self {
        std::array::from_fn(|i| first + i as u64)
    }
    #[inline(always)]
    fn times(self, b: Self) -> Self {
        std::array::from_fn(|i| u64::from(self[i] as u32) * u64::from(b[i] as u32))
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] ^ b[i])
    }
    #[inline(always)]
    fn upper(self) -> Self {
        self.map(|lane| lane >> 32)
    }
    #[inline(always)]
    fn write([a, b, c, d]: [Self; 4], to: &mut [u64]) {
        let pair = |low: u64, high: u64| low & u64::from(u32::MAX) | high << 32;
        for (i, to) in to.as_chunks_mut::<2>().0.iter_mut().enumerate().take(N) {
            *to = [pair(a[i], b[i]), pair(c[i], d[i])];
        }
    }
}

/// Philox4x32-10: four random words for one counter under one key.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    side_by_side(counter.map(|word| [[u64::from(word)]]), key).map(|[[word]]| word as u32)
}

/// The same for G registers of counters: the i-th words of all first.
#[inline(always)]
fn side_by_side<W: Words, const G: usize>(
    [mut c0, mut c1, mut c2, mut c3]: [[W; G]; 4],
    key: [u32; 2],
) -> [[W; G]; 4] {
    let [m0, m1] = MULTIPLIERS.map(W::splat);
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let (mut p0, mut p1) = (c0, c2);
        for g in 0..G {
            (p0[g], p1[g]) = (m0.times(c0[g]), m1.times(c2[g]));
        }
        for g in 0..G {
            c0[g] = p1[g].upper().xor(c1[g]).xor(W::splat(k0));
            c2[g] = p0[g].upper().xor(c3[g]).xor(W::splat(k1));
        }
        (c1, c3) = (p1, p0);
        k0 = k0.wrapping_add(KEY_STEPS[0]);
        k1 = k1.wrapping_add(KEY_STEPS[1]);
    }
    [c0, c1, c2, c3]
}

/// A stream of random numbers, addressed by index or drawn in order.
///
/// Drawing in order (through [`rand::Rng`], which it implements) moves an index; addressing
/// (`stream.word(i)`) does not.
///
/// ```
/// use rand::RngExt;
/// let mut rng = wavemix::Rng::new(7);
/// let dice = rng.random_range(1..=6);
/// assert!((1..=6).contains(&dice));
/// assert_eq!(wavemix::Rng::new(7).word(1000), wavemix::Rng::new(7).word(1000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    stream: u64,
    index: u64,
    /// The block that `index` lies in, once a word of it has been drawn.
    drawn: [u32; 4],
}

impl Rng {
    /// Stream 0 of `seed`.
    pub fn new(seed: u64) -> Self {
        Rng {
            seed,
            stream: 0,
            index: 0,
            drawn: [0; 4],
        }
    }

    /// The `stream`-th independent stream of the same seed, from its start.
    pub fn stream(&self, stream: u64) -> Self {
        Rng {
            seed: self.seed,
            stream,
            index: 0,
            drawn: [0; 4],
        }
    }

    /// A stream of its own for the `i`-th child of this one (an epoch, an image, a layer call):
    /// seeded from this stream's identity and `i`, whatever has been drawn from it.
    pub fn child(&self, i: u64) -> Self {
        let [a, b, ..] = philox(words(self.stream, i ^ (1 << 63)), key(self.seed));
        Rng {
            seed: self.seed ^ (u64::from(a) << 32 | u64::from(b)),
            stream: i,
            index: 0,
            drawn: [0; 4],
        }
    }

    /// The seed this stream belongs to.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Seed and stream: what names its words.
    pub(crate) fn key(&self) -> (u64, u64) {
        (self.seed, self.stream)
    }

    /// Four words at once: those with indices `4 * block .. 4 * block + 4`.
    #[inline(always)]
    pub fn block(&self, block: u64) -> [u32; 4] {
        philox(words(block, self.stream), key(self.seed))
    }

    /// The words of the blocks from `first` on, two in a number, G registers of blocks at a time:
    /// work enough to hide how long a product takes. `out` has room for whole registers.
    #[inline(always)]
    pub(crate) fn fill<W: Words, const G: usize>(&self, first: u64, out: &mut [u64]) {
        let [_, _, s0, s1] = words(0, self.stream).map(|word| [W::splat(word); G]);
        for (i, out) in out.chunks_mut(2 * W::N * G).enumerate() {
            let mut low = [W::splat(0); G];
            for g in 0..G {
                low[g] = W::count_from(first + ((i * G + g) * W::N) as u64);
            }
            let [a, b, c, d] = side_by_side([low, low.map(W::upper), s0, s1], key(self.seed));
            for (g, out) in out.chunks_mut(2 * W::N).enumerate() {
                W::write([a[g], b[g], c[g], d[g]], out);
            }
        }
    }

    /// The 32-bit word with index `i`.
    pub fn word(&self, i: u64) -> u32 {
        self.block(i / 4)[(i % 4) as usize]
    }

    /// The next number, uniform in [0, 1) with 24 random bits.
    pub fn uniform(&mut self) -> f32 {
        unit_f32(self.next_word())
    }

    /// The next number from the standard normal distribution.
    ///
    /// Box-Muller: the radius of a two-dimensional Gaussian is sqrt(-2 ln u), its angle uniform.
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.next_word(), self.next_word());
        normal_pair(u, v).0
    }

    /// A random order of `0..n`, by Fisher and Yates.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            // The high half of a 64-bit product maps a word to 0..=i without division; the bias is
            // below (i + 1) / 2^64.
            let wide = u64::from(self.next_word()) << 32 | u64::from(self.next_word());
            let j = ((u128::from(wide) * (i as u128 + 1)) >> 64) as usize;
            order.swap(i, j);
        }
        order
    }

    fn next_word(&mut self) -> u32 {
        let place = (self.index % 4) as usize;
        if place == 0 {
            self.drawn = self.block(self.index / 4);
        }
        self.index += 1;
        self.drawn[place]
    }
}

impl rand::rand_core::TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_word())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.next_word()) | u64::from(self.next_word()) << 32)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(4) {
            let bytes = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

/// A word as a uniform number in [0, 1): its upper 24 bits, which an f32 holds exactly.
#[inline(always)]
pub fn unit_f32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
}

/// Two words as two independent standard normal numbers.
#[inline]
pub fn normal_pair(u: u32, v: u32) -> (f64, f64) {
    // (u + 1/2) / 2^32 lies strictly inside (0, 1), so the logarithm is finite.
    let radius = (-2.0 * ((f64::from(u) + 0.5) / 4294967296.0).ln()).sqrt();
    let angle = std::f64::consts::TAU * (f64::from(v) / 4294967296.0);
    (radius * angle.cos(), radius * angle.sin())
}

#[inline(always)]
fn words(low: u64, high: u64) -> [u32; 4] {
    [
        low as u32,
        (low >> 32) as u32,
        high as u32,
        (high >> 32) as u32,
    ]
}

#[inline(always)]
fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Random123's kat_vectors file for philox4x32-10.
    #[test]
    fn philox_known_answers() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
        );
        assert_eq!(
            philox(
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0]
            ),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn blocks_side_by_side_are_the_blocks() {
        let (rng, first) = (
            Rng::new(0x0123_4567_89ab_cdef).stream(u64::MAX - 5),
            u64::from(u32::MAX) - 7,
        );
        let each: Vec<u32> = (0..32).flat_map(|i| rng.block(first + i)).collect();
        let mut pairs = [0; 64];
        rng.fill::<[u64; 4], 2>(first, &mut pairs);
        let words: Vec<u32> = pairs
            .iter()
            .flat_map(|&pair| [pair as u32, (pair >> 32) as u32])
            .collect();
        assert_eq!(words, each);
    }

    #[test]
    fn drawing_in_order_reads_the_indexed_words() {
        use rand::rand_core::Rng as _;
        let mut rng = Rng::new(3).stream(9);
        let words: Vec<u32> = (0..9).map(|_| rng.next_u32()).collect();
        assert_eq!(
            words,
            (0..9)
                .map(|i| Rng::new(3).stream(9).word(i))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn children_and_streams_differ() {
        let rng = Rng::new(1);
        let firsts = [
            rng.word(0),
            rng.stream(1).word(0),
            rng.child(0).word(0),
            rng.child(1).word(0),
            rng.child(0).child(0).word(0),
        ];
        for (i, a) in firsts.iter().enumerate() {
            assert!(firsts[i + 1..].iter().all(|b| a != b), "{firsts:?}");
        }
    }

    #[test]
    fn normal_has_unit_variance() {
        let mut rng = Rng::new(5);
        let draws: Vec<f64> = (0..100_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02,
            "mean {mean}, variance {variance}"
        );
    }

    #[test]
    fn permutation_is_one() {
        let mut order = Rng::new(2).permutation(1000);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
