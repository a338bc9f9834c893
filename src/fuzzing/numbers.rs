//! Sizes and choices from a fuzzer's bytes.

/// Numbers from bytes: mostly small ones, some that overflow what they are added to or multiplied
/// by.
pub(super) struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    pub fn byte(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first)
    }

    pub fn small(&mut self, below: usize) -> usize {
        self.byte() % below
    }

    pub fn any(&mut self) -> usize {
        match self.byte() {
            250 => 1 << 20,
            251 => 1 << 32,
            252 => 1 << 40,
            253 => 1 << 62,
            254 => isize::MAX as usize,
            255 => usize::MAX,
            n @ 0..25 => n,
            n => n % 4,
        }
    }

    pub fn pair(&mut self) -> [usize; 2] {
        [self.any(), self.any()]
    }

    /// Lengths of up to 11; `rank` of them, or as many as the bytes say.
    pub fn shape(&mut self, rank: usize) -> Vec<usize> {
        let rank = if rank == 0 { self.small(7) } else { rank };
        (0..rank).map(|_| self.small(12)).collect()
    }
}
