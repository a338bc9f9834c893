//! How the outputs of a convolution are cut into tasks: bands of rows of one image, or whole
//! images.
//!
//! The cut depends on sizes alone, and each output is summed by one task, so any number of threads
//! gives the same bits. (A weight's gradient is cut in `weight`; Winograd's tasks in `winograd`.)

use std::ops::Range;

use crate::cpu::conv::plan::ConvPlan;
use crate::cpu::gemm::Epilogue;
use crate::cpu::{Scratch, chunks};
use crate::{Element, Stored};

/// Tasks to aim at: enough for the threads of most CPUs. Fewer and larger tasks fill their tiles
/// better and copy fewer rows twice.
const TASKS: usize = 64;

/// Elements of a task's zero-padded copy to aim at: 1 MiB of f32, the L2 cache that a core of a
/// large CPU has. A task that is worth starting may take more.
const PADDED_COPY_ELEMENTS: usize = 1 << 18;

/// The size of a task.
pub(crate) struct TaskSplit {
    /// Output rows of a band: all of an image's, if it is small.
    pub rows: usize,
    /// Images of a task: several only where a band is a whole image.
    images: usize,
}

impl TaskSplit {
    /// For a weight that takes `packed_weight` elements as it is multiplied.
    pub fn of<T: Stored>(plan: &ConvPlan<T>, packed_weight: usize) -> TaskSplit {
        let [h, w, _] = plan.output();
        let phase_pairs = plan.phases[0].len() * plan.phases[1].len();
        let multiply_adds = |rows: usize| rows * w * packed_weight / phase_pairs.max(1);
        let min_task = plan.tuning.min_task;
        // Limit 1: a task is worth starting.
        let worth_starting = min_task.div_ceil(multiply_adds(1).max(1));
        // Limit 2: as many rows as make about TASKS tasks, fewer if their copy would not stay in
        // the L2 cache. Where the two disagree, limit 1 wins.
        let padded = plan.padded_elements(0..h).max(1);
        let in_l2 = PADDED_COPY_ELEMENTS.saturating_mul(h) / padded;
        let share = h.div_ceil(TASKS.div_ceil(plan.geometry.n)).min(in_l2);
        TaskSplit {
            rows: worth_starting.max(share).min(h),
            images: min_task.div_ceil(multiply_adds(h).max(1)),
        }
    }

    /// The bands of an image.
    pub fn bands<T: Stored>(&self, plan: &ConvPlan<T>) -> impl Iterator<Item = Range<usize>> {
        let (rows, height) = (self.rows, plan.output()[0]);
        (0..height)
            .step_by(rows)
            .map(move |first| first..height.min(first + rows))
    }

    /// Calls `compute(image, band, copy, y)` for each band of each image, over threads, and the
    /// epilogue for each task's part of y. `bands` are what the algorithm knows of each band;
    /// `copy` is scratch memory for a zero-padded copy, which the task's next image reuses.
    pub fn for_each_band<T: Stored, F: Element, B: Sync>(
        &self,
        plan: &ConvPlan<T>,
        bands: &[B],
        y: &mut [T],
        epilogue: Epilogue<T>,
        compute: impl Fn(usize, &B, &mut Option<Scratch<F>>, &mut [T]) + Sync,
    ) {
        let [h, w, c] = plan.output();
        let (image_len, band_len) = (h * w * c, self.rows * w * c);
        chunks(y, self.images * image_len, |start, y| {
            let mut copy = None;
            for (image, y) in (start / image_len..).zip(y.chunks_mut(image_len)) {
                match bands {
                    [whole] => compute(image, whole, &mut copy, y),
                    bands => chunks(y, band_len, |start, y| {
                        compute(image, &bands[start / band_len], &mut None, y);
                        epilogue(image * image_len + start, y);
                    }),
                }
            }
            if bands.len() == 1 {
                epilogue(start, y);
            }
        });
    }
}
