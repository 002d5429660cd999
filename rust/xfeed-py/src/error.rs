//! Core errors become the exceptions of `xfeed.errors`, with `.code` and `.hint`.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use xfeed_core::{Error, ErrorKind};

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = match error.kind {
        ErrorKind::Shape => "ShapeError",
        ErrorKind::Config => "ConfigError",
        ErrorKind::Event => "EventError",
        ErrorKind::Store => "StoreError",
    };
    let named = PyDict::new(py);
    named.set_item("code", error.code)?;
    named.set_item("hint", &error.hint)?;
    let raised = py
        .import("xfeed.errors")?
        .getattr(class)?
        .call((&error.message,), Some(&named))?;
    Ok(PyErr::from_value(raised))
}

/// Turns a core error into the exception of its kind.
pub(crate) fn to_py(error: Error) -> PyErr {
    Python::attach(|py| build(py, &error).unwrap_or_else(|failed| failed))
}
