//! The one place where the interpreter lock is let go.

use pyo3::prelude::*;

use crate::error::to_py;

/// Runs `work` without the interpreter lock and turns its error into a Python exception.
pub(crate) fn detached<T, F>(py: Python<'_>, work: F) -> PyResult<T>
where
    F: FnOnce() -> xfeed_core::Result<T> + Send,
    T: Send,
{
    py.detach(work).map_err(to_py)
}

/// Runs `work`, which cannot fail, without the interpreter lock.
pub(crate) fn unlocked<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(work)
}
