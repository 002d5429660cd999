//! The types of numbers that tables are stored in, and how they become float32 and come from it.
#![expect(
    clippy::inline_always,
    reason = "what `simd_fn!` calls must be inlined, else it keeps narrow instructions"
)]

use half::{bf16, f16};

use crate::error::{Error, Result};

/// How a table stores its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 4 bytes, exact.
    Float32,
    /// 2 bytes, IEEE 754 binary16: 11 bits of precision, up to 65504.
    Float16,
    /// 2 bytes, upper half of a float32: 8 bits of precision, its whole range.
    Bfloat16,
    /// 1 byte, times one float32 scale per row.
    Int8,
}

impl Dtype {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Float32, Self::Float16, Self::Bfloat16, Self::Int8];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
            Self::Int8 => 1,
        }
    }

    /// The dtype of a name.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| {
            Error::config(
                format!("a table cannot have the dtype `{name}`"),
                "use `float32`, `float16`, `bfloat16` or `int8`",
            )
        })
    }
}

/// One type of numbers in bytes, lowest byte first.
pub(super) trait Cell {
    /// Bytes of one number.
    type Raw: Copy;

    /// The numbers of a row.
    fn cells(row: &[u8]) -> &[Self::Raw];

    /// Its value.
    fn value(raw: Self::Raw, scale: f32) -> f32;
}

/// The upper bit, everywhere.
#[inline(always)]
fn mask(bits: u32) -> u32 {
    (bits >> 31).wrapping_neg()
}

pub(super) struct Float32;
pub(super) struct Float16;
pub(super) struct Bfloat16;
pub(super) struct Int8;

impl Cell for Float32 {
    type Raw = [u8; 4];

    #[inline(always)]
    fn cells(row: &[u8]) -> &[[u8; 4]] {
        row.as_chunks().0
    }

    #[inline(always)]
    fn value(raw: [u8; 4], _scale: f32) -> f32 {
        f32::from_le_bytes(raw)
    }
}

impl Cell for Float16 {
    type Raw = [u8; 2];

    #[inline(always)]
    fn cells(row: &[u8]) -> &[[u8; 2]] {
        row.as_chunks().0
    }

    /// Without branches and without subnormal float32 on the way, which some processors take long for.
    #[inline(always)]
    fn value(raw: [u8; 2], _scale: f32) -> f32 {
        const EXPONENT: u32 = 0x7c00 << 13;
        const BIAS: u32 = (127 - 15) << 23;
        let bits = u32::from(u16::from_le_bytes(raw));
        let shifted = (bits & 0x7fff) << 13;
        let exponent = shifted & EXPONENT;
        let normal = shifted + BIAS;
        let special = normal + ((128 - 16) << 23);
        let small = f32::from_bits(normal + (1 << 23)) - f32::from_bits(BIAS + (1 << 23));
        // All ones where the exponent is 0, and where it is the largest.
        let is_small = mask(exponent.wrapping_sub(1));
        let is_special = mask((EXPONENT - 1).wrapping_sub(exponent));
        let magnitude = (small.to_bits() & is_small)
            | (special & is_special)
            | (normal & !(is_small | is_special));
        f32::from_bits(magnitude | (bits & 0x8000) << 16)
    }
}

impl Cell for Bfloat16 {
    type Raw = [u8; 2];

    #[inline(always)]
    fn cells(row: &[u8]) -> &[[u8; 2]] {
        row.as_chunks().0
    }

    #[inline(always)]
    fn value(raw: [u8; 2], _scale: f32) -> f32 {
        f32::from_bits(u32::from(u16::from_le_bytes(raw)) << 16)
    }
}

impl Cell for Int8 {
    type Raw = [u8; 1];

    #[inline(always)]
    fn cells(row: &[u8]) -> &[[u8; 1]] {
        row.as_chunks().0
    }

    #[inline(always)]
    fn value(raw: [u8; 1], scale: f32) -> f32 {
        f32::from(i8::from_le_bytes(raw)) * scale
    }
}

/// A type of numbers that a step of training can change.
pub(super) trait Trained: Cell {
    /// The numbers of a row, to be written.
    fn cells_mut(row: &mut [u8]) -> &mut [Self::Raw];

    /// The nearest number of this type, ties to even.
    fn raw(value: f32) -> Self::Raw;

    /// Its value.
    #[inline(always)]
    fn round(value: f32) -> f32 {
        Self::value(Self::raw(value), 1.0)
    }
}

impl Trained for Float32 {
    #[inline(always)]
    fn cells_mut(row: &mut [u8]) -> &mut [[u8; 4]] {
        row.as_chunks_mut().0
    }

    #[inline(always)]
    fn raw(value: f32) -> [u8; 4] {
        value.to_le_bytes()
    }
}

impl Trained for Bfloat16 {
    #[inline(always)]
    fn cells_mut(row: &mut [u8]) -> &mut [[u8; 2]] {
        row.as_chunks_mut().0
    }

    #[inline(always)]
    fn raw(value: f32) -> [u8; 2] {
        bf16::from_f32(value).to_le_bytes()
    }
}

/// Stores a row, rounding to nearest, ties to even. Returns the scale (1 but for int8), or None when a
/// number does not fit: a finite one that would become infinite, or any that is not finite for int8.
pub(super) fn narrow(dtype: Dtype, values: &[f32], row: &mut [u8]) -> Option<f32> {
    match dtype {
        Dtype::Float32 => {
            for (cell, value) in Float32::cells_mut(row).iter_mut().zip(values) {
                *cell = value.to_le_bytes();
            }
            Some(1.0)
        }
        Dtype::Float16 => halves(values, row, |value| {
            let stored = f16::from_f32(value);
            (stored.to_le_bytes(), stored.is_finite())
        }),
        Dtype::Bfloat16 => halves(values, row, |value| {
            let stored = bf16::from_f32(value);
            (stored.to_le_bytes(), stored.is_finite())
        }),
        Dtype::Int8 => quantise(values, row),
    }
}

fn halves(values: &[f32], row: &mut [u8], store: impl Fn(f32) -> ([u8; 2], bool)) -> Option<f32> {
    let mut fits = true;
    for (cell, value) in row.as_chunks_mut().0.iter_mut().zip(values) {
        let (stored, is_finite) = store(*value);
        fits &= is_finite || !value.is_finite();
        *cell = stored;
    }
    fits.then_some(1.0)
}

/// `q = round(x / scale)` with `scale = max |x| / 127`: the largest error is half a scale.
fn quantise(values: &[f32], row: &mut [u8]) -> Option<f32> {
    let largest = values
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
    if !values.iter().all(|value| value.is_finite()) || !(scale * 127.0).is_finite() {
        return None;
    }
    for (cell, value) in row.iter_mut().zip(values) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it saturates, and is at most 127"
        )]
        let stored = (value / scale).round_ties_even() as i8;
        *cell = stored.to_le_bytes()[0];
    }
    Some(scale)
}
