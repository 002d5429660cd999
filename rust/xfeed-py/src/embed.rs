//! Hash embeddings.

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2};
use pyo3::prelude::*;
use xfeed_core::embed;

use crate::convert::{slice1, slice2, slice2_mut};
use crate::detach::detached;
use crate::error::to_py;

/// Hash functions of one entity: `((id * scale + bias) mod 2^64, signed) mod modulus`.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct HashFamily {
    inner: embed::HashFamily,
}

#[pymethods]
impl HashFamily {
    #[new]
    fn new(scales: Vec<u64>, biases: Vec<u64>, modulus: i64) -> PyResult<Self> {
        embed::HashFamily::new(scales, biases, modulus)
            .map(|inner| Self { inner })
            .map_err(to_py)
    }

    /// Number of functions.
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// Writes the row of every id under every function to `out` (uint32, shape `(n, functions)`).
    fn rows(
        &self,
        ids: PyReadonlyArray1<'_, u64>,
        n_rows: u32,
        mut out: PyReadwriteArray2<'_, u32>,
    ) -> PyResult<()> {
        let ids = slice1(&ids, "ids")?;
        let out = slice2_mut(&mut out, "out", (ids.len(), self.inner.len()))?;
        for (id, row) in ids.iter().zip(out.chunks_exact_mut(self.inner.len())) {
            for (function, slot) in row.iter_mut().enumerate() {
                *slot = self.inner.row(*id, function, n_rows);
            }
        }
        Ok(())
    }
}

/// Copies `table[rows]` into `out` (float32, shape `(n, width)`). Do not write to `table` or `out`
/// from another thread during the call.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands arrays over by value"
)]
pub(crate) fn gather_rows(
    py: Python<'_>,
    table: PyReadonlyArray2<'_, f32>,
    rows: PyReadonlyArray1<'_, u32>,
    mut out: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let (table, width) = slice2(&table, "table")?;
    let rows = slice1(&rows, "rows")?;
    let out = slice2_mut(&mut out, "out", (rows.len(), width))?;
    detached(py, || embed::gather_rows(table, width, rows, out))
}

/// Hashes `ids` and copies their rows side by side into `out` (float32, shape
/// `(n, functions * width)`). Id 0 is padding and gives row 0. Do not write to `table` or `out`
/// from another thread during the call.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands arrays over by value"
)]
pub(crate) fn gather_hashed(
    py: Python<'_>,
    table: PyReadonlyArray2<'_, f32>,
    family: &HashFamily,
    ids: PyReadonlyArray1<'_, u64>,
    mut out: PyReadwriteArray2<'_, f32>,
) -> PyResult<()> {
    let (table, width) = slice2(&table, "table")?;
    let ids = slice1(&ids, "ids")?;
    let out = slice2_mut(&mut out, "out", (ids.len(), family.inner.len() * width))?;
    detached(py, || {
        embed::gather_hashed(table, width, &family.inner, ids, out)
    })
}
