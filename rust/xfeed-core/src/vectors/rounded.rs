//! Vectors rounded to small integers, with a proof of how far a score can be off.
//!
//! A row `x` becomes `s * q` with whole numbers `q` from -127 to 127 and a scale `s`; what is lost is
//! `e = x - s * q`, whose length is kept. The same is done with a query `u`. Then
//!
//! ```text
//! x . u  =  (s_x q_x) . (s_u q_u)  +  (s_x q_x) . e_u  +  e_x . u
//! ```
//!
//! The first term is a product of whole numbers. By the inequality of Cauchy and Schwarz the others
//! are at most `|s_x q_x| |e_u| + |e_x| |u|`. Rounding while floats are added is at most
//! `width * 2^-24` of the product of the lengths; [`ROUNDING`] allows for twice that and for the few
//! operations on the bound itself.

use super::cells::Cells;
use super::codes::{OFFSET, QUAD};
use super::dot::LANES;
use crate::error::Result;
use crate::simd::simd_fn;

/// Largest whole number.
const STEPS: f32 = 127.0;

/// Share of the product of two lengths that rounding can cost, for each number of the width.
const ROUNDING: f64 = 1.0 / (1 << 23) as f64;

/// Numbers added to the width for the operations outside the sum.
const OPERATIONS: f64 = 64.0;

/// Makes a value larger by more than a few roundings to single precision could make it smaller.
fn up(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is allowed for")]
    let rounded = (value * 1.000_01) as f32;
    rounded + f32::MIN_POSITIVE
}

/// A vector as whole numbers.
#[derive(Debug)]
struct Rounded {
    scale: f32,
    numbers: Vec<i8>,
    /// Length of what was lost, at least.
    error: f32,
    /// Length of `scale * numbers`, at least.
    length: f32,
}

impl Rounded {
    fn new(vector: &[f32]) -> Self {
        let largest = vector
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        let mut scale = largest / STEPS;
        if !scale.is_normal() {
            scale = 0.0;
        }
        let whole = |value: &f32| {
            if scale == 0.0 {
                return 0;
            }
            #[expect(clippy::cast_possible_truncation, reason = "it is clamped before")]
            let number = (value / scale).round().clamp(-STEPS, STEPS) as i8;
            number
        };
        let numbers: Vec<i8> = vector.iter().map(whole).collect();
        let (mut lost, mut kept) = (0.0_f64, 0.0_f64);
        for (value, number) in vector.iter().zip(&numbers) {
            let near = f64::from(scale) * f64::from(*number);
            lost += (f64::from(*value) - near).powi(2);
            kept += near.powi(2);
        }
        Self {
            scale,
            numbers,
            error: up(lost.sqrt()),
            length: up(kept.sqrt()),
        }
    }
}

/// The largest of numbers that are not negative.
fn largest(values: &[[f32; LANES]]) -> f32 {
    let values = values.as_flattened().iter();
    values.fold(0.0, |most, value| most.max(*value))
}

/// The rounded rows of one block, in groups as `codes.rs` reads them.
#[derive(Debug, Default)]
pub(super) struct RoundedRows {
    codes: Cells<1>,
    scales: Vec<[f32; LANES]>,
    errors: Vec<[f32; LANES]>,
    /// Lengths of the rounded rows, at least.
    lengths: Vec<[f32; LANES]>,
    max_error: f32,
    max_length: f32,
}

/// What a query's guesses in one block are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    by_error: f32,
    fixed: f32,
}

impl Bounds {
    /// How far the score of a row with this rounding error can be off.
    pub(super) fn of(self, error: f32) -> f32 {
        self.fixed + self.by_error * error
    }
}

simd_fn! {
    fn scaled(sums: &[i32], scales: &[f32], surplus: i32, scale: f32, guesses: &mut [f32]) {
        for ((sum, row_scale), guess) in sums.iter().zip(scales).zip(guesses) {
            #[expect(clippy::cast_precision_loss, reason = "part of the bound")]
            let sum = (sum - surplus) as f32;
            *guess = sum * row_scale * scale;
        }
    }
}

/// A query as whole numbers.
#[derive(Debug)]
pub(super) struct RoundedQuery {
    rounded: Rounded,
    length: f32,
    /// What [`OFFSET`] adds to every sum.
    surplus: i32,
}

impl RoundedQuery {
    pub(super) fn new(vector: &[f32]) -> Self {
        let rounded = Rounded::new(vector);
        let sum: i32 = rounded.numbers.iter().copied().map(i32::from).sum();
        let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
        Self {
            rounded,
            length: up(square.sqrt()),
            surplus: sum * OFFSET,
        }
    }

    pub(super) fn numbers(&self) -> &[i8] {
        &self.rounded.numbers
    }

    /// Writes the scores, up to the bounds, of groups of rows from their sums to `guesses`.
    pub(super) fn guess(
        &self,
        sums: &[[i32; LANES]],
        scales: &[[f32; LANES]],
        guesses: &mut [[f32; LANES]],
    ) {
        let (sums, scales) = (sums.as_flattened(), scales.as_flattened());
        let guesses = guesses.as_flattened_mut();
        scaled(sums, scales, self.surplus, self.rounded.scale, guesses);
    }

    /// What can be lost in these rows.
    pub(super) fn bounds(&self, rows: &RoundedRows) -> Bounds {
        let width = u32::try_from(self.rounded.numbers.len()).unwrap_or(u32::MAX);
        let rounding = (f64::from(width) + OPERATIONS)
            * ROUNDING
            * (f64::from(rows.max_length) + f64::from(rows.max_error))
            * (f64::from(self.length) + f64::from(self.rounded.error));
        Bounds {
            by_error: up(f64::from(self.length)),
            fixed: up(f64::from(rows.max_length) * f64::from(self.rounded.error) + rounding),
        }
    }
}

impl RoundedRows {
    /// Makes room for `len` numbers.
    pub(super) fn reserve(&mut self, len: usize) -> Result<()> {
        self.codes.reserve(len)
    }

    /// Writes a row; `row` is at most one behind the last, and there is room for it.
    pub(super) fn set(&mut self, row: usize, vector: &[f32]) {
        let rounded = Rounded::new(vector);
        let (group, lane) = (row / LANES, row % LANES);
        let group_len = vector.len() * LANES;
        if group == self.scales.len() {
            self.codes.resize(self.codes.len() + group_len);
            self.scales.push([0.0; LANES]);
            self.errors.push([0.0; LANES]);
            self.lengths.push([0.0; LANES]);
        }
        let codes = &mut self.codes.all_mut().as_flattened_mut()[group * group_len..][..group_len];
        for (step, quad) in rounded.numbers.chunks_exact(QUAD).enumerate() {
            for (i, number) in quad.iter().enumerate() {
                // 127 at most in either direction, so this fits.
                codes[(step * LANES + lane) * QUAD + i] = number.cast_unsigned() ^ 0x80;
            }
        }
        self.scales[group][lane] = rounded.scale;
        self.bound(group, lane, rounded.error, rounded.length);
    }

    /// Notes what a row can lose. When the row with the most goes, the rest is looked at again: one
    /// long vector must not blur the guesses of its block for ever.
    fn bound(&mut self, group: usize, lane: usize, error: f32, length: f32) {
        let old_error = std::mem::replace(&mut self.errors[group][lane], error);
        let old_length = std::mem::replace(&mut self.lengths[group][lane], length);
        if old_error > error && old_error >= self.max_error {
            self.max_error = largest(&self.errors);
        }
        if old_length > length && old_length >= self.max_length {
            self.max_length = largest(&self.lengths);
        }
        self.max_error = self.max_error.max(error);
        self.max_length = self.max_length.max(length);
    }

    /// Forgets all rows from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        for row in len..self.errors.len() * LANES {
            self.bound(row / LANES, row % LANES, 0.0, 0.0);
        }
        let groups = len.div_ceil(LANES);
        let group_len = self.codes.len() / self.scales.len().max(1);
        self.codes.resize(groups * group_len);
        self.scales.truncate(groups);
        self.errors.truncate(groups);
        self.lengths.truncate(groups);
    }

    pub(super) fn codes(&self) -> &[u8] {
        self.codes.all().as_flattened()
    }

    pub(super) fn scales(&self) -> &[[f32; LANES]] {
        &self.scales
    }

    pub(super) fn error(&self, row: usize) -> f32 {
        self.errors[row / LANES][row % LANES]
    }

    pub(super) fn max_error(&self) -> f32 {
        self.max_error
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.codes.used_bytes() + size_of::<[f32; LANES]>() * 3 * self.scales.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_vector_does_not_blur_its_block_for_ever() {
        let short = [0.5, -0.25, 0.1, 0.0];
        let fill = |rows: &mut RoundedRows| (0..40).for_each(|row| rows.set(row, &short));
        let mut rows = RoundedRows::default();
        rows.reserve(4 * 48).unwrap();
        fill(&mut rows);
        let before = (rows.max_error, rows.max_length);
        for at in [3, 39] {
            rows.set(at, &[1e10, 1.0, 2.0, 3.0]);
            assert!(rows.max_length > 9e9 && rows.max_error > 0.5);
            if at == 39 {
                rows.truncate(39);
            } else {
                rows.set(at, &short);
            }
            assert_eq!((rows.max_error, rows.max_length), before);
        }
        rows.truncate(0);
        assert_eq!((rows.max_error, rows.max_length), (0.0, 0.0));
    }
}
