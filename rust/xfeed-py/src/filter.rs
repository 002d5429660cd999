//! Verdicts and the built-in filters.

use std::time::Instant;

use numpy::{PyArray1, ToPyArray};
use parking_lot::RwLock;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use xfeed_core::registry::{FILTERS, build_filter};
use xfeed_core::stage;
use xfeed_core::verdict::{self, REASONS, Reason};
use xfeed_core::{Error, ErrorKind};

use crate::candidates::CandidateBatch;
use crate::query::Query;

/// One verdict per row: kept, or removed by whom and why.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct Verdicts {
    inner: RwLock<verdict::Verdicts>,
}

#[pymethods]
impl Verdicts {
    #[new]
    fn new(rows: u32) -> Self {
        // 32 bits: more rows than any request has, and no request for memory that can fail.
        Self {
            inner: RwLock::new(verdict::Verdicts::new(rows as usize)),
        }
    }

    fn __len__(&self) -> usize {
        self.inner.read().len()
    }

    /// Rows that are still in (int64), in order.
    fn kept<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let kept: Vec<i64> = self
            .inner
            .read()
            .kept()
            .filter_map(|row| i64::try_from(row).ok())
            .collect();
        kept.to_pyarray(py)
    }

    /// Removes `row`; a row that is out keeps its first reason.
    fn remove(&self, row: usize, filter: &str, reason: String, detail: String) -> PyResult<()> {
        let mut verdicts = self.inner.write();
        if row >= verdicts.len() {
            let text = format!("row {row} of {} verdicts", verdicts.len());
            return Err(PyIndexError::new_err(text));
        }
        verdicts.remove(row, filter, Reason::Custom(reason), detail);
        Ok(())
    }

    /// Removed rows by filter and reason: `(filter, reason, rows)`.
    fn counts(&self) -> Vec<(String, String, usize)> {
        let verdicts = self.inner.read();
        let mut counts: Vec<(String, String, usize)> = Vec::new();
        for removal in (0..verdicts.len()).filter_map(|row| verdicts.removal(row)) {
            let code = removal.reason.code();
            let known = counts
                .iter_mut()
                .find(|(filter, reason, _)| *filter == removal.filter && *reason == code);
            match known {
                Some((_, _, rows)) => *rows += 1,
                None => counts.push((removal.filter.clone(), code.into_owned(), 1)),
            }
        }
        counts
    }

    /// `(filter, reason, detail)` of a removed row, None of a kept one.
    fn removal(&self, row: usize) -> PyResult<Option<(String, String, String)>> {
        let verdicts = self.inner.read();
        if row >= verdicts.len() {
            let text = format!("row {row} of {} verdicts", verdicts.len());
            return Err(PyIndexError::new_err(text));
        }
        Ok(verdicts.removal(row).map(|found| {
            (
                found.filter.clone(),
                found.reason.code().into_owned(),
                found.detail.clone(),
            )
        }))
    }
}

/// Settings of all built-in filters.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct FilterSettings {
    inner: stage::FilterSettings,
}

#[pymethods]
impl FilterSettings {
    #[new]
    #[pyo3(signature = (*, max_age_ms, removing_labels))]
    fn new(max_age_ms: u64, removing_labels: Vec<String>) -> Self {
        Self {
            inner: stage::FilterSettings {
                max_age_ms,
                removing_labels,
            },
        }
    }
}

/// Runs built-in filters in order, in one call without the interpreter lock. Returns the
/// nanoseconds that each took.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands lists over by value"
)]
pub(crate) fn run_filters(
    py: Python<'_>,
    names: Vec<String>,
    settings: &FilterSettings,
    query: &Query,
    batch: &CandidateBatch,
    verdicts: &Verdicts,
) -> PyResult<Vec<u64>> {
    crate::detach::detached(py, || {
        let query = query.inner.read();
        let batch = batch.inner.read();
        let mut verdicts = verdicts.inner.write();
        if verdicts.len() != batch.len() {
            return Err(Error::new(
                ErrorKind::Shape,
                "bad_shape",
                format!("{} verdicts for {} candidates", verdicts.len(), batch.len()),
                "make the verdicts after the last source",
            ));
        }
        names
            .iter()
            .map(|name| {
                let filter = build_filter(name, &settings.inner)?;
                let start = Instant::now();
                filter.apply(&query, &batch, &mut verdicts);
                Ok(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
            })
            .collect()
    })
}

/// The built-in filters in default order: `(name, what it removes)`.
#[pyfunction]
pub(crate) fn filters() -> Vec<(&'static str, &'static str)> {
    FILTERS
        .iter()
        .map(|spec| (spec.name, spec.removes))
        .collect()
}

/// The built-in reasons: `(code, meaning)`.
#[pyfunction]
pub(crate) fn reasons() -> Vec<(&'static str, &'static str)> {
    REASONS.to_vec()
}
