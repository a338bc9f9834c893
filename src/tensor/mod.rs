//! `Tensor`: an array of elements with a shape, and no computation graph.

pub mod axes;
#[macro_use]
pub(crate) mod dispatch;
mod create;
pub mod device;
mod display;
pub mod dtype;
pub mod error;
pub mod float;
mod kernel;
pub(crate) mod memory;
pub mod pool;
pub mod rng;
pub mod scope;
pub mod shape;
pub(crate) mod timeline;
pub mod window;

use std::ops::Range;
use std::sync::Arc;

use crate::cuda::{Slice, SliceMut, gpu};
use crate::tensor::memory::Memory;
use crate::{DType, Device, Element, Error, Result, Shape};

/// A dense, row-major array of up to six dimensions.
///
/// A tensor is a shape, an element type and a share in a block of memory. Cloning one, reshaping it
/// or taking a range of its first axis copies nothing; everything else that moves elements
/// (permuting, slicing other axes) writes a new tensor, so that no op needs to know about strides.
/// Tensors never change under another's eyes: writing to one that shares its memory copies first.
///
/// Mathematics is done on [`Var`](crate::Var), which a tensor becomes for free; a tensor by itself
/// is for data going in and results coming out.
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
    memory: Arc<Memory>,
    /// Where this tensor starts in the memory, in elements.
    start: usize,
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
        match &*self.memory {
            Memory::Host(_) | Memory::Absent(_) => Device::Cpu,
            Memory::Device(block) => Device::Cuda(block.gpu().ordinal()),
        }
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
    /// Where `T` is not its element type ([`Tensor::cast`] converts), or the elements are on a GPU
    /// ([`Tensor::to_device`] fetches them).
    #[track_caller]
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        if T::DTYPE != self.dtype {
            return Err(Error::operand(
                "as_slice",
                "tensor",
                format!("elements of type {}", T::DTYPE),
                self.dtype,
            ));
        }
        match self.device() {
            Device::Cpu => Ok(self.data()),
            gpu => Err(Error::operand(
                "as_slice",
                "tensor",
                "elements on the cpu: see to_device(Device::Cpu)",
                gpu,
            )),
        }
    }

    /// A copy of its elements, in row-major order, from wherever they are.
    ///
    /// # Errors
    /// Where `T` is not its element type; those of a GPU.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype {
            return Err(Error::operand(
                "to_vec",
                "tensor",
                format!("elements of type {}", T::DTYPE),
                self.dtype,
            ));
        }
        Ok(self.to_device(Device::Cpu)?.data::<T>().to_vec())
    }

    /// The only element, as f64, from wherever it is.
    ///
    /// # Errors
    /// Where there are several, or none; those of a GPU.
    #[track_caller]
    pub fn item(&self) -> Result<f64> {
        if self.elements() != 1 {
            return Err(Error::operand("item", "tensor", "one element", self.shape));
        }
        let x = self.to_device(Device::Cpu)?;
        Ok(dispatch_dtype!(self.dtype, T in any => x.data::<T>()[0].to_f64()))
    }

    /// Its first element that is infinite or NaN, from wherever it is.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn first_non_finite(&self) -> Result<Option<f64>> {
        let x = self.to_device(Device::Cpu)?;
        Ok(
            dispatch_dtype!(self.dtype, T in any => x.data::<T>().iter().map(|x| x.to_f64()).find(|x| !x.is_finite())),
        )
    }

    /// Its elements where they are known to be on the CPU, and of type `T`.
    pub(crate) fn data<T: Element>(&self) -> &[T] {
        assert_eq!(
            T::DTYPE,
            self.dtype,
            "dtypes are checked before data is touched"
        );
        let Memory::Host(buffer) = &*self.memory else {
            unreachable!("devices are told apart before data is touched")
        };
        &buffer.as_slice()[self.start..self.start + self.elements()]
    }

    /// Its elements, to write; a copy is made first where the memory is shared.
    pub(crate) fn data_mut<T: Element>(&mut self) -> &mut [T] {
        let elements = self.elements();
        if Arc::get_mut(&mut self.memory).is_none() {
            *self = Tensor::build(self.shape, |out: &mut [T]| out.copy_from_slice(self.data()));
        }
        assert_eq!(
            T::DTYPE,
            self.dtype,
            "dtypes are checked before data is touched"
        );
        let memory = Arc::get_mut(&mut self.memory).expect("owned alone since the lines above");
        let Memory::Host(buffer) = memory else {
            unreachable!("devices are told apart before data is touched")
        };
        &mut buffer.as_mut_slice()[self.start..self.start + elements]
    }

    /// Which block of memory it shares, and how large that is: for counting what is kept alive.
    pub(crate) fn block(&self) -> (usize, usize) {
        let bytes = match &*self.memory {
            Memory::Host(buffer) => buffer.as_slice::<u8>().len(),
            Memory::Device(block) => block.bytes(),
            Memory::Absent(absent) => absent.bytes(),
        };
        (Arc::as_ptr(&self.memory) as usize, bytes)
    }

    /// Its memory and where it starts there: two tensors of one shape and place are one value, as
    /// long as both live.
    pub(crate) fn place(&self) -> (usize, usize) {
        (Arc::as_ptr(&self.memory) as usize, self.start)
    }

    /// Whether it was created by [`shapes_only`](crate::tensor::memory::shapes_only), so that it
    /// has no elements to read.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(*self.memory, Memory::Absent(_))
    }

    /// Whether no other tensor shares its memory, so that it may be overwritten.
    pub(crate) fn is_unique(&self) -> bool {
        Arc::strong_count(&self.memory) == 1
    }
}

/// Other views of the same elements, and other types.
impl Tensor {
    /// The same elements in another shape; nothing is copied.
    ///
    /// # Errors
    /// Where the number of elements differs, or no tensor can have the shape.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        self.reshaped(shape.into())
    }

    #[track_caller]
    fn reshaped(&self, shape: Shape) -> Result<Tensor> {
        let shape = shape.checked("reshape")?;
        if shape.elements() != self.elements() {
            let expected = format!("{} elements to make {shape}", shape.elements());
            return Err(Error::operand("reshape", "tensor", expected, self.shape));
        }
        Ok(Tensor {
            shape,
            ..self.clone()
        })
    }

    /// Rows `range` of the first axis; nothing is copied.
    ///
    /// # Errors
    /// Where the range does not lie within the axis, or there is no axis.
    #[track_caller]
    pub fn rows(&self, range: Range<usize>) -> Result<Tensor> {
        let Some(&length) = self.shape.first() else {
            return Err(Error::operand(
                "rows",
                "tensor",
                "one dimension or more",
                self.shape,
            ));
        };
        if range.start > range.end || range.end > length {
            return Err(Error::operand(
                "rows",
                "range",
                format!("a part of 0..{length}"),
                format!("{range:?}"),
            ));
        }
        let row = self.elements() / length.max(1);
        Ok(Tensor {
            shape: self.shape.with(0, range.len()),
            start: self.start + range.start * row,
            ..self.clone()
        })
    }

    /// `elements` elements from `start` on, in a shape of as many; the caller keeps within bounds.
    pub(crate) fn view(&self, start: usize, shape: Shape) -> Tensor {
        assert!(
            start + shape.elements() <= self.elements(),
            "a view lies within its tensor"
        );
        Tensor {
            shape,
            start: self.start + start,
            ..self.clone()
        }
    }

    /// Each element as another type, rounded to nearest; to integers towards zero, saturating.
    ///
    /// # Errors
    /// Those of a GPU, which makes floats only, and no f64.
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        if self.device() != Device::Cpu {
            return self.build_on_same_device(self.shape, dtype, |y| {
                crate::cuda::cast::forward(self.on_device(), y)
            });
        }
        Ok(
            dispatch_dtype!(self.dtype, S in any => dispatch_dtype!(dtype, D in any => Tensor::build(self.shape, |y: &mut [D]| {
                crate::cpu::cast::forward(self.data::<S>(), y);
            }))),
        )
    }
}

/// On other devices.
impl Tensor {
    /// The same elements on `device`; nothing is copied where they are there already.
    ///
    /// # Errors
    /// Where the device cannot be used, or its memory is full.
    pub fn to_device(&self, device: Device) -> Result<Tensor> {
        match (self.device(), device) {
            (from, to) if from == to => Ok(self.clone()),
            (Device::Cpu, Device::Cuda(ordinal)) => {
                Tensor::build_on(ordinal, self.shape, self.dtype, |out| {
                    out.write(self.as_bytes())
                })
            }
            (_, Device::Cpu) => dispatch_dtype!(self.dtype, T in any => {
                let mut read = Ok(());
                let fetched = Tensor::build(self.shape, |out: &mut [T]| read = self.on_device().read(crate::tensor::dtype::as_bytes_mut(out)));
                read.map(|()| fetched)
            }),
            (_, to) => self.to_device(Device::Cpu)?.to_device(to),
        }
    }

    /// The memory of its elements where they are known to be on the CPU.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        dispatch_dtype!(self.dtype, T in any => crate::tensor::dtype::as_bytes(self.data::<T>()))
    }

    /// A new tensor on a GPU, whose elements `fill` writes, all of them: they hold leftovers
    /// before. Where there are none it is not called.
    pub(crate) fn build_on(
        ordinal: usize,
        shape: Shape,
        dtype: DType,
        fill: impl FnOnce(&mut SliceMut) -> Result<()>,
    ) -> Result<Tensor> {
        let mut fill = Some(fill);
        build_on_with(ordinal, shape, dtype, &mut |out| {
            fill.take().map_or(Ok(()), |fill| fill(out))
        })
    }

    /// As [`Tensor::build_on`], on the GPU where this one is.
    pub(crate) fn build_on_same_device(
        &self,
        shape: impl Into<Shape>,
        dtype: DType,
        fill: impl FnOnce(&mut SliceMut) -> Result<()>,
    ) -> Result<Tensor> {
        Tensor::build_on(self.on_device().gpu.ordinal(), shape.into(), dtype, fill)
    }

    /// Its elements where they are known to be on a GPU.
    pub(crate) fn on_device(&self) -> Slice<'_> {
        let Memory::Device(block) = &*self.memory else {
            unreachable!("devices are told apart before data is touched")
        };
        Slice::new(block, self.start, self.elements(), self.dtype)
    }

    /// Its elements on a GPU, to write; a copy is made first where the memory is shared.
    pub(crate) fn on_device_mut(&mut self) -> Result<SliceMut<'_>> {
        if Arc::get_mut(&mut self.memory).is_none() {
            *self = self
                .build_on_same_device(self.shape, self.dtype, |out| out.copy(self.on_device()))?;
        }
        let (start, elements, dtype) = (self.start, self.elements(), self.dtype);
        let memory = Arc::get_mut(&mut self.memory).expect("owned alone since the lines above");
        let Memory::Device(block) = memory else {
            unreachable!("devices are told apart before data is touched")
        };
        Ok(SliceMut::new(block, start, elements, dtype))
    }
}

/// [`Tensor::build_on`], with `fill` called once at most. Compiled once, not for each `fill`.
#[inline(never)]
fn build_on_with(
    ordinal: usize,
    shape: Shape,
    dtype: DType,
    fill: &mut dyn FnMut(&mut SliceMut) -> Result<()>,
) -> Result<Tensor> {
    let mut block = gpu(ordinal)?.allocate(shape.elements() * dtype.bytes())?;
    if shape.elements() > 0 {
        fill(&mut SliceMut::new(&mut block, 0, shape.elements(), dtype))?;
    }
    Ok(Tensor {
        shape,
        dtype,
        memory: Arc::new(Memory::Device(block)),
        start: 0,
    })
}
