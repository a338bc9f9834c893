//! From a dtype known at run time to a type known to the compiler.

/// Evaluates `$body` with `$T` standing for the Rust type of `$dtype`, any of the six.
macro_rules! each_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
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
}

/// Evaluates `$body` with `$T` standing for f32 or f64; any other dtype makes the function return
/// an error of `$op`.
macro_rules! each_float {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            other => return Err($crate::Error::operand($op, "operand", "f32 or f64", other)),
        }
    };
}

/// Evaluates `$body` with `$T` standing for f32, f64 or bf16; any other dtype makes the function
/// return an error of `$op`.
macro_rules! each_real {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
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
            other => {
                return Err($crate::Error::operand(
                    $op,
                    "operand",
                    "f32, f64 or bf16 on the CPU",
                    other,
                ))
            }
        }
    };
}
