//! Matrix products, by cuBLAS.
//!
//! cuBLAS takes column-major matrices. A row-major matrix read as a column-major one is its
//! transpose, and C^T = B^T A^T: so B is passed as the first operand and A as the second, and
//! nothing is moved.

use std::ffi::c_void;
use std::sync::{MutexGuard, RwLockReadGuard};

use cudarc::cublas::result::{self, CublasError, gemm_ex, gemm_strided_batched_ex};
use cudarc::cublas::sys::{
    self, cublasComputeType_t as Compute, cublasHandle_t, cublasMath_t as Math,
    cublasOperation_t as Operation, cudaDataType_t as Type,
};

use super::runtime::context::BlasHandle;
use super::{Block, Gpu, Slice, SliceMut};
use crate::tensor::shape::flops;
use crate::{DType, Error, Result};

/// Bytes of workspace that NVIDIA recommends for its newest devices.
const WORKSPACE: usize = 32 << 20;

/// Starts cuBLAS; the caller holds the stream guard. cuBLAS would allocate its workspace at its
/// first product, which may be in a captured step, where allocation is forbidden: so it gets one
/// here, for as long as the program runs.
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
        // By default a product that is cut along k may add its parts in the type of C.
        let mode = Math::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        let set = sys::cublasSetMathMode(handle, mode).result();
        set.map_err(|e| failed(gpu, "takes no mode of sums", e))?;
    }
    Ok(BlasHandle(handle))
}

fn failed(gpu: &Gpu, what: &str, e: CublasError) -> Error {
    Error::Device(format!("cuda:{}: cuBLAS {what}: {:?}", gpu.ordinal(), e.0))
}

/// An operand: a dense row-major matrix, or one for each pair of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub data: Slice<'a>,
    /// Whether the product takes the transpose of what is stored.
    pub transposed: bool,
    /// Elements from one matrix of the batch to the next.
    pub step: usize,
}

impl<'a> Matrix<'a> {
    /// A single matrix.
    pub fn new(data: Slice<'a>, transposed: bool) -> Matrix<'a> {
        Matrix {
            data,
            transposed,
            step: 0,
        }
    }

    fn operation(&self) -> Operation {
        if self.transposed {
            Operation::CUBLAS_OP_T
        } else {
            Operation::CUBLAS_OP_N
        }
    }

    /// Elements from one row to the next as it is stored, where the product sees [rows, columns].
    fn leading_dimension(&self, [rows, columns]: [usize; 2]) -> usize {
        if self.transposed { rows } else { columns }
    }
}

/// A batch of matrix products, A [m, k] x B [k, n] -> C [m, n].
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// How many pairs of matrices there are.
    pub batch: usize,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    pub a: Matrix<'a>,
    pub b: Matrix<'a>,
    /// Whether f32 operands are rounded to TF32.
    pub tf32: bool,
}

/// C = A B for each pair of the batch; the matrices of C are dense and follow one another. Sums are
/// in f32.
pub(crate) fn gemm(product: Product, c: &mut SliceMut) -> Result<()> {
    let Product {
        batch,
        m,
        k,
        n,
        a,
        b,
        ..
    } = product;
    if [batch, m, n].contains(&0) {
        return Ok(());
    }
    if k == 0 {
        return c.fill(0.0);
    }
    let gpu = c.0.gpu;
    let blas = blas(gpu)?;
    let name = format!("cuBLAS {}", a.data.dtype);
    let bytes = a.data.bytes() + b.data.bytes() + c.as_slice().bytes();
    gpu.timed((&name, bytes, flops(&[batch, m, n, k])), || {
        product.start(&blas, c)
    })
}

impl Product<'_> {
    /// Starts cuBLAS's kernel.
    fn start(&self, blas: &Blas, c: &mut SliceMut) -> Result<()> {
        let (gpu, [m, k, n]) = (c.0.gpu, [self.m, self.k, self.n]);
        let started = self.call(c).and_then(|call| {
            // SAFETY: the callers' slices hold the matrices that these sizes and steps describe.
            unsafe {
                if self.batch == 1 {
                    call.single(blas.handle)
                } else {
                    call.batched(blas.handle, self)
                }
            }
            .map_err(|e| format!("refuses a product of {m} x {k} x {n}: {:?}", e.0))
        });
        started.map_err(|what| Error::Device(format!("cuda:{}: cuBLAS {what}", gpu.ordinal())))
    }

    /// The call's arguments, or what is wrong. The first operand is B, and the first size n: see the
    /// top of this file.
    fn call(&self, c: &mut SliceMut) -> std::result::Result<Call, String> {
        let Product { m, k, n, a, b, .. } = *self;
        let size = |x: usize| {
            i32::try_from(x)
                .map_err(|_| format!("counts in 32 bits, and a matrix is {m} x {k} x {n}"))
        };
        let operand = |x: Matrix, shape| -> std::result::Result<Operand, String> {
            Ok(Operand {
                operation: x.operation(),
                address: x.data.address as *const c_void,
                kind: kind(x.data.dtype),
                leading: size(x.leading_dimension(shape))?,
            })
        };
        Ok(Call {
            sizes: [size(n)?, size(m)?, size(k)?],
            operands: [operand(b, [k, n])?, operand(a, [m, k])?],
            c: (c.pointer(), kind(c.0.dtype)),
            batch: size(self.batch)?,
            compute: match a.data.dtype {
                DType::F32 if self.tf32 => Compute::CUBLAS_COMPUTE_32F_FAST_TF32,
                _ => Compute::CUBLAS_COMPUTE_32F,
            },
        })
    }
}

/// An operand as cuBLAS takes it: `leading` elements from one column to the next.
struct Operand {
    operation: Operation,
    address: *const c_void,
    kind: Type,
    leading: i32,
}

/// A product as cuBLAS takes it: rows and columns of C, length of the sums.
struct Call {
    sizes: [i32; 3],
    operands: [Operand; 2],
    c: (*mut c_void, Type),
    batch: i32,
    compute: Compute,
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;
const CHOOSE: sys::cublasGemmAlgo_t = sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT;

impl Call {
    /// One product. It has an entry of its own, by which cuBLAS cuts it along k where m and n alone
    /// would not fill the device: a weight gradient has few rows and columns, and k pixels.
    ///
    /// # Safety
    /// The operands and C hold the matrices that the sizes describe.
    unsafe fn single(&self, handle: cublasHandle_t) -> std::result::Result<(), CublasError> {
        let ([m, n, k], [a, b], (c, kind)) = (self.sizes, &self.operands, self.c);
        // SAFETY: the caller's; the factors are statics.
        unsafe {
            gemm_ex(
                handle,
                a.operation,
                b.operation,
                m,
                n,
                k,
                (&raw const ONE).cast(),
                a.address,
                a.kind,
                a.leading,
                b.address,
                b.kind,
                b.leading,
                (&raw const ZERO).cast(),
                c,
                kind,
                m,
                self.compute,
                CHOOSE,
            )
        }
    }

    /// One for each pair of the batch.
    ///
    /// # Safety
    /// The operands and C hold the matrices that the sizes and steps describe.
    unsafe fn batched(
        &self,
        handle: cublasHandle_t,
        product: &Product,
    ) -> std::result::Result<(), CublasError> {
        let ([m, n, k], [a, b], (c, kind)) = (self.sizes, &self.operands, self.c);
        // SAFETY: the caller's; the factors are statics.
        unsafe {
            gemm_strided_batched_ex(
                handle,
                a.operation,
                b.operation,
                m,
                n,
                k,
                (&raw const ONE).cast(),
                a.address,
                a.kind,
                a.leading,
                product.b.step as i64,
                b.address,
                b.kind,
                b.leading,
                product.a.step as i64,
                (&raw const ZERO).cast(),
                c,
                kind,
                m,
                i64::from(m) * i64::from(n),
                self.batch,
                self.compute,
                CHOOSE,
            )
        }
    }
}

/// cuBLAS, locked for this thread.
struct Blas<'a> {
    handle: cublasHandle_t,
    // Dropped in this order, the reverse of how they were taken.
    _lock: MutexGuard<'a, Option<BlasHandle>>,
    _stream: Option<RwLockReadGuard<'a, ()>>,
}

/// Locks cuBLAS; the first call starts it.
fn blas(gpu: &'static Gpu) -> Result<Blas<'static>> {
    let lock = || gpu.blas.lock().unwrap_or_else(|e| e.into_inner());
    // Before the stream guard, as allocating takes one of its own.
    let workspace = if lock().is_none() {
        Some(gpu.allocate(WORKSPACE)?)
    } else {
        None
    };
    // The stream guard before the lock, as everywhere: a thread that captures waits for locks while
    // others wait for the stream.
    let stream = gpu.stream_guard()?;
    let mut lock = lock();
    let handle = match (&mut *lock, workspace) {
        (Some(blas), _) => blas.0,
        (empty, Some(workspace)) => empty.insert(start(gpu, workspace)?).0,
        (None, None) => unreachable!("cuBLAS, once started, stays"),
    };
    Ok(Blas {
        handle,
        _lock: lock,
        _stream: stream,
    })
}

fn kind(dtype: DType) -> Type {
    match dtype {
        DType::F16 => Type::CUDA_R_16F,
        DType::BF16 => Type::CUDA_R_16BF,
        _ => Type::CUDA_R_32F,
    }
}
