//! Exact search among vectors: the posts whose vectors fit a viewer's best.
//!
//! An index holds a vector, an author, a time and a kind for each post, and finds the k posts with the
//! largest dot products among those that a query may have. There is no graph and no clustering: a
//! scan of half a million vectors takes milliseconds, is exact, needs no training, takes a post at
//! once and forgets it at once.
//!
//! - `block.rs`: rows, grouped so that one instruction works on many. `cells.rs`: their memory.
//! - `dot.rs`, `codes.rs`: the products, of floats and of small integers.
//! - `rounded.rs`: vectors as small integers and how far their scores can be off.
//! - `best.rs`: the best k. `scan.rs`: the search. `index.rs`: insert, replace, remove.
//! - `file.rs`: an index as bytes.
//!
//! # What always holds
//! - The order is score descending, then id descending. A score is the same number whatever the
//!   threads, the block, the batch of queries and the width of the machine's registers.
//! - [`Dtype::Int8`] finds exactly what [`Dtype::Float32`] finds: rounded vectors only say which rows
//!   may be among the best, with a proven bound; the scores come from the vectors as they were.
//!   [`Dtype::Bfloat16`] is exact for the vectors rounded to bfloat16.
//! - Vectors and queries that are not finite or so long that a product could overflow are refused, so
//!   every score is finite.

mod best;
mod block;
mod cells;
mod codes;
mod dot;
mod file;
mod index;
mod rounded;
mod scan;

pub use index::VectorIndex;
pub use scan::{Found, Search};

use crate::clock::UnixMs;
use crate::error::{Error, Result};
use crate::ids::Id;

/// Most numbers of one vector.
pub const MAX_WIDTH: usize = 4_096;

/// Longest vector. The product of two such is far below the largest float.
pub const MAX_LENGTH: f64 = 1e18;

/// Largest kind: kinds are bits of a 64-bit mask.
pub const MAX_KIND: u8 = 63;

/// How vectors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// As they are: 4 bytes a number.
    Float32,
    /// Rounded to bfloat16: 2 bytes a number, and less memory to read in a search.
    Bfloat16,
    /// As they are, and rounded to small integers beside: 5 bytes a number, and the
    /// fastest search.
    Int8,
}

impl Dtype {
    const NAMES: [(Self, &'static str); 3] = [
        (Self::Float32, "float32"),
        (Self::Bfloat16, "bfloat16"),
        (Self::Int8, "int8"),
    ];

    /// The one of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(dtype, _)| *dtype).ok_or_else(|| {
            Error::config(
                format!("`{name}` is no dtype of vectors"),
                "use `float32`, `bfloat16` or `int8`",
            )
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(dtype, _)| *dtype == self);
        found.map_or("", |(_, name)| name)
    }
}

/// What is known of a post beside its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The post.
    pub id: Id,
    /// Who wrote it.
    pub author: Id,
    /// When it was made.
    pub created_ms: UnixMs,
    /// A number from 0 to [`MAX_KIND`] that searches can ask for.
    pub kind: u8,
}

#[cfg(test)]
mod tests;
