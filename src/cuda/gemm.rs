//! Matrix products, by cuBLAS.
//!
//! cuBLAS counts columns first. A row-major matrix read column-first is its transpose, and C^T =
//! B^T A^T: so the operands change places, and nothing is moved.

use std::ffi::c_void;

use cudarc::cublas::result::{self, CublasError, gemm_strided_batched_ex};
use cudarc::cublas::sys::{
    self, cublasComputeType_t as Compute, cublasOperation_t as Operation, cudaDataType_t as Type,
};

use super::runtime::context::BlasHandle;
use super::{Block, Gpu, Slice, SliceMut};
use crate::tensor::shape::flops;
use crate::{DType, Error, Result};

/// Bytes of workspace that NVIDIA recommends for its newest devices.
const WORKSPACE: usize = 32 << 20;

/// Starts cuBLAS, with the caller's stream guard. Its own memory would be asked for while a step is
/// captured, so it is given a workspace, for as long as the program runs.
fn start(gpu: &'static Gpu, workspace: Block) -> Result<BlasHandle> {
    let handle = result::create_handle().map_err(|e| failed(gpu, "does not start", e))?;
    let workspace: &'static Block = Box::leak(Box::new(workspace));
    // SAFETY: handle, stream and workspace live as long as the process.
    unsafe {
        result::set_stream(handle, gpu.stream.cu_stream() as sys::cudaStream_t)
            .map_err(|e| failed(gpu, "takes no stream", e))?;
        let memory = workspace.address() as *mut c_void;
        let given = sys::cublasSetWorkspace_v2(handle, memory, WORKSPACE).result();
        given.map_err(|e| failed(gpu, "takes no workspace", e))?;
    }
    Ok(BlasHandle(handle))
}

fn failed(gpu: &Gpu, what: &str, e: CublasError) -> Error {
    Error::Device(format!("cuda:{}: cuBLAS {what}: {:?}", gpu.ordinal(), e.0))
}

/// An operand: elements, whether they are stored transposed, and how far apart the matrices of a
/// batch lie.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub data: Slice<'a>,
    pub transposed: bool,
    pub step: usize,
}

impl<'a> Matrix<'a> {
    /// A single one.
    pub fn new(data: Slice<'a>, transposed: bool) -> Matrix<'a> {
        Matrix {
            data,
            transposed,
            step: 0,
        }
    }
}

/// C = A B for `batch` pairs of matrices [m, k] and [k, n]; those of C follow one another. Sums are
/// in f32; f32 operands are rounded to TF32 if `tf32`.
pub(crate) fn gemm(
    batch: usize,
    [m, k, n]: [usize; 3],
    a: Matrix,
    b: Matrix,
    tf32: bool,
    c: &mut SliceMut,
) -> Result<()> {
    let gpu = c.0.gpu;
    if [batch, m, n].contains(&0) {
        return Ok(());
    }
    if k == 0 {
        return c.fill(0.0);
    }
    let number = |n: usize| {
        i32::try_from(n).map_err(|_| {
            Error::Device(format!(
                "cuda:{}: a matrix of {m} x {k} x {n} is beyond cuBLAS's counters",
                gpu.ordinal()
            ))
        })
    };
    let (operand_a, row_a) = if a.transposed {
        (Operation::CUBLAS_OP_T, m)
    } else {
        (Operation::CUBLAS_OP_N, k)
    };
    let (operand_b, row_b) = if b.transposed {
        (Operation::CUBLAS_OP_T, k)
    } else {
        (Operation::CUBLAS_OP_N, n)
    };
    let compute = match a.data.dtype {
        DType::F32 if tf32 => Compute::CUBLAS_COMPUTE_32F_FAST_TF32,
        _ => Compute::CUBLAS_COMPUTE_32F,
    };
    let [ta, tb, tc] = [a.data.dtype, b.data.dtype, c.0.dtype].map(kind);
    let (one, zero) = (1.0f32, 0.0f32);
    let [one, zero] = [&one, &zero].map(|x| (&raw const *x).cast::<c_void>());
    let lock = || gpu.blas.lock().unwrap_or_else(|e| e.into_inner());
    // A statement of its own, as allocating takes a guard of its own.
    let workspace = if lock().is_none() {
        Some(gpu.allocate(WORKSPACE)?)
    } else {
        None
    };
    // The guard before the lock, as everywhere: a thread that captures waits for locks while others
    // wait for the stream.
    let _guard = gpu.stream_guard()?;
    let mut blas = lock();
    let handle = match (&mut *blas, workspace) {
        (Some(blas), _) => blas.0,
        (empty, Some(workspace)) => empty.insert(start(gpu, workspace)?).0,
        (None, None) => unreachable!("cuBLAS, once started, stays"),
    };
    let (bytes, flops) = (
        a.data.bytes() + b.data.bytes() + c.as_slice().bytes(),
        flops(&[batch, m, n, k]),
    );
    let pointer = c.pointer();
    // SAFETY: the callers' slices hold the matrices that these sizes and steps describe; the
    // factors outlive the call.
    let start = || unsafe {
        gemm_strided_batched_ex(
            handle,
            operand_b,
            operand_a,
            number(n)?,
            number(m)?,
            number(k)?,
            one,
            b.data.address as *const c_void,
            tb,
            number(row_b)?,
            b.step as i64,
            a.data.address as *const c_void,
            ta,
            number(row_a)?,
            a.step as i64,
            zero,
            pointer,
            tc,
            number(n)?,
            (m * n) as i64,
            number(batch)?,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
        .map_err(|e| failed(gpu, &format!("refuses a product of {m} x {k} x {n}"), e))
    };
    gpu.timed((&*format!("cuBLAS {}", a.data.dtype), bytes, flops), start)
}

fn kind(dtype: DType) -> Type {
    match dtype {
        DType::F16 => Type::CUDA_R_16F,
        DType::BF16 => Type::CUDA_R_16BF,
        _ => Type::CUDA_R_32F,
    }
}
