//! Comparing two operands, and choosing between them.

use crate::Element;
use crate::cpu::binary::{Broadcast, rows, zip};
use crate::cpu::{GRAIN, chunks};

/// How two numbers may lie: one bit each. A comparison is the set of those for which it holds.
pub(crate) const LESS: u8 = 1;
pub(crate) const EQUAL: u8 = 2;
pub(crate) const GREATER: u8 = 4;
/// One of them is not a number.
pub(crate) const UNORDERED: u8 = 8;

/// y = 1 where a and b lie as one of `holds`, else 0, both broadcast to the shape of y. One loop
/// serves all comparisons.
pub(crate) fn forward<T: Element>(holds: u8, [a, b]: [&[T]; 2], shapes: &Broadcast, y: &mut [u8]) {
    rows([a, b], shapes, y, &|_, [a, b], y| {
        zip(a, b, y, |_, a, b| {
            let ordered =
                u8::from(a < b) * LESS + u8::from(a == b) * EQUAL + u8::from(a > b) * GREATER;
            let found = ordered + u8::from(ordered == 0) * UNORDERED;
            u8::from(found & holds != 0)
        });
    });
}

/// y = a where the mask is not 0, else b.
pub(crate) fn select<T: Element>(mask: &[u8], a: &[T], b: &[T], y: &mut [T]) {
    chunks(y, GRAIN, |start, y| {
        for (((y, &m), &a), &b) in y
            .iter_mut()
            .zip(&mask[start..])
            .zip(&a[start..])
            .zip(&b[start..])
        {
            *y = if m != 0 { a } else { b };
        }
    });
}
