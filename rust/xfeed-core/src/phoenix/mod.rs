//! The transformer of the models on a plain processor: context once, candidates one by one.
//!
//! Reading order: `lanes` (sixteen numbers at once), `functions` (exponential and tangent), `gemm`
//! (products), `rows` (norms and rotations), `attention`, `layer`, `context`, `trunk`,
//! `product` (tokens and heads around the layers).

mod aligned;
mod attention;
#[cfg(test)]
mod checks;
mod context;
mod functions;
mod gemm;
mod half;
mod int8;
mod lanes;
mod layer;
mod matrix;
mod product;
mod rows;
mod scratch;
mod shape;
mod trunk;
mod weights;

pub use attention::Cap;
pub use context::Context;
pub use matrix::Numbers;
pub use product::{PackedMatrix, Part};
pub use rows::Rotations;
pub use shape::{Shape, Tokens};
pub use trunk::Trunk;
pub use weights::LayerWeights;

use crate::workers;
pub use crate::workers::MAX_THREADS;
