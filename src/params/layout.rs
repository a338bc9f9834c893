//! The order of a weight's elements in files and in memory.

use crate::Shape;

/// How a weight's axes are ordered in files, which follow PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLayout {
    /// As in memory.
    Same,
    /// A convolution's: `[a, kh, kw, b]` in memory, `[a, b, kh, kw]` in the file (OIHW, and IOHW
    /// for transposed ones); along rows, `[a, k, b]` and `[a, b, k]`.
    ChannelsFirst,
    /// A convolution's that the file has as a 1x1 convolution of unfolded windows (PyTorch's
    /// `Unfold`): `[a, kh, kw, b]` in memory, `[a, b kh kw, 1, 1]` in the file.
    Unfolded,
    /// A linear layer's behind `flatten`. Its inputs, the last axis, are one feature map laid out
    /// as an array: `[height, width, channels]` in memory, where maps are NHWC, and `[channels,
    /// height, width]` in the file, since PyTorch's maps are NCHW. The shape is the same in both,
    /// `[.., channels * height * width]`.
    ///
    /// Without it a PyTorch checkpoint loads without complaint and multiplies every input by the
    /// weight of another.
    Flattened {
        /// Channels of the map.
        channels: usize,
        /// Rows of the map.
        height: usize,
        /// Columns of the map.
        width: usize,
    },
}

impl FileLayout {
    /// The matrices whose rows and columns change places between memory and file: their `[rows,
    /// columns]` in memory, the last being consecutive. `None` where nothing moves.
    pub(crate) fn matrices(self, shape: &[usize]) -> Option<[usize; 2]> {
        match (self, shape) {
            (FileLayout::ChannelsFirst | FileLayout::Unfolded, &[_, kh, kw, b]) => {
                Some([kh * kw, b])
            }
            (FileLayout::ChannelsFirst, &[_, k, b]) => Some([k, b]),
            (
                FileLayout::Flattened {
                    channels,
                    height,
                    width,
                },
                _,
            ) => Some([height * width, channels]),
            _ => None,
        }
    }

    /// What is wrong with a weight of this shape.
    pub(super) fn misfit(self, shape: &Shape) -> Option<String> {
        match self {
            FileLayout::Same => None,
            FileLayout::ChannelsFirst if [3, 4].contains(&shape.len()) => None,
            FileLayout::Unfolded if shape.len() == 4 => None,
            FileLayout::Unfolded => Some(format!(
                "a convolution of unfolded windows has four axes, its shape is {shape}"
            )),
            FileLayout::ChannelsFirst => Some(format!(
                "channels first is an order of three or four axes, its shape is {shape}"
            )),
            FileLayout::Flattened {
                channels,
                height,
                width,
            } => {
                let inputs = channels
                    .checked_mul(height)
                    .and_then(|n| n.checked_mul(width));
                let fits = inputs.is_some() && inputs == shape.last().copied();
                let map = format!("{channels} channels of {height}x{width} pixels");
                (!fits).then(|| format!("{map}, flattened, are not the last axis of {shape}"))
            }
        }
    }
}
