//! Memory of numbers that starts at a cache line, so that no vector straddles two.

use std::ops::{Deref, DerefMut};

use super::lanes::LANES;

/// A slice of `f32` that starts at a multiple of 64 bytes.
#[derive(Debug)]
pub(super) struct Aligned {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let data = vec![0.0_f32; len + LANES - 1];
        let start = data.as_ptr().align_offset(4 * LANES).min(LANES - 1);
        Self { data, start, len }
    }

    /// Memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        4 * self.data.len()
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

/// `n` rounded up to whole vectors.
pub(super) const fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}
