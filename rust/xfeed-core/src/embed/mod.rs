//! Hash embeddings: ids of unbounded vocabularies become rows of tables of bounded size.
//!
//! Each entity has a small family of hash functions; an id is represented by one row per function,
//! concatenated. A new post has a vector at once, without training and without a vocabulary; the
//! price is that unrelated ids may share a row, but hardly ever all of them.

mod gather;
mod hash;

pub use gather::{gather_hashed, gather_rows};
pub use hash::HashFamily;
