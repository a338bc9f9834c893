//! B for several products: packed once, multiplied on the thread that asks.

use super::blocking::{Size, nr};
use super::epilogue::Accumulate;
use super::macrokernel::macro_kernel;
use super::operand::Operand;
use super::pack::{PackedB, pack_b};
use super::{GemmElement, gemm};
use crate::cpu::Scratch;
use crate::{DType, Float};

/// B [k, n], packed for products with one A after the other. A product may take its first terms and
/// columns alone, as those of causal attention do.
///
/// [`gemm`](super::gemm()) packs B for each product, and shares the rows of C among threads. Where a
/// thread multiplies many small A's by one B, that would cost as much as multiplying.
pub(crate) struct Packed<'a, T> {
    b: Operand<'a, T>,
    /// Its panels, where B is not one as it lies.
    panels: Option<Scratch<T>>,
    size: [usize; 2],
}

impl<'a, T: GemmElement + Float> Packed<'a, T> {
    /// Packs B [k, n]. f64 is multiplied by a library that packs by itself.
    pub fn new(b: Operand<'a, T>, [k, n]: [usize; 2]) -> Self {
        let packs = T::DTYPE != DType::F64 && !b.is_panel::<T>(n) && k * n > 0;
        Packed {
            b,
            panels: packs.then(|| pack_b(b, k, n)),
            size: [k, n],
        }
    }

    /// C = `accumulate` + A B with the first k terms and n columns of B. C is dense and has n
    /// columns.
    pub fn multiply(
        &self,
        a: Operand<'_, T>,
        [k, n]: [usize; 2],
        accumulate: Accumulate<'_, T>,
        c: &mut [T],
    ) {
        debug_assert!(k <= self.size[0] && n <= self.size[1], "a part of B");
        if c.is_empty() {
            return;
        }
        if k == 0 || T::DTYPE == DType::F64 {
            return gemm(Size::new(c.len() / n, k, n), a, self.b, accumulate, c);
        }
        let (data, width) = match &self.panels {
            Some(panels) => (&panels[..], nr::<T>()),
            None => (&self.b.data[..self.size[0] * self.size[1]], self.size[1]),
        };
        // [m, k] x [k, n] -> [m, n]
        let b = PackedB::new(data, width, self.size).part([k, n]);
        macro_kernel::<T, T, T>(a, b, accumulate, c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::gemm::reference;

    /// Integers, so that all sums are exact: all of B, and its first terms and columns, with B as it
    /// lies and transposed, in several panels, in one, and in half a one.
    fn parts_give_what_the_reference_gives<T: GemmElement + Float>() {
        let integers = |count: usize, step: usize| -> Vec<T> {
            let values = (0..count).map(|i| T::from_f64((i * step % 7) as f64 - 3.0));
            values.collect()
        };
        for (m, k, n) in [
            (1, 1, 1),
            (19, 300, 70),
            (8, 129, 32),
            (5, 40, 16),
            (3, 0, 4),
        ] {
            let (a, b) = (integers(m * k, 7919), integers(k * n, 104_729));
            for transposed in [false, true] {
                let columns = if transposed { k } else { n };
                let b = Operand::new(&b, columns, transposed);
                let packed = Packed::new(b, [k, n]);
                for [k_part, n_part] in [[k, n], [k.min(130), n.min(33)], [k / 2, n], [k, 1]] {
                    let a = Operand::new(&a, k, false);
                    for accumulate in [Accumulate::Zero, Accumulate::Existing] {
                        let mut c = vec![T::ONE; m * n_part];
                        let mut want = c.clone();
                        packed.multiply(a, [k_part, n_part], accumulate, &mut c);
                        let size = Size::new(m, k_part, n_part);
                        reference::gemm(size, a, b, accumulate, &mut want);
                        assert!(c == want, "{m} x {k_part} of {k} x {n_part} of {n}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_packed_operand_is_multiplied() {
        parts_give_what_the_reference_gives::<f32>();
        parts_give_what_the_reference_gives::<f64>();
    }
}
