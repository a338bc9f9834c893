//! The ops: one file each, with its formula, shapes and backward rule. The arithmetic is in the
//! files of the same name under `cpu` and `cuda`, in functions of the same name, which `on_device!`
//! calls.
//!
//! # Legend
//! `n` images of height `h`, width `w` and `c` channels, in this order (NHWC); `c_in`, `c_out`:
//! channels before and after; `kh`, `kw`: kernel height and width; `dy`, `dx`, `dw`, `db`: the
//! gradients of the loss with respect to an op's output, input, weight and bias.
//!
//! # All ops, and what PyTorch calls them
//! `F` is `torch.nn.functional`.
//!
//! | op | in PyTorch |
//! |---|---|
//! | **Elementwise** | |
//! | `+` `-` `*` `/` of [`Var`]s | `torch.add`, `sub`, `mul`, `div` |
//! | [`Var::add_scalar`] | `x + c` |
//! | [`Var::mul_scalar`] | `c * x` |
//! | [`Var::div_scalar`] | `x / c` |
//! | [`Var::neg`] | `torch.neg` |
//! | [`Var::abs`] | `torch.abs` |
//! | [`Var::exp`] | `torch.exp` |
//! | [`Var::log`] | `torch.log` |
//! | [`Var::log1p`] | `torch.log1p` |
//! | [`Var::sqrt`] | `torch.sqrt` |
//! | [`Var::square`] | `torch.square` |
//! | [`Var::recip`] | `torch.reciprocal` |
//! | [`Var::powf`] | `torch.pow` |
//! | [`Var::sin`] | `torch.sin` |
//! | [`Var::cos`] | `torch.cos` |
//! | [`Var::erf`] | `torch.erf` |
//! | [`Var::tanh`] | `torch.tanh` |
//! | [`Var::sigmoid`] | `torch.sigmoid` |
//! | [`Var::clamp`] | `torch.clamp` |
//! | [`Var::relu`] | `F.relu` |
//! | [`Var::relu6`] | `F.relu6` |
//! | [`Var::leaky_relu`] | `F.leaky_relu` |
//! | [`Var::elu`] | `F.elu` |
//! | [`Var::gelu`] | `F.gelu` |
//! | [`Var::silu`] | `F.silu` |
//! | [`Var::hardswish`] | `F.hardswish` |
//! | [`Var::softplus`] | `F.softplus` |
//! | [`Var::dropout`] | `F.dropout` |
//! | [`Var::drop_path`] | `torchvision.ops.stochastic_depth`, `row` |
//! | [`Var::gelu_dropout`] | `F.dropout(F.gelu(x))`, fused |
//! | [`Var::cast`] | `torch.Tensor.to` a dtype |
//! | [`Var::maximum`] | `torch.maximum` |
//! | [`Var::minimum`] | `torch.minimum` |
//! | **Comparisons** | |
//! | [`Tensor::eq`] | `torch.eq` |
//! | [`Tensor::ne`] | `torch.ne` |
//! | [`Tensor::lt`] | `torch.lt` |
//! | [`Tensor::le`] | `torch.le` |
//! | [`Tensor::gt`] | `torch.gt` |
//! | [`Tensor::ge`] | `torch.ge` |
//! | [`select`] | `torch.where` |
//! | **Reductions** | |
//! | [`Var::sum`] | `torch.sum` over axes |
//! | [`Var::sum_keep`] | the same with `keepdim=True` |
//! | [`Var::sum_all`] | `torch.sum` |
//! | [`Var::mean`] | `torch.mean` over axes |
//! | [`Var::mean_keep`] | the same with `keepdim=True` |
//! | [`Var::mean_all`] | `torch.mean` |
//! | [`Var::var`] | `torch.var` |
//! | [`Var::var_keep`] | the same with `keepdim=True` |
//! | [`Var::std`] | `torch.std` |
//! | [`Var::std_keep`] | the same with `keepdim=True` |
//! | [`Var::prod`] | `torch.prod` |
//! | [`Var::prod_keep`] | the same with `keepdim=True` |
//! | [`Var::norm`] | `torch.linalg.vector_norm` |
//! | [`Var::norm_keep`] | the same with `keepdim=True` |
//! | [`Var::max`] | `torch.max` along an axis, `torch.amax` |
//! | [`Var::max_keep`] | the same with `keepdim=True` |
//! | [`Var::min`] | `torch.min` along an axis, `torch.amin` |
//! | [`Var::min_keep`] | the same with `keepdim=True` |
//! | [`Tensor::argmax`] | `torch.argmax` |
//! | [`Tensor::argmin`] | `torch.argmin` |
//! | [`Var::topk`] | `torch.topk` |
//! | [`Tensor::topk`] | the same without a gradient |
//! | [`Var::sort`] | `torch.sort` with `stable=True` |
//! | [`Tensor::argsort`] | `torch.argsort` with `stable=True` |
//! | [`Var::cumsum`] | `torch.cumsum` |
//! | [`Var::softmax`] | `torch.softmax` |
//! | [`Var::log_softmax`] | `torch.log_softmax` |
//! | **Products** | |
//! | [`Var::matmul`] | `torch.matmul` |
//! | [`matmul_with`] | `torch.matmul` of `a.mT`, `b.mT` |
//! | [`einsum`] | `torch.einsum` of two operands |
//! | [`Var::dft_real`] | `torch.fft.fftn(..).real` |
//! | [`linear`] | `F.linear` |
//! | [`attention`] | `F.scaled_dot_product_attention` |
//! | **Shapes** | |
//! | [`Var::reshape`] | `torch.reshape` |
//! | [`Var::flatten`] | `torch.flatten` |
//! | [`Var::squeeze`] | `torch.squeeze` |
//! | [`Var::unsqueeze`] | `torch.unsqueeze` |
//! | [`Var::permute`] | `torch.permute` |
//! | [`Var::transpose`] | `torch.transpose` |
//! | [`Var::flip`] | `torch.flip` |
//! | [`Var::sum_to`] | `torch.Tensor.sum_to_size` |
//! | [`Var::expand`] | `torch.Tensor.expand`, `torch.broadcast_to` |
//! | [`Var::pad`] | `F.pad` with zeros |
//! | [`Var::slice`] | `torch.narrow` |
//! | [`Var::split`] | `torch.split` |
//! | [`Var::chunk`] | `torch.chunk` |
//! | [`Var::unbind`] | `torch.unbind` |
//! | [`concat()`] | `torch.cat` |
//! | [`stack`] | `torch.stack` |
//! | [`Var::tril`] | `torch.tril` |
//! | [`Var::triu`] | `torch.triu` |
//! | **Picking** | |
//! | [`Var::gather`] | `torch.gather` |
//! | [`Var::scatter_add`] | `torch.scatter_add` |
//! | [`Var::index_select`] | `torch.index_select` |
//! | [`embedding`] | `F.embedding` |
//! | [`one_hot`] | `F.one_hot` |
//! | **Images, in NHWC** | |
//! | [`conv1d`] | `F.conv1d`, in NLC |
//! | [`conv2d`] | `F.conv2d` |
//! | [`conv_transpose2d`] | `F.conv_transpose2d` |
//! | [`conv_transpose2d_with_stats`] | the same, and mean and variance of each channel |
//! | [`gelu_dropout_conv2d`] | `F.conv2d(F.dropout(F.gelu(x)), ..)`, fused |
//! | [`avg_pool2d`] | `F.avg_pool2d` |
//! | [`max_pool2d`] | `F.max_pool2d` |
//! | [`Var::global_avg_pool`] | `F.adaptive_avg_pool2d(x, 1)` |
//! | [`Var::upsample`] | `F.interpolate` |
//! | [`Var::dwt`] | `pywt.dwt2`, Haar, on each channel |
//! | [`Var::idwt`] | `pywt.idwt2`, Haar, on each channel |
//! | [`Var::dwt_levels`] | `pywt.wavedec2`, Haar, on each channel |
//! | **Normalisation** | |
//! | [`batch_norm`] | `F.batch_norm` |
//! | [`layer_norm`] | `F.layer_norm` |
//! | [`group_norm`] | `F.group_norm`, channels last |
//! | [`rms_norm`] | `F.rms_norm` |
//! | **Losses** | |
//! | [`cross_entropy`] | `F.cross_entropy` |
//! | [`focal_loss`] | `torchvision.ops.sigmoid_focal_loss`, with softmax |
//! | [`nll_loss`] | `F.nll_loss` |
//! | [`bce_with_logits`] | `F.binary_cross_entropy_with_logits` |
//! | [`mse`] | `F.mse_loss` |
//! | [`l1_loss`] | `F.l1_loss` |
//! | [`huber_loss`] | `F.huber_loss` |
//! | [`smooth_l1_loss`] | `F.smooth_l1_loss` |
//!
//! # Numbers
//! f32 and bf16 everywhere, f64 on the CPU as the oracle of tests, f16 on a GPU, as
//! [`Precision`](crate::Precision) says. What each op does with 16-bit operands; all sums are made
//! in f32:
//!
//! | ops | take | give | keep in f32 |
//! |---|---|---|---|
//! | elementwise, shapes, picking, pooling, wavelets, resizing, softmax | 16 bits | 16 bits | embedding: the gradient of the weight |
//! | convolutions, linear, matmul | 16 bits, the bias too | 16 bits | the gradients of weight and bias, which are sums over all pixels |
//! | batch_norm, layer_norm, group_norm, rms_norm | x in 16 bits; gamma, beta and running statistics as x or f32 | 16 bits | mean, variance, the gradients of gamma and beta |
//! | losses | 16 bits or f32 | f32 | the loss; the gradient is of the operand's type |
//! | optimizers, averages of weights | f32 alone | f32 | all |
//!
//! # Points without a derivative
//! Gradients there are PyTorch's, but where the table says otherwise; the same on every device and
//! in every type. Where a slope is infinite the chain rule is taken at its word: infinity times 0
//! is not a number.
//!
//! | op | where | gradient |
//! |---|---|---|
//! | abs, relu | 0 | 0 |
//! | relu | not a number | dy |
//! | clamp | at the bounds, at not a number | dy, 0 |
//! | leaky_relu, elu | 0 | that from below |
//! | relu6, hardswish | the bounds 0 and 6, -3 and 3 | 0, 0; 0, dy |
//! | log, sqrt, recip, powf below 1, division; log1p | 0; -1 | infinite |
//! | powf(0) | everywhere | 0 |
//! | gelu | both infinities | the limits, 0 and dy; PyTorch: not a number |
//! | silu | both infinities | not a number |
//! | maximum, minimum | equal; one not a number | half to each; dy to each |
//! | max, min, max_pool2d | several extremes | to the first; not a number comes before all (the last one in PyTorch's max_pool2d) |
//! | std | equal elements | 0 |
//! | norm | 0 | 0 |
//! | prod | a 0 beside what is not finite | 0, but for the 0 itself; PyTorch: not a number |
//! | batch_norm, layer_norm, group_norm | var + eps = 0 | 0, and y is beta; PyTorch's layer_norm and group_norm: not a number |
//! | rms_norm | mean square + eps = 0 | 0, and y is 0; PyTorch: not a number |
//! | softmax, cross_entropy | a logit of -infinity | 0; the label's: the loss is infinite, the gradient finite |
//! | focal_loss | probability 0 | that of cross_entropy; PyTorch, composed: not a number |
//! | l1_loss, smooth_l1_loss with beta 0 | equal | 0 |
//! | bce_with_logits | an infinite logit whose target is its limit | 0, as is the loss; PyTorch: the loss is not a number |

/// A new tensor on the device of `$x`, whose elements `cpu::$f` or `cuda::$f` writes; the module of
/// the op has these two as `cpu` and `cuda`.
///
/// ```text
/// on_device!("dwt", x in [f32, f64, bf16] => shape; forward(@x, [n, h, w, c]))
/// ```
///
/// becomes, in outline,
///
/// ```text
/// match x.device() {
///     Cpu => dispatch_dtype!("dwt", x.dtype(), T in [f32, f64, bf16] => {
///         Tensor::build(shape, |y: &mut [T]| cpu::forward::<T>(x.data(), [n, h, w, c], y))
///     }),
///     Cuda(_) => x.build_on_same_device(shape, x.dtype(), |y| {
///         cuda::forward(x.on_device(), [n, h, w, c], y)
///     }),
/// }
/// ```
///
/// with a `Result<Tensor>` as its value. The list has the types of x for which the CPU has a loop;
/// `any` is all six. On the CPU an x of another type makes the function around this return an error
/// (`dispatch_dtype!`). On a GPU the list is not looked at: check before, as `float` does.
///
/// Behind the shape stands the type of the result, unless it is that of x: `of u8` and the like,
/// `of compute` for sums, which are f32 where x has 16 bits, `of statistics` for f64 on the CPU and
/// f32 on a GPU.
///
/// Among the arguments, which both functions take in the same order, the result last:
///
/// | written | on the CPU | on a GPU |
/// |---|---|---|
/// | `@x` | its elements, `&[T]` | `Slice` |
/// | `@[x, y]` | `[&[T]; 2]` | `[Slice; 2]` |
/// | `@{x, y} as Rows` | `cpu::Rows { x, y }`, of `&[T]` | `cuda::Rows { x, y }`, of `Slice` |
/// | `@..xs`, an iterator of tensors | `&[&[T]]` | `&[Slice]` |
/// | `?x`, an optional tensor | `Option<&[T]>` | `Option<Slice>` |
/// | `=> x`, to be written too | `&mut [T]` | `&mut SliceMut` |
/// | `+x`, for GPUs alone | nothing | itself |
/// | anything else | itself | itself |
macro_rules! on_device {
    ($op:expr, $x:ident in $types:tt => $shape:expr; $f:ident $args:tt) => {
        on_device!(@ $op, $x in $types => $shape, [T] [$x.dtype()]; $f $args)
    };
    ($op:expr, $x:ident in $types:tt => $shape:expr, of compute; $f:ident $args:tt) => {
        on_device!(@ $op, $x in $types => $shape,
            [<T as $crate::Stored>::Compute] [$crate::DType::F32]; $f $args)
    };
    ($op:expr, $x:ident in $types:tt => $shape:expr, of statistics; $f:ident $args:tt) => {
        on_device!(@ $op, $x in $types => $shape, [f64] [$crate::DType::F32]; $f $args)
    };
    ($op:expr, $x:ident in $types:tt => $shape:expr, of $y:ident; $f:ident $args:tt) => {
        on_device!(@ $op, $x in $types => $shape,
            [$y] [<$y as $crate::Element>::DTYPE]; $f $args)
    };
    // The element type on the CPU and the dtype on a GPU are in brackets now.
    (@ $op:expr, $x:ident in $types:tt => $shape:expr, [$y:ty] [$dtype:expr]; $f:ident($(
        $(@$one:ident)? $(@[$($some:ident),+])? $(@{$($field:ident),+} as $fields:ident)?
        $(@..$many:ident)? $(?$optional:ident)? $(=> $out:ident)? $(+$gpu:ident)? $($other:expr)?
    ),*)) => {
        match $x.device() {
            $crate::Device::Cpu => dispatch_dtype!($op, $x.dtype(), T in $types => {
                Ok($crate::Tensor::build($crate::Shape::from($shape), |y: &mut [$y]| cpu::$f::<T>(
                    $(
                        $($one.data(),)?
                        $([$($some.data()),+],)?
                        $(cpu::$fields { $($field: $field.data()),+ },)?
                        $(&$many.map($crate::Tensor::data).collect::<Vec<_>>(),)?
                        $($optional.map($crate::Tensor::data),)?
                        $($out.data_mut(),)?
                        $($other,)?
                    )*
                    y,
                )))
            }),
            $crate::Device::Cuda(_) => $x.build_on_same_device($shape, $dtype, |y| cuda::$f(
                $(
                    $($one.on_device())?
                    $([$($some.on_device()),+])?
                    $(cuda::$fields { $($field: $field.on_device()),+ })?
                    $(&$many.map($crate::Tensor::on_device).collect::<Vec<_>>())?
                    $($optional.map($crate::Tensor::on_device))?
                    $(&mut $out.on_device_mut()?)?
                    $($gpu)?
                    $($other)?,
                )*
                y,
            )),
        }
    };
}

mod attention;
mod batch_norm;
mod binary;
mod cast;
mod compare;
mod conv2d;
mod conv_transpose2d;
mod cross_entropy;
mod cumsum;
mod dropout;
mod dwt;
mod focal_loss;
mod gelu_dropout;
mod index;
mod layer_norm;
mod linear;
mod matmul;
mod nll_loss;
mod pointwise_loss;
mod pool;
mod reduce;
mod shape;
mod softmax;
mod sort;
mod unary;
mod upsample;

pub use attention::{AttentionOptions, attention};
pub use batch_norm::{BatchNormOptions, BatchStats, Statistics, batch_norm};
pub use compare::{select, select as where_};
pub use conv_transpose2d::{conv_transpose2d, conv_transpose2d_with_stats};
pub use conv2d::{conv1d, conv2d};
pub use cross_entropy::{CrossEntropyOptions, cross_entropy};
pub(crate) use dropout::check as check_probability;
pub use focal_loss::focal_loss;
pub use gelu_dropout::{Dropout, gelu_dropout_conv2d};
pub use index::{embedding, one_hot};
pub use layer_norm::{group_norm, layer_norm, rms_norm};
pub use linear::linear;
pub use matmul::{einsum, matmul_with};
pub use nll_loss::nll_loss;
pub use pointwise_loss::{bce_with_logits, huber_loss, l1_loss, mse, smooth_l1_loss};
pub use pool::{avg_pool2d, max_pool2d};
pub use shape::{concat, stack};
pub use upsample::Interpolation;

use crate::{DType, Device, Error, Result, Tensor, Var};

/// Both operands of one float type, on one device: what most ops ask for.
#[track_caller]
pub(crate) fn same_float(
    op: &'static str,
    a: (&'static str, &Tensor),
    b: (&'static str, &Tensor),
) -> Result<()> {
    float(op, a)?;
    if b.1.dtype() != a.1.dtype() {
        return Err(Error::operand(
            op,
            b.0,
            format!("the dtype of {}, {}", a.0, a.1.dtype()),
            b.1.dtype(),
        ));
    }
    same_device(op, a, b)
}

/// An operand of a type that is computed with: f32 and bf16, on the CPU f64 too, on a GPU
/// f16.
#[track_caller]
pub(crate) fn float(op: &'static str, (name, tensor): (&'static str, &Tensor)) -> Result<()> {
    match (tensor.device(), tensor.dtype()) {
        (_, DType::F32 | DType::BF16)
        | (Device::Cpu, DType::F64)
        | (Device::Cuda(_), DType::F16) => Ok(()),
        (Device::Cpu, DType::F16) => Err(Error::operand(op, name, "f32, f64 or bf16", DType::F16)),
        (Device::Cpu, other) => Err(Error::operand(op, name, "f32 or f64", other)),
        (Device::Cuda(_), other) => {
            Err(Error::operand(op, name, "f32, bf16 or f16 on a GPU", other))
        }
    }
}

/// A vector of statistics, or of what belongs to them: of x's type, or f32 for an x of
/// 16 bits.
#[track_caller]
pub(crate) fn same_float_or_f32(
    op: &'static str,
    x: &Tensor,
    vector: (&'static str, &Tensor),
) -> Result<()> {
    if vector.1.dtype() == DType::F32 && matches!(x.dtype(), DType::BF16 | DType::F16) {
        float(op, ("x", x))?;
        return same_device(op, ("x", x), vector);
    }
    same_float(op, ("x", x), vector)
}

/// Two vectors that belong to an x of 16 bits, in one type, so that one rule gives the gradients of
/// both: where one has 16 bits and the other is f32, both as f32.
pub(crate) fn one_type(a: &Var, b: &Var) -> Result<[Var; 2]> {
    if a.dtype() == b.dtype() {
        Ok([a.clone(), b.clone()])
    } else {
        Ok([a.cast(DType::F32)?, b.cast(DType::F32)?])
    }
}

/// x as f32, where it is bf16 on the CPU: ops that a step meets once or never are composed
/// with casts there.
#[track_caller]
pub(crate) fn as_f32(x: &Var) -> Result<Option<Var>> {
    let narrow = x.value().device() == Device::Cpu && x.dtype() == DType::BF16;
    narrow.then(|| x.cast(DType::F32)).transpose()
}

/// Both operands on one device: nothing is moved without being asked.
#[track_caller]
pub(crate) fn same_device(
    op: &'static str,
    a: (&'static str, &Tensor),
    b: (&'static str, &Tensor),
) -> Result<()> {
    if a.1.device() != b.1.device() {
        let expected = format!("the device of {}, {}: see to_device", a.0, a.1.device());
        return Err(Error::operand(op, b.0, expected, b.1.device()));
    }
    Ok(())
}
