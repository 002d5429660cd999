//! Sorting and cutting.

mod top_k;

pub use top_k::{order, top_k};
