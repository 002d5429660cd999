//! `xfeed._core`: the engine as Python sees it. Nothing but translation.

mod action;
mod convert;
mod detach;
mod embed;
mod error;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::action::{actions, dwelled_at_secs};
    #[pymodule_export]
    use crate::embed::{HashFamily, gather_hashed, gather_rows};

    #[pyo3::pyfunction]
    /// The version of the engine.
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
