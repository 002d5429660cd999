//! Hash embeddings: ids of unbounded vocabularies become rows of tables of bounded size.
//!
//! Each entity has a small family of hash functions; an id is represented by one row per function,
//! side by side or added up. A new post has a vector at once, without training and without a
//! vocabulary; the price is that unrelated ids may share a row, but hardly ever all of them.

mod adagrad;
mod cells;
mod file;
mod gather;
mod hash;
pub(crate) mod map;
mod safetensors;
mod table;

pub use adagrad::{Decay, RowAdagrad};
pub use cells::Dtype;
pub use file::write_tables;
pub use hash::{HashFamily, HashedRows, TableHash};
pub use safetensors::{TensorInfo, read_header};
pub use table::EmbeddingTable;
