//! `xfeed._core`: the engine as Python sees it. Nothing but translation.

mod action;
mod candidates;
mod convert;
mod detach;
mod embed;
mod error;
mod event;
mod filter;
mod phoenix;
mod query;
mod rate_limit;
mod score;
mod snapshot;
mod store;
mod store_in;
mod store_out;
mod vectors;
mod world;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::action::{actions, dwelled_at_secs};
    #[pymodule_export]
    use crate::candidates::CandidateBatch;
    #[pymodule_export]
    use crate::embed::{EmbeddingTable, HashFamily, RowAdagrad, write_tables};
    #[pymodule_export]
    use crate::event::{
        EventBatch, decode_events, decode_protobuf, encode_protobuf, event_schema, id_of_text,
        media_kinds, model_key, post_kinds, protobuf_schema,
    };
    #[pymodule_export]
    use crate::filter::{FilterSettings, Verdicts, filters, reasons, run_filters};
    #[pymodule_export]
    use crate::phoenix::{PackedMatrix, Trunk, TrunkContext};
    #[pymodule_export]
    use crate::query::Query;
    #[pymodule_export]
    use crate::rate_limit::RateLimiter;
    #[pymodule_export]
    use crate::score::{WeightedSum, author_diversity, out_of_network, top_k};
    #[pymodule_export]
    use crate::snapshot::{SnapshotFile, snapshot_header, verify_snapshot};
    #[pymodule_export]
    use crate::store::PostStore;
    #[pymodule_export]
    use crate::vectors::VectorIndex;
    #[pymodule_export]
    use crate::world::World;

    #[pyo3::pyfunction]
    /// The version of the engine.
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
