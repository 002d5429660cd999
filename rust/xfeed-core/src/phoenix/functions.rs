//! Exponential, hyperbolic tangent and GELU of sixteen numbers at once.
//!
//! The coefficients are fits of our own (smallest largest relative error over the range). What is
//! not a number stays so.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]
#![expect(
    clippy::excessive_precision,
    reason = "coefficients as they were fitted"
)]

use super::lanes::Lanes;

/// Below this the exponential is taken for zero; the true value is under 1e-38.
const EXP_LOWEST: f32 = -88.0;

/// Largest argument whose exponential is finite, rounded down.
const EXP_HIGHEST: f32 = 88.0;

/// Adding and subtracting it rounds to the nearest integer; the sum's low bits then hold that
/// integer plus the bias of an exponent.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// Logarithm of two in two parts, the first short enough that its multiples are exact.
const LN_2: (f32, f32) = (0.693_145_75, 1.428_606_8e-6);

/// Beyond this the tangent rounds to one.
const TANH_HIGHEST: f32 = 9.02;

/// Exponential of arguments up to 88, within 2 units in the last place; zero below -88.
#[inline(always)]
pub(super) fn exp<L: Lanes>(x: L) -> L {
    let x = L::splat(EXP_HIGHEST).min(L::splat(EXP_LOWEST).max(x));
    let rounded = x.mul_add(L::splat(std::f32::consts::LOG2_E), L::splat(ROUND));
    let n = rounded.sub(L::splat(ROUND));
    let r = n.mul_add(L::splat(-LN_2.0), x);
    let r = n.mul_add(L::splat(-LN_2.1), r);
    let p = L::splat(0.001_381_453_987_861_274_7);
    let p = p.mul_add(r, L::splat(0.008_368_745_127_116_514));
    let p = p.mul_add(r, L::splat(0.041_668_390_789_683_47));
    let p = p.mul_add(r, L::splat(0.166_665_203_988_466_02));
    let p = p.mul_add(r, L::splat(0.499_999_934_320_989));
    let p = p.mul_add(r, L::splat(1.0)).mul_add(r, L::splat(1.0));
    p.mul(rounded.low_bits_as_exponent())
}

/// Hyperbolic tangent within 8 units in the last place (relative error 4e-7).
#[inline(always)]
pub(super) fn tanh<L: Lanes>(x: L) -> L {
    let x = L::splat(TANH_HIGHEST).min(L::splat(-TANH_HIGHEST).max(x));
    let z = x.mul(x);
    let p = L::splat(1.331_863_889_394_806_8e-8);
    let p = p.mul_add(z, L::splat(2.058_316_120_862_457_4e-5));
    let p = p.mul_add(z, L::splat(3.494_015_053_105_704e-3));
    let p = p.mul_add(z, L::splat(0.133_797_015_980_159_28));
    let p = p.mul_add(z, L::splat(0.999_999_979_054_699_7));
    let q = L::splat(7.761_839_572_521_974e-7);
    let q = q.mul_add(z, L::splat(3.283_060_917_854_575e-4));
    let q = q.mul_add(z, L::splat(2.587_099_918_462_065_4e-2));
    let q = q.mul_add(z, L::splat(0.467_130_168_515_955_4));
    let q = q.mul_add(z, L::splat(1.0));
    x.mul(p).div(q)
}

/// GELU in its tangent form: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
#[inline(always)]
pub(super) fn gelu<L: Lanes>(x: L) -> L {
    let inner = x
        .mul(x)
        .mul_add(L::splat(0.035_677_408), L::splat(0.797_884_6));
    let half = x.mul(L::splat(0.5));
    tanh(x.mul(inner)).mul_add(half, half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phoenix::lanes::{LANES, lanes_fn};

    lanes_fn! {
        fn exp_of<L; _R, _V>(x: &mut [f32; LANES]) {
            exp(L::load(x)).store(x);
        }
    }
    lanes_fn! {
        fn tanh_of<L; _R, _V>(x: &mut [f32; LANES]) {
            tanh(L::load(x)).store(x);
        }
    }
    lanes_fn! {
        fn gelu_of<L; _R, _V>(x: &mut [f32; LANES]) {
            gelu(L::load(x)).store(x);
        }
    }

    /// Largest relative error over an even sweep.
    fn error(f: fn(&mut [f32; LANES]), right: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let n = 60_000_u16;
        let mut worst = 0.0_f64;
        for step in 0..n / 16 {
            let at =
                |i: u8| from + (to - from) * f32::from(step * 16 + u16::from(i)) / f32::from(n);
            let mut x: [f32; LANES] = std::array::from_fn(|i| at(u8::try_from(i).unwrap()));
            let given = x;
            f(&mut x);
            for (x, y) in given.iter().zip(x) {
                let y_right = right(f64::from(*x));
                if y_right != 0.0 {
                    worst = worst.max((f64::from(y) / y_right - 1.0).abs());
                }
            }
        }
        worst
    }

    #[test]
    fn errors_stay_within_what_is_promised() {
        let ulp = f64::from(f32::EPSILON);
        assert!(error(exp_of, f64::exp, -87.0, 88.0) < 2.0 * ulp);
        assert!(error(exp_of, f64::exp, -1.0, 1.0) < 1.5 * ulp);
        assert!(error(tanh_of, f64::tanh, -12.0, 12.0) < 4e-7);
        assert!(error(tanh_of, f64::tanh, -0.1, 0.1) < 4e-7);
    }

    #[test]
    fn gelu_is_near_its_formula() {
        let right = |x: f64| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        };
        for x in [-9.0_f32, -3.0, -0.5, -1e-3, 0.0, 1e-3, 0.7, 4.0, 30.0] {
            let mut line = [x; LANES];
            gelu_of(&mut line);
            assert!(
                (f64::from(line[3]) - right(f64::from(x))).abs() < 1e-6 * f64::from(x.abs() + 1.0)
            );
        }
    }

    #[test]
    fn extremes_are_exact_and_nan_stays() {
        let mut x = [0.0; LANES];
        x[..5].copy_from_slice(&[-1e30, f32::NEG_INFINITY, 0.0, f32::NAN, -100.0]);
        exp_of(&mut x);
        assert_eq!((x[0], x[1], x[2], x[4]), (0.0, 0.0, 1.0, 0.0));
        assert!(x[3].is_nan());
        let mut x = [f32::INFINITY; LANES];
        x[1] = f32::NAN;
        x[2] = -1e30;
        tanh_of(&mut x);
        assert!((x[0] - 1.0).abs() < 3e-7 && (x[2] + 1.0).abs() < 3e-7 && x[1].is_nan());
    }
}
