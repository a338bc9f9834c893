//! From a dtype known at run time to a type known to the compiler.

use crate::DType;

/// Evaluates `$body` with `$T` standing for the Rust type of `$dtype`.
///
/// ```text
/// dispatch_dtype!(dtype, T in any => body)                     any of the six
/// dispatch_dtype!(op, dtype, T in [f32, f64, bf16] => body)    one of these; any other makes the
///                                                              function return an error of `op`
/// ```
macro_rules! dispatch_dtype {
    ($dtype:expr, $T:ident in any => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            $crate::DType::F16 => {
                type $T = half::f16;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
        }
    };
    ($op:expr, $dtype:expr, $T:ident in any => $body:expr) => {
        dispatch_dtype!($dtype, $T in any => $body)
    };
    ($op:expr, $dtype:expr, $T:ident in [$($type:ident),+] => $body:expr) => {
        match $dtype {
            $(
                <$crate::tensor::dispatch::types::$type as $crate::Element>::DTYPE => {
                    type $T = $crate::tensor::dispatch::types::$type;
                    $body
                }
            )+
            other => {
                let types = [$(<$crate::tensor::dispatch::types::$type as $crate::Element>::DTYPE),+];
                let expected = $crate::tensor::dispatch::one_of(&types);
                return Err($crate::Error::operand($op, "operand", expected, other));
            }
        }
    };
}

/// The Rust types by the names that `dispatch_dtype!` is called with.
pub(crate) mod types {
    pub(crate) use half::bf16;
    pub(crate) use std::primitive::{f32, f64};
}

/// "f32 or f64". The GPU has 16-bit types that the CPU lacks, so a list with one says where it
/// holds.
pub(crate) fn one_of(types: &[DType]) -> String {
    let (last, first) = types.split_last().expect("a list of types");
    let first: Vec<String> = first.iter().map(DType::to_string).collect();
    let place = if types.contains(&DType::BF16) {
        " on the CPU"
    } else {
        ""
    };
    format!("{} or {last}{place}", first.join(", "))
}
