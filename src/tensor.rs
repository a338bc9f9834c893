//! `Tensor`: numbers with a shape, and no history.

use std::ops::Range;
use std::sync::Arc;

use crate::rng::{normal_pair, unit_f32};
use crate::storage::Buffer;
use crate::{DType, Device, Element, Error, Result, Rng, Shape};

/// A dense, row-major array of up to six dimensions.
///
/// A tensor is a shape, an element type and a share in a block of memory. Cloning one, reshaping it or taking a range of
/// its first axis copies nothing; everything else that moves elements (permuting, slicing other axes) writes a new
/// tensor, so that no op needs to know about strides. Tensors never change under another's eyes: writing to one that
/// shares its memory copies first.
///
/// Mathematics is done on [`Var`](crate::Var), which a tensor becomes for free; a tensor by itself is for data going in
/// and results coming out.
///
/// ```
/// use wavemix::{Tensor, Var};
/// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2])?;
/// let y = (&Var::from(&x) * &Var::from(&x))?.into_value();
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 4.0, 9.0, 16.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    shape: Shape,
    dtype: DType,
    buffer: Arc<Buffer>,
    /// Where this tensor starts in the buffer, in elements.
    start: usize,
}

/// Elements a thread draws at a time when a random tensor is filled: large enough to be worth a thread's while.
const DRAW_CHUNK: usize = 16 * 1024;

/// Creation.
impl Tensor {
    /// A tensor of `values` in row-major order.
    ///
    /// # Errors
    /// Where the number of values is not that of the shape.
    #[track_caller]
    pub fn from_vec<T: Element>(values: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::from_slice(&values, shape)
    }

    /// As [`Tensor::from_vec`], from borrowed values.
    #[track_caller]
    pub fn from_slice<T: Element>(values: &[T], shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if values.len() != shape.elements() {
            let expected = format!("{} elements for shape {shape}", shape.elements());
            return Err(Error::operand("from_vec", "values", expected, values.len()));
        }
        Ok(Tensor::build(shape, |out| out.copy_from_slice(values)))
    }

    /// A single number, of shape `[]`.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor::build(Shape::from([]), |out| out[0] = value)
    }

    /// All elements 0.
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        Tensor::full(shape, 0.0, dtype)
    }

    /// All elements 1.
    pub fn ones(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        Tensor::full(shape, 1.0, dtype)
    }

    /// All elements `value`, rounded to the dtype.
    pub fn full(shape: impl Into<Shape>, value: f64, dtype: DType) -> Tensor {
        let shape = shape.into();
        each_dtype!(dtype, T => Tensor::build(shape, |out: &mut [T]| out.fill(T::from_f64(value))))
    }

    /// `start, start + step, ...`, `count` numbers of shape `[count]`.
    pub fn arange(start: f64, step: f64, count: usize, dtype: DType) -> Tensor {
        let at = |i: usize| start + step * i as f64;
        each_dtype!(dtype, T => Tensor::build(Shape::from([count]), |out: &mut [T]| {
            out.iter_mut().enumerate().for_each(|(i, x)| *x = T::from_f64(at(i)));
        }))
    }

    /// The identity matrix `[n, n]`.
    pub fn eye(n: usize, dtype: DType) -> Tensor {
        each_dtype!(dtype, T => Tensor::build(Shape::from([n, n]), |out: &mut [T]| {
            out.fill(T::default());
            out.iter_mut().step_by(n + 1).for_each(|x| *x = T::from_f64(1.0));
        }))
    }

    /// Uniform in `[low, high)`: element i takes word i of `rng`'s stream, whatever was drawn from it before.
    pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64, dtype: DType, rng: &Rng) -> Tensor {
        Tensor::drawn(shape.into(), dtype, |block| rng.block(block).map(|word| low + (high - low) * f64::from(unit_f32(word))))
    }

    /// Normal with the given mean and standard deviation, by Box-Muller on `rng`'s words.
    pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64, dtype: DType, rng: &Rng) -> Tensor {
        Tensor::drawn(shape.into(), dtype, |block| {
            let [a, b, c, d] = rng.block(block);
            let ((a, b), (c, d)) = (normal_pair(a, b), normal_pair(c, d));
            [a, b, c, d].map(|z| mean + std * z)
        })
    }

    /// Fills a tensor four elements at a time from numbered random blocks, over threads.
    fn drawn(shape: Shape, dtype: DType, four: impl Fn(u64) -> [f64; 4] + Sync) -> Tensor {
        each_dtype!(dtype, T => Tensor::build(shape, |out: &mut [T]| {
            crate::cpu::chunks(out, DRAW_CHUNK, |start, chunk| {
                for (i, group) in chunk.chunks_mut(4).enumerate() {
                    let values = four((start / 4 + i) as u64);
                    group.iter_mut().zip(values).for_each(|(x, value)| *x = T::from_f64(value));
                }
            });
        }))
    }

    /// A new tensor whose elements `fill` writes, all of them: they hold leftovers before.
    pub(crate) fn build<T: Element>(shape: Shape, fill: impl FnOnce(&mut [T])) -> Tensor {
        let mut buffer = Buffer::stale(shape.elements() * size_of::<T>());
        fill(buffer.as_mut_slice());
        Tensor { shape, dtype: T::DTYPE, buffer: Arc::new(buffer), start: 0 }
    }
}

/// Looking at it.
impl Tensor {
    /// The lengths of its dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What one element is.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        Device::Cpu
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.bytes()
    }

    /// Its elements, in row-major order.
    ///
    /// # Errors
    /// Where `T` is not its element type; [`Tensor::cast`] converts.
    #[track_caller]
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        if T::DTYPE != self.dtype {
            return Err(Error::operand("as_slice", "tensor", format!("elements of type {}", T::DTYPE), self.dtype));
        }
        Ok(self.data())
    }

    /// A copy of its elements, in row-major order. Errors as [`Tensor::as_slice`].
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.as_slice().map(<[T]>::to_vec)
    }

    /// The only element, as f64.
    ///
    /// # Errors
    /// Where there are several, or none.
    #[track_caller]
    pub fn item(&self) -> Result<f64> {
        if self.elements() != 1 {
            return Err(Error::operand("item", "tensor", "one element", self.shape));
        }
        Ok(each_dtype!(self.dtype, T => self.data::<T>()[0].to_f64()))
    }

    /// Its elements where the dtype is known to be `T`'s.
    pub(crate) fn data<T: Element>(&self) -> &[T] {
        assert_eq!(T::DTYPE, self.dtype, "dtypes are checked before data is touched");
        &self.buffer.as_slice()[self.start..self.start + self.elements()]
    }

    /// Its elements, to write; a copy is made first where the memory is shared.
    pub(crate) fn data_mut<T: Element>(&mut self) -> &mut [T] {
        let elements = self.elements();
        if Arc::get_mut(&mut self.buffer).is_none() {
            *self = Tensor::build(self.shape, |out: &mut [T]| out.copy_from_slice(self.data()));
        }
        let buffer = Arc::get_mut(&mut self.buffer).expect("owned alone since the lines above");
        assert_eq!(T::DTYPE, self.dtype, "dtypes are checked before data is touched");
        &mut buffer.as_mut_slice()[self.start..self.start + elements]
    }

    /// Which block of memory it shares, and how large that is: for counting what is kept alive.
    pub(crate) fn block(&self) -> (usize, usize) {
        (Arc::as_ptr(&self.buffer) as usize, self.buffer.as_slice::<u8>().len())
    }

    /// Whether no other tensor shares its memory, so that it may be overwritten.
    pub(crate) fn is_unique(&self) -> bool {
        Arc::strong_count(&self.buffer) == 1
    }
}

/// Other views and types of the same numbers.
impl Tensor {
    /// The same elements in another shape; nothing is copied.
    ///
    /// # Errors
    /// Where the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if shape.elements() != self.elements() {
            let expected = format!("{} elements to make {shape}", shape.elements());
            return Err(Error::operand("reshape", "tensor", expected, self.shape));
        }
        Ok(Tensor { shape, ..self.clone() })
    }

    /// Rows `range` of the first axis; nothing is copied.
    ///
    /// # Errors
    /// Where the range does not lie within the axis.
    #[track_caller]
    pub fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        let length = self.shape.first().copied().unwrap_or(0);
        if range.start > range.end || range.end > length {
            return Err(Error::operand("rows", "range", format!("a part of 0..{length}"), format!("{range:?}")));
        }
        let row = self.elements() / length.max(1);
        Ok(Tensor { shape: self.shape.with(0, range.len()), start: self.start + range.start * row, ..self.clone() })
    }

    /// `elements` elements from `start` on, in a shape of as many; the caller keeps within bounds.
    pub(crate) fn view(&self, start: usize, shape: Shape) -> Tensor {
        assert!(start + shape.elements() <= self.elements(), "a view lies within its tensor");
        Tensor { shape, start: self.start + start, ..self.clone() }
    }

    /// Each element as another type, rounded to nearest; to integers towards zero, saturating.
    pub fn cast(&self, dtype: DType) -> Tensor {
        if dtype == self.dtype {
            return self.clone();
        }
        each_dtype!(self.dtype, S => each_dtype!(dtype, D => Tensor::build(self.shape, |out: &mut [D]| {
            let from = self.data::<S>();
            crate::cpu::chunks(out, crate::cpu::GRAIN, |start, chunk| {
                chunk.iter_mut().zip(&from[start..]).for_each(|(d, s)| *d = D::from_f64(s.to_f64()));
            });
        })))
    }
}
