//! One body of code, compiled for several widths of vector registers, chosen when the program runs.
//!
//! A wheel has to run on every processor of its kind, so it is compiled for the oldest one; the hot
//! loops are compiled again for wider registers, and [`level`] says which copy this machine may run.
//! The bodies are plain Rust over slices and arrays of fixed length, which the compiler turns into
//! vector instructions.

use std::sync::OnceLock;

/// Widest set of vector instructions that a kernel may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of this kind can do.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL) as well.
    Avx512,
}

/// Name of the environment variable that lowers the level, for tests and for comparing.
pub const LEVEL_VARIABLE: &str = "XFEED_SIMD";

/// What this machine can do; `XFEED_SIMD=portable|avx2|avx512` lowers it, never raises it.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let wanted = match std::env::var(LEVEL_VARIABLE).as_deref() {
            Ok("portable") => Level::Portable,
            Ok("avx2") => Level::Avx2,
            _ => Level::Avx512,
        };
        wanted.min(found())
    })
}

#[cfg(target_arch = "x86_64")]
fn found() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn found() -> Level {
    Level::Portable
}

/// Defines a function whose body is compiled for each [`Level`] and dispatched by [`level`].
///
/// The body and everything it calls must be inlined (`#[inline(always)]`), else the callee keeps
/// the narrow instructions.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn wide($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn middle($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            match $crate::simd::level() {
                // SAFETY: `level` found these instructions on this machine.
                #[expect(unsafe_code, reason = "calling a copy for wider registers")]
                $crate::simd::Level::Avx512 => return unsafe { wide($($arg),*) },
                // SAFETY: as above.
                #[expect(unsafe_code, reason = "calling a copy for wider registers")]
                $crate::simd::Level::Avx2 => return unsafe { middle($($arg),*) },
                $crate::simd::Level::Portable => {}
            }
            body($($arg),*)
        }
    };
}

pub(crate) use simd_fn;

#[cfg(test)]
mod tests {
    use super::*;

    simd_fn! {
        /// Sum of squares.
        fn squares(values: &[f32]) -> f32 {
            values.iter().map(|value| value * value).sum()
        }
    }

    #[test]
    fn a_copy_for_this_machine_gives_the_sum() {
        assert_eq!(squares(&[1.0, 2.0, 3.0]), 14.0);
        assert!(level() <= Level::Avx512);
    }
}
