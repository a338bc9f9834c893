//! Creating tensors: from values, constants and random numbers.

use std::sync::Arc;

use crate::tensor::memory::{Absent, Memory, is_shapes_only};
use crate::tensor::pool::Buffer;
use crate::tensor::rng::{normal_pair, unit_f32};
use crate::tensor::shape::MAX_RANK;
use crate::{DType, Device, Element, Error, Result, Rng, Shape, Tensor};

/// Elements a thread draws at a time when a random tensor is filled: large enough to be worth a
/// thread's while.
const DRAW_CHUNK: usize = 16 * 1024;

/// Creation. Where there is no memory for so many elements, functions that return no `Result` panic
/// with the caller's line, as `Vec` does; [`Tensor::full_on`] and all ops return an error instead.
impl Tensor {
    /// A tensor of `values` in row-major order.
    ///
    /// # Errors
    /// Where the number of values is not that of the shape, or no tensor can have the shape.
    #[track_caller]
    pub fn from_vec<T: Element>(values: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::from_slice(&values, shape)
    }

    /// As [`Tensor::from_vec`], from borrowed values.
    #[track_caller]
    pub fn from_slice<T: Element>(values: &[T], shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into().checked("from_vec")?;
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
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        Tensor::full(shape, 0.0, dtype)
    }

    /// All elements 1.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, dtype: DType) -> Tensor {
        Tensor::full(shape, 1.0, dtype)
    }

    /// All elements `value`, rounded to the dtype.
    ///
    /// # Panics
    /// Where there is no memory for them; [`Tensor::full_on`] returns an error.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f64, dtype: DType) -> Tensor {
        Tensor::filled(there_is_room("full", shape.into(), dtype), value, dtype)
    }

    /// `start, start + step, ...`, `count` elements of shape `[count]`.
    #[track_caller]
    pub fn arange(start: f64, step: f64, count: usize, dtype: DType) -> Tensor {
        let (shape, at) = (
            there_is_room("arange", Shape::from([count]), dtype),
            |i: usize| start + step * i as f64,
        );
        dispatch_dtype!(dtype, T in any => Tensor::build(shape, |out: &mut [T]| {
            out.iter_mut().enumerate().for_each(|(i, x)| *x = T::from_f64(at(i)));
        }))
    }

    /// The identity matrix `[n, n]`.
    #[track_caller]
    pub fn eye(n: usize, dtype: DType) -> Tensor {
        let shape = there_is_room("eye", Shape::from([n, n]), dtype);
        dispatch_dtype!(dtype, T in any => Tensor::build(shape, |out: &mut [T]| {
            out.fill(T::default());
            out.iter_mut().step_by(n + 1).for_each(|x| *x = T::from_f64(1.0));
        }))
    }

    /// Uniform in `[low, high)`: element i takes word i of `rng`'s stream, whatever was drawn from
    /// it before.
    #[track_caller]
    pub fn uniform(
        shape: impl Into<Shape>,
        low: f64,
        high: f64,
        dtype: DType,
        rng: &Rng,
    ) -> Tensor {
        Tensor::drawn(shape.into(), dtype, |block| {
            rng.block(block)
                .map(|word| low + (high - low) * f64::from(unit_f32(word)))
        })
    }

    /// Normal with the given mean and standard deviation, by Box-Muller on `rng`'s words.
    #[track_caller]
    pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64, dtype: DType, rng: &Rng) -> Tensor {
        Tensor::drawn(shape.into(), dtype, |block| {
            four_normal(rng, block).map(|z| mean + std * z)
        })
    }

    /// Normal with mean 0 and this standard deviation, but for what lies outside of `-2..=2`: those
    /// bounds are numbers, not multiples of `std`. Within them elements are those of
    /// [`Tensor::normal`]; all depend on `rng`'s identity and their index alone.
    ///
    /// Source: `torch.nn.init.trunc_normal_`, whose bounds these are unless others are given.
    #[doc(alias = "trunc_normal_")]
    #[track_caller]
    pub fn truncated_normal(shape: impl Into<Shape>, std: f64, dtype: DType, rng: &Rng) -> Tensor {
        Tensor::drawn(shape.into(), dtype, |block| {
            let mut four = four_normal(rng, block).map(|z| std * z);
            for (i, x) in (4 * block..).zip(&mut four) {
                if x.abs() > 2.0 {
                    *x = truncated_normal(std, rng, i);
                }
            }
            four
        })
    }

    /// All elements `value`, rounded to the dtype, on `device`.
    ///
    /// # Errors
    /// Where the device cannot be used, or its memory is full; a shape that no tensor can have.
    #[track_caller]
    pub fn full_on(
        device: Device,
        shape: impl Into<Shape>,
        value: f64,
        dtype: DType,
    ) -> Result<Tensor> {
        Tensor::full_of_shape(device, shape.into(), value, dtype)
    }

    #[track_caller]
    fn full_of_shape(device: Device, shape: Shape, value: f64, dtype: DType) -> Result<Tensor> {
        let shape = shape.checked("full_on")?;
        match (device, dtype) {
            (Device::Cpu, _) => Ok(Tensor::filled(
                Tensor::checked_shape("full_on", device, &shape, dtype)?,
                value,
                dtype,
            )),
            (Device::Cuda(_), DType::I64 | DType::F64) if value != 0.0 => {
                Tensor::full(shape, value, dtype).to_device(device)
            }
            (Device::Cuda(ordinal), _) => {
                Tensor::build_on(ordinal, shape, dtype, |out| out.fill(value))
            }
        }
    }

    fn filled(shape: Shape, value: f64, dtype: DType) -> Tensor {
        dispatch_dtype!(dtype, T in any => Tensor::build(shape, |out: &mut [T]| out.fill(T::from_f64(value))))
    }

    /// Fills a tensor four elements at a time from numbered random blocks, over threads.
    #[track_caller]
    fn drawn(shape: Shape, dtype: DType, four: impl Fn(u64) -> [f64; 4] + Sync) -> Tensor {
        let shape = there_is_room("random", shape, dtype);
        dispatch_dtype!(dtype, T in any => Tensor::build(shape, |out: &mut [T]| {
            crate::cpu::chunks(out, DRAW_CHUNK, |start, chunk| {
                for (i, group) in chunk.chunks_mut(4).enumerate() {
                    let values = four((start / 4 + i) as u64);
                    group.iter_mut().zip(values).for_each(|(x, value)| *x = T::from_f64(value));
                }
            });
        }))
    }

    /// The shape of `op`'s result, for which there is memory. A few large numbers from a caller, a
    /// padding or two operands that broadcast, can ask for more than any machine has: an error,
    /// where [`Tensor::build`] would end the process.
    #[track_caller]
    pub(crate) fn checked_shape(
        op: &'static str,
        device: Device,
        dims: &[usize],
        dtype: DType,
    ) -> Result<Shape> {
        // On a GPU building it is an error soon enough.
        let fits = |shape: &Shape| {
            let bytes = shape.elements().saturating_mul(dtype.bytes());
            device != Device::Cpu || is_shapes_only() || Buffer::try_uninit(bytes).is_some()
        };
        match Shape::new(dims) {
            Ok(shape) if !fits(&shape) => Err(too_large(op, dims, dtype)),
            Err(_) if dims.len() <= MAX_RANK => Err(too_large(op, dims, dtype)),
            outcome => outcome,
        }
    }

    /// A new tensor whose elements `fill` writes, all of them: they hold leftovers before. Where
    /// there are none it is not called: kernels always have something to write.
    ///
    /// This function is compiled for each `fill`, of which there are hundreds: so it does nothing
    /// itself.
    pub(crate) fn build<T: Element>(shape: Shape, fill: impl FnOnce(&mut [T])) -> Tensor {
        let mut fill = Some(fill);
        build_with(shape, T::DTYPE, &mut |buffer| {
            if let Some(fill) = fill.take() {
                fill(buffer.as_mut_slice());
            }
        })
    }
}

/// Four standard normal numbers of a block of `rng`'s words.
fn four_normal(rng: &Rng, block: u64) -> [f64; 4] {
    let [a, b, c, d] = rng.block(block);
    let ((a, b), (c, d)) = (normal_pair(a, b), normal_pair(c, d));
    [a, b, c, d]
}

/// Element i of [`Tensor::truncated_normal`] where [`Tensor::normal`]'s lies outside, by rejection:
/// candidate k comes from child k of `rng`.
///
/// A narrow normal distribution has most of itself within the bounds, and is drawn from until it
/// hits them. A wide one hardly falls there: its density is cut out of a uniform distribution of the
/// same height. Either way more than half of the candidates are taken.
fn truncated_normal(std: f64, rng: &Rng, i: u64) -> f64 {
    let unit = |word: u32| (f64::from(word) + 0.5) / 4294967296.0;
    let candidate = |k: u64| {
        let [a, b, c, d] = rng.child(k).block(i);
        if std.abs() <= 2.0 {
            Some(std * normal_pair(a, b).0).filter(|x| x.abs() <= 2.0)
        } else {
            let x = 4.0 * unit(c) - 2.0;
            Some(x).filter(|x| unit(d) <= (-0.5 * (x / std).powi(2)).exp())
        }
    };
    // That none of a hundred is taken has a chance below 2^-100.
    (0..100).find_map(candidate).unwrap_or(0.0)
}

/// [`Tensor::build`], with `fill` called once at most.
#[inline(never)]
fn build_with(shape: Shape, dtype: DType, fill: &mut dyn FnMut(&mut Buffer)) -> Tensor {
    let elements = shape.elements();
    let bytes = elements.saturating_mul(dtype.bytes());
    let memory = if is_shapes_only() {
        Memory::Absent(Absent::new(bytes))
    } else {
        let mut buffer = Buffer::uninit(bytes);
        if elements > 0 {
            fill(&mut buffer);
        }
        Memory::Host(buffer)
    };
    Tensor {
        shape,
        dtype,
        memory: Arc::new(memory),
        start: 0,
    }
}

/// A shape for which the CPU has memory; a panic otherwise.
#[track_caller]
fn there_is_room(op: &'static str, shape: Shape, dtype: DType) -> Shape {
    Tensor::checked_shape(op, Device::Cpu, &shape, dtype).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn too_large(op: &'static str, dims: &[usize], dtype: DType) -> Error {
    Error::operand(
        op,
        "result",
        "a shape that fits in memory",
        format!("{dims:?} of {dtype}"),
    )
}
