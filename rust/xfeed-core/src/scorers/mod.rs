//! The scorers: from predictions to the one number that is sorted by. Each is a plain function over
//! columns; `NaN` stands for "not known" and never for a number.

mod author_diversity;
mod out_of_network;
mod weighted;

pub use author_diversity::author_diversity;
pub use out_of_network::out_of_network;
pub use weighted::{Offset, RowFacts, Weighted, WeightedSettings, weighted_sum};
