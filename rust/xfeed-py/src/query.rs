//! The query as Python sees it.

use hashbrown::HashSet;
use numpy::{PyArray1, ToPyArray};
use parking_lot::RwLock;
use pyo3::prelude::*;
use xfeed_core::ids::Id;
use xfeed_core::query::{self, Lookup, MutedWords};

fn id_set(ids: Option<Vec<u64>>) -> Lookup<HashSet<Id>> {
    ids.map_or(Lookup::Unknown, |ids| {
        Lookup::Known(ids.into_iter().map(Id).collect())
    })
}

fn sorted(ids: &HashSet<Id>) -> Vec<u64> {
    let mut ids: Vec<u64> = ids.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids
}

/// Who asks and what is known about them. Fresh queries know nothing, so nothing is shown.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct Query {
    pub(crate) inner: RwLock<query::Query>,
}

#[pymethods]
impl Query {
    #[new]
    fn new(viewer: u64, now_ms: i64) -> Self {
        Self {
            inner: RwLock::new(query::Query::new(Id(viewer), now_ms)),
        }
    }

    /// Who asks.
    #[getter]
    fn viewer(&self) -> u64 {
        self.inner.read().viewer.0
    }

    /// When, in unix milliseconds.
    #[getter]
    fn now_ms(&self) -> i64 {
        self.inner.read().now_ms
    }

    /// Whom the viewer follows, sorted.
    #[getter]
    fn following<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        sorted(&self.inner.read().following).to_pyarray(py)
    }

    /// How many follow the viewer; None when unknown.
    #[getter]
    fn follower_count(&self) -> Option<u64> {
        self.inner.read().follower_count
    }

    /// Posts the viewer has seen, sorted; None when unknown.
    #[getter]
    fn seen(&self) -> Option<Vec<u64>> {
        self.inner.read().seen.known().map(sorted)
    }

    /// Which safety inputs are unknown.
    fn unknown(&self) -> Vec<&'static str> {
        let query = self.inner.read();
        let known = [
            ("blocked", query.blocked.known().is_some()),
            ("blocked_by", query.blocked_by.known().is_some()),
            ("muted", query.muted.known().is_some()),
            ("muted_words", query.muted_words.known().is_some()),
            ("seen", query.seen.known().is_some()),
        ];
        known
            .into_iter()
            .filter(|(_, known)| !known)
            .map(|(name, _)| name)
            .collect()
    }

    /// Sets whom the viewer follows.
    fn set_following(&self, ids: Vec<u64>) {
        self.inner.write().following = ids.into_iter().map(Id).collect();
    }

    /// Sets how many follow the viewer; None for unknown.
    fn set_follower_count(&self, count: Option<u64>) {
        self.inner.write().follower_count = count;
    }

    /// Sets blocks and mutes; None for a list that could not be looked up.
    fn set_safety(
        &self,
        blocked: Option<Vec<u64>>,
        blocked_by: Option<Vec<u64>>,
        muted: Option<Vec<u64>>,
        muted_words: Option<Vec<String>>,
    ) {
        let mut query = self.inner.write();
        query.blocked = id_set(blocked);
        query.blocked_by = id_set(blocked_by);
        query.muted = id_set(muted);
        query.muted_words = muted_words.map_or(Lookup::Unknown, |words| {
            Lookup::Known(MutedWords::new(words))
        });
    }

    /// Sets which posts the viewer has seen; None for unknown.
    fn set_seen(&self, ids: Option<Vec<u64>>) {
        self.inner.write().seen = id_set(ids);
    }
}
