//! Zero-padded copies of parts of images: with the zeros in place a window needs no bounds.

use std::ops::Range;

use crate::Stored;
use crate::cpu::Scratch;
use crate::cpu::conv::plan::InputView;
use crate::cpu::gemm::copy_long;
use crate::tensor::dtype::as_type;

/// Some channels of an image of [height, width, channels].
pub(crate) struct Pixels<'a, T> {
    pub image: &'a [T],
    pub size: [usize; 3],
    pub channels: Range<usize>,
}

impl<'a, T: Stored> Pixels<'a, T> {
    /// What `view` sees, as elements of type F: the image itself, or a copy in `copy`, whose memory
    /// all copies for this view share.
    pub fn seen<'s, F: Stored<Compute = T::Compute>>(
        &self,
        view: &InputView,
        copy: &'s mut Option<Scratch<F>>,
    ) -> &'s [F]
    where
        'a: 's,
    {
        if let Some(image) = as_type(self.image).filter(|_| !view.copied) {
            return image;
        }
        let size = view.height * view.width * view.channels;
        let copy = copy.get_or_insert_with(|| Scratch::new(size));
        self.copy_padded(view, copy);
        copy
    }

    /// Writes what `view` sees to the first elements of `to`: zeros outside of the image, and for
    /// channels that a view has beyond these.
    pub fn copy_padded<F: Stored<Compute = T::Compute>>(&self, view: &InputView, to: &mut [F]) {
        let ([h, w, c], channels) = (self.size, view.channels);
        let columns = view.left.max(0)..(view.left + view.width as isize).min(w as isize);
        let rows = to.chunks_mut((view.width * channels).max(1));
        for (row, to) in (view.top..).zip(rows.take(view.height)) {
            if row < 0 || row >= h as isize || columns.is_empty() {
                to.fill(F::default());
                continue;
            }
            let start = row as usize * w + columns.start as usize;
            let from = &self.image[start * c..][..columns.len() * c];
            let (before, rest) = to.split_at_mut((columns.start - view.left) as usize * channels);
            let (to, after) = rest.split_at_mut(columns.len() * channels);
            before.fill(F::default());
            after.fill(F::default());
            if channels == c && self.channels.len() == c {
                copy_long(from, to);
                continue;
            }
            for (to, from) in to.chunks_mut(channels).zip(from.chunks(c)) {
                let (to, beyond) = to.split_at_mut(self.channels.len());
                copy_long(&from[self.channels.clone()], to);
                beyond.fill(F::default());
            }
        }
    }
}
