//! What happens to rows between products: norms, rotations, sums, activations.
//!
//! Rows are padded to whole vectors; the padding is zero and stays so.

#![expect(
    clippy::inline_always,
    reason = "compiled into the copy for each level"
)]

use super::functions::gelu;
use super::lanes::{LANES, Lanes, Line, lanes_fn};

/// Added to the mean square before the root.
const NORM_EPS: f32 = 1e-5;

/// A row as vectors; its length is a multiple of theirs.
#[inline(always)]
fn lines(row: &[f32]) -> &[Line] {
    row.as_chunks::<LANES>().0
}

/// The same for writing.
#[inline(always)]
fn lines_mut(row: &mut [f32]) -> &mut [Line] {
    row.as_chunks_mut::<LANES>().0
}

/// One over the root of the mean square of `n` numbers and their padding.
#[inline(always)]
fn inverse_rms<L: Lanes>(row: &[f32], n: f32) -> L {
    let mut sum = L::splat(0.0);
    for x in lines(row) {
        let x = L::load(x);
        sum = x.mul_add(x, sum);
    }
    L::splat(1.0 / (sum.sum() / n + NORM_EPS).sqrt())
}

lanes_fn! {
    /// `out = scale * x / rms(x)` for each row; `n` is the width without padding.
    pub(super) fn norm_rows<L; _R, _V>(x: &[f32], n: f32, scale: &[f32], out: &mut [f32], stride: usize) {
        for (x, out) in x.chunks_exact(scale.len()).zip(out.chunks_exact_mut(stride)) {
            let factor = inverse_rms::<L>(x, n);
            for ((x, scale), out) in lines(x).iter().zip(lines(scale)).zip(lines_mut(out)) {
                L::load(x).mul(factor).mul(L::load(scale)).store(out);
            }
        }
    }
}

lanes_fn! {
    /// Normalises the first `scale.len()` numbers of each row where they are.
    pub(super) fn norm_in_place<L; _R, _V>(x: &mut [f32], stride: usize, n: f32, scale: &[f32]) {
        for x in x.chunks_mut(stride) {
            let x = &mut x[..scale.len()];
            let factor = inverse_rms::<L>(x, n);
            for (x, scale) in lines_mut(x).iter_mut().zip(lines(scale)) {
                L::load(x).mul(factor).mul(L::load(scale)).store(x);
            }
        }
    }
}

lanes_fn! {
    /// `x += y` for each row, normalised first where there is a scale.
    pub(super) fn add_rows<L; _R, _V>(
        x: &mut [f32], width: usize, y: &[f32], stride: usize, n: f32, scale: Option<&[f32]>,
    ) {
        for (x, y) in x.chunks_exact_mut(width).zip(y.chunks_exact(stride)) {
            let y = &y[..width];
            if let Some(scale) = scale {
                let factor = inverse_rms::<L>(y, n);
                for ((x, y), scale) in lines_mut(x).iter_mut().zip(lines(y)).zip(lines(scale)) {
                    L::load(y).mul(factor).mul(L::load(scale)).add(L::load(x)).store(x);
                }
            } else {
                for (x, y) in lines_mut(x).iter_mut().zip(lines(y)) {
                    L::load(x).add(L::load(y)).store(x);
                }
            }
        }
    }
}

lanes_fn! {
    /// `gelu(gate) * value` where rows hold both side by side, else `gelu`, in place.
    pub(super) fn activate<L; _R, _V>(x: &mut [f32], stride: usize, gated: bool) {
        for row in x.chunks_exact_mut(stride) {
            if gated {
                let (gate, value) = row.split_at_mut(stride / 2);
                for (gate, value) in lines_mut(gate).iter_mut().zip(lines(value)) {
                    gelu(L::load(gate)).mul(L::load(value)).store(gate);
                }
            } else {
                for x in lines_mut(row) {
                    gelu(L::load(x)).store(x);
                }
            }
        }
    }
}

/// Cosines and sines by position.
#[derive(Clone, Copy, Debug)]
pub struct Rotations<'a> {
    /// (positions, key size / 2).
    pub cos: &'a [f32],
    /// Like `cos`.
    pub sin: &'a [f32],
}

lanes_fn! {
    /// Turns the pairs (i, i + K / 2) of every head in the first `width` numbers of each row.
    pub(super) fn rotate_rows<L; _R, _V>(
        x: &mut [f32], stride: usize, width: usize, head: usize, half: usize,
        table: Rotations<'_>, positions: &[u32],
    ) {
        for (row, position) in x.chunks_exact_mut(stride).zip(positions) {
            let at = *position as usize * half;
            let (cos, sin) = (&table.cos[at..at + half], &table.sin[at..at + half]);
            for head in row[..width].chunks_exact_mut(head) {
                let (first, second) = head[..2 * half].split_at_mut(half);
                rotate::<L>(first, second, cos, sin);
            }
        }
    }
}

/// Turns pairs, sixteen at a time and the rest one by one.
#[inline(always)]
fn rotate<L: Lanes>(first: &mut [f32], second: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, first_rest) = first.as_chunks_mut::<LANES>();
    let (second, second_rest) = second.as_chunks_mut::<LANES>();
    let (cos, cos_rest) = cos.as_chunks::<LANES>();
    let (sin, sin_rest) = sin.as_chunks::<LANES>();
    for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let (x, y, cos, sin) = (L::load(first), L::load(second), L::load(cos), L::load(sin));
        x.mul(cos).sub(y.mul(sin)).store(first);
        y.mul(cos).add(x.mul(sin)).store(second);
    }
    let rest = first_rest.iter_mut().zip(second_rest);
    for (((x, y), cos), sin) in rest.zip(cos_rest).zip(sin_rest) {
        (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_ignores_the_padding() {
        let mut x = [0.0_f32; 16];
        x[..3].copy_from_slice(&[3.0, -4.0, 5.0]);
        let mut scale = [0.0_f32; 16];
        scale[..3].copy_from_slice(&[1.0, 2.0, 0.5]);
        let mut out = [9.0_f32; 32];
        norm_rows(&x, 3.0, &scale, &mut out, 32);
        let rms = (50.0_f32 / 3.0 + 1e-5).sqrt();
        for (got, right) in out.iter().zip([3.0 / rms, -8.0 / rms, 2.5 / rms, 0.0]) {
            assert!((got - right).abs() < 1e-6);
        }
        assert_eq!(out[16], 9.0);
        let mut y = [1.0_f32; 16];
        add_rows(&mut y, 16, &x, 16, 3.0, Some(&scale));
        assert!((y[1] - 1.0 + 8.0 / rms).abs() < 1e-6);
    }

    #[test]
    fn a_rotation_keeps_lengths_and_turns_by_the_angle() {
        for half in [3, 16, 20] {
            let table = (vec![0.8_f32; 2 * half], vec![0.6_f32; 2 * half]);
            let table = Rotations {
                cos: &table.0,
                sin: &table.1,
            };
            let mut x = vec![0.0_f32; 96];
            x[..half].fill(1.0);
            x[half..2 * half].fill(2.0);
            rotate_rows(&mut x, 96, 48, 48, half, table, &[1]);
            assert!(x[..half].iter().all(|x| (x - (0.8 - 1.2)).abs() < 1e-6));
            assert!(
                x[half..2 * half]
                    .iter()
                    .all(|x| (x - (1.6 + 0.6)).abs() < 1e-6)
            );
            assert!(x[2 * half..].iter().all(|x| *x == 0.0));
        }
    }
}
