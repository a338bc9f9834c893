//! Slices of device memory, which kernels take as arguments.

use std::ffi::c_void;
use std::marker::PhantomData;

use cudarc::driver::{result, sys};

use super::context::Gpu;
use super::memory::Block;
use crate::{DType, Result};

/// Elements on a device that a kernel reads.
#[derive(Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub gpu: &'static Gpu,
    pub(in crate::cuda) address: sys::CUdeviceptr,
    pub elements: usize,
    pub dtype: DType,
    life: PhantomData<&'a Block>,
}

/// Elements on a device that a kernel writes.
pub(crate) struct SliceMut<'a>(pub(in crate::cuda) Slice<'a>);

impl<'a> Slice<'a> {
    /// `elements` elements of `block`, from element `start` on.
    pub fn new(block: &'a Block, start: usize, elements: usize, dtype: DType) -> Slice<'a> {
        assert!(
            (start + elements) * dtype.bytes() <= block.bytes(),
            "a slice lies within its block"
        );
        let address = block.address() + (start * dtype.bytes()) as u64;
        Slice {
            gpu: block.gpu(),
            address,
            elements,
            dtype,
            life: PhantomData,
        }
    }

    /// `elements` of these, from element `start` on.
    pub fn part(self, start: usize, elements: usize) -> Slice<'a> {
        assert!(
            start + elements <= self.elements,
            "a part lies within its slice"
        );
        Slice {
            address: self.address + (start * self.dtype.bytes()) as u64,
            elements,
            ..self
        }
    }

    pub fn bytes(&self) -> usize {
        self.elements * self.dtype.bytes()
    }

    /// The same without a lifetime: the caller keeps the memory alive.
    pub(super) fn detached(self) -> Slice<'static> {
        Slice {
            gpu: self.gpu,
            address: self.address,
            elements: self.elements,
            dtype: self.dtype,
            life: PhantomData,
        }
    }

    /// Copies the elements to the CPU's memory, and waits for that.
    pub fn read(&self, to: &mut [u8]) -> Result<()> {
        assert_eq!(to.len(), self.bytes(), "the copy is as long as the slice");
        let doing = "copying from the device";
        self.gpu.not_recording(doing)?;
        let _guard = self.gpu.stream_guard()?;
        // SAFETY: both sides are `to.len()` bytes long, and `to` outlives the wait below.
        unsafe { result::memcpy_dtoh_async(to, self.address, self.gpu.stream.cu_stream()) }
            .map_err(|e| self.gpu.failed(doing, e))?;
        self.gpu.wait(doing)
    }
}

impl<'a> SliceMut<'a> {
    /// `elements` elements of `block`, from element `start` on.
    pub fn new(block: &'a mut Block, start: usize, elements: usize, dtype: DType) -> SliceMut<'a> {
        SliceMut(Slice::new(block, start, elements, dtype))
    }

    /// The same elements, to read.
    pub fn as_slice(&self) -> Slice<'_> {
        self.0
    }

    /// `elements` of these, from element `start` on, to write.
    pub fn part(&mut self, start: usize, elements: usize) -> SliceMut<'_> {
        SliceMut(self.0.part(start, elements))
    }

    /// Copies bytes from the CPU's memory. The driver buffers up to 64 KiB; for more it first waits
    /// for the stream, which [`Staging`] does not.
    pub fn write(&mut self, from: &[u8]) -> Result<()> {
        let Slice { gpu, address, .. } = self.0;
        assert_eq!(
            from.len(),
            self.0.bytes(),
            "the copy is as long as the slice"
        );
        gpu.not_recording("copying to the device")?;
        let _guard = gpu.stream_guard()?;
        // SAFETY: both sides are `from.len()` bytes long; the driver has read pageable memory when
        // it returns.
        unsafe { result::memcpy_htod_async(address, from, gpu.stream.cu_stream()) }
            .map_err(|e| gpu.failed("copying to the device", e))
    }

    /// Copies elements of the same type on the device.
    pub fn copy(&mut self, from: Slice) -> Result<()> {
        let _guard = self.0.gpu.stream_guard()?;
        self.copy_with_guard(from)
    }

    /// The same for a caller that holds the stream guard, which must not be taken twice.
    pub(super) fn copy_with_guard(&mut self, from: Slice) -> Result<()> {
        let Slice { gpu, address, .. } = self.0;
        assert_eq!(
            (from.bytes(), from.gpu.ordinal),
            (self.0.bytes(), gpu.ordinal),
            "the copy is as long as the slice"
        );
        if from.elements == 0 {
            return Ok(());
        }
        // SAFETY: both sides have the same length, and live until the stream has passed this copy.
        unsafe {
            result::memcpy_dtod_async(address, from.address, from.bytes(), gpu.stream.cu_stream())
        }
        .map_err(|e| gpu.failed("copying on the device", e))
    }

    /// Sets all elements to `value`, rounded to their type.
    pub fn fill(&mut self, value: f64) -> Result<()> {
        let Slice {
            gpu,
            address,
            elements,
            dtype,
            ..
        } = self.0;
        if elements == 0 {
            return Ok(());
        }
        let _guard = gpu.stream_guard()?;
        let stream = gpu.stream.cu_stream();
        // SAFETY: the slice is `elements` elements long, each of them as wide as the call says.
        let filled = unsafe {
            match dtype {
                DType::U8 => sys::cuMemsetD8Async(address, value as u8, elements, stream),
                DType::F16 => sys::cuMemsetD16Async(
                    address,
                    half::f16::from_f64(value).to_bits(),
                    elements,
                    stream,
                ),
                DType::BF16 => sys::cuMemsetD16Async(
                    address,
                    half::bf16::from_f64(value).to_bits(),
                    elements,
                    stream,
                ),
                DType::F32 => {
                    sys::cuMemsetD32Async(address, (value as f32).to_bits(), elements, stream)
                }
                // The driver fills at most 32 bits at a time, so a 64-bit value must have equal
                // halves: only 0 is needed.
                DType::F64 | DType::I64 => {
                    assert_eq!(value, 0.0, "64-bit numbers are only zeroed");
                    sys::cuMemsetD8Async(address, 0, 8 * elements, stream)
                }
            }
        };
        filled.result().map_err(|e| gpu.failed("filling memory", e))
    }

    pub(in crate::cuda) fn pointer(&self) -> *mut c_void {
        self.0.address as *mut c_void
    }
}

/// Scratch memory on the device, for one launch or two.
pub(crate) struct Scratch {
    block: Block,
    elements: usize,
    dtype: DType,
}

impl Gpu {
    /// Scratch memory for `elements` elements.
    pub fn scratch(&'static self, elements: usize, dtype: DType) -> Result<Scratch> {
        Ok(Scratch {
            block: self.allocate(elements * dtype.bytes())?,
            elements,
            dtype,
        })
    }
}

impl Scratch {
    pub fn read(&self) -> Slice<'_> {
        Slice::new(&self.block, 0, self.elements, self.dtype)
    }

    pub fn write(&mut self) -> SliceMut<'_> {
        SliceMut::new(&mut self.block, 0, self.elements, self.dtype)
    }
}

impl Gpu {
    /// The address of these constants on the device. The first call with these contents copies them
    /// there, for as long as the program runs: resizing has a table for each pair of sizes.
    pub fn constant(&'static self, bytes: &[u8]) -> Result<sys::CUdeviceptr> {
        // The lock is not held during the copy: that waits while another thread captures a step,
        // and that thread may need the lock.
        let constants = || self.constants.lock().unwrap_or_else(|e| e.into_inner());
        let known = constants().get(bytes).copied();
        if let Some(address) = known {
            return Ok(address);
        }
        let mut block = self.allocate(bytes.len())?;
        SliceMut::new(&mut block, 0, bytes.len(), DType::U8).write(bytes)?;
        let address = *constants()
            .entry(bytes.to_vec())
            .or_insert_with(|| Box::leak(Box::new(block)).address());
        Ok(address)
    }
}
