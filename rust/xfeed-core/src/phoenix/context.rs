//! Viewers and histories, encoded once for all candidates.

use std::ops::Range;
use std::sync::Arc;

use super::aligned::Aligned;
use super::attention::{MASKED, Memory};
use super::lanes::LANES;
use crate::error::{Error, Result};

/// One viewer's keys and values, in the layout that attention reads.
#[derive(Debug)]
pub(super) struct Viewer {
    /// Layer by layer, in each the key/value heads.
    pub(super) memories: Vec<Memory>,
    /// See [`candidate_bounds`].
    pub(super) bounds: Aligned,
    /// Positions of the context (T).
    pub(super) n_positions: usize,
}

/// Encoded viewers. Cheap to clone, to split and to join: viewers are shared.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) viewers: Vec<Arc<Viewer>>,
    /// Which trunk made it; another cannot read it.
    pub(super) trunk: u64,
}

impl Context {
    /// Number of viewers (B).
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// Memory in bytes, shared or not.
    pub fn n_bytes(&self) -> usize {
        let of_viewer = |viewer: &Arc<Viewer>| {
            let memories = viewer.memories.iter().map(Memory::n_bytes).sum::<usize>();
            memories + viewer.bounds.n_bytes()
        };
        self.viewers.iter().map(of_viewer).sum()
    }

    /// Some of the viewers, in the order of `rows`.
    ///
    /// # Errors
    /// A row is outside.
    pub fn take(&self, rows: &[usize]) -> Result<Self> {
        let viewers = rows.iter().map(|row| {
            self.viewers.get(*row).cloned().ok_or_else(|| {
                Error::shape(
                    format!("row {row} is outside of {} viewers", self.len()),
                    "pass rows from 0",
                )
            })
        });
        Ok(Self {
            viewers: viewers.collect::<Result<_>>()?,
            trunk: self.trunk,
        })
    }

    /// All viewers of all contexts, which one trunk has made.
    ///
    /// # Errors
    /// There is none, or they are of different trunks.
    pub fn join(contexts: &[&Self]) -> Result<Self> {
        let refused = |message: &str| Err(Error::shape(message, "join contexts of one trunk"));
        let Some(first) = contexts.first() else {
            return refused("no context to join");
        };
        if contexts.iter().any(|context| context.trunk != first.trunk) {
            return refused("contexts of different trunks cannot be joined");
        }
        let viewers = contexts.iter().flat_map(|context| &context.viewers);
        Ok(Self {
            viewers: viewers.cloned().collect(),
            trunk: first.trunk,
        })
    }
}

/// Highest logits of a candidate: of each position of the context, its padding, and itself.
pub(super) fn candidate_bounds(valid: &[bool], width: usize) -> Aligned {
    let mut bounds = Aligned::zeros(width + LANES);
    bounds.fill(f32::NEG_INFINITY);
    bounds[width] = f32::INFINITY;
    for (bound, valid) in bounds.iter_mut().zip(valid) {
        *bound = if *valid { f32::INFINITY } else { MASKED };
    }
    bounds
}

/// Highest logits of some rows of the context among itself; rows behind its end are padding. Made for
/// a block at a time: all rows at once would take memory with the square of a history's length.
pub(super) fn context_bounds(
    valid: &[bool],
    width: usize,
    rows: Range<usize>,
    causal: bool,
) -> Aligned {
    let mut bounds = Aligned::zeros(rows.len() * width);
    bounds.fill(f32::NEG_INFINITY);
    for (query, row) in rows.zip(bounds.chunks_mut(width)) {
        for (key, (bound, valid)) in row.iter_mut().zip(valid).enumerate() {
            let seen = *valid && (!causal || key <= query);
            *bound = if seen { f32::INFINITY } else { MASKED };
        }
    }
    bounds
}
