//! What the post store says, to Python.

use numpy::{PyArray1, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use xfeed_core::event::{self, PostKind, Reject};
use xfeed_core::thunder::intake::Outcome;
use xfeed_core::thunder::{Found, Record};

/// `(counts by outcome, positions of refused rows, their reasons, what those mean)`.
pub(crate) type Report<'py> = (
    Bound<'py, PyDict>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
);

/// Counts of outcomes, and the rows that were refused.
#[derive(Default)]
pub(crate) struct Tally {
    counts: Vec<u64>,
    invalid: u64,
    refused: Vec<(usize, Refusal)>,
}

enum Refusal {
    /// By a rule of the store.
    Rule(Outcome),
    /// By the event schema.
    Schema(Reject),
}

impl Tally {
    pub(crate) fn add(&mut self, position: usize, outcome: Outcome) {
        let i = outcome as usize;
        if self.counts.len() <= i {
            self.counts.resize(Outcome::ALL.len(), 0);
        }
        if let Some(count) = self.counts.get_mut(i) {
            *count += 1;
        }
        if outcome.is_refused() {
            self.refused.push((position, Refusal::Rule(outcome)));
        }
    }

    pub(crate) fn reject(&mut self, position: usize, reject: Reject) {
        self.invalid += 1;
        self.refused.push((position, Refusal::Schema(reject)));
    }

    pub(crate) fn report(self, py: Python<'_>) -> PyResult<Report<'_>> {
        let counts = PyDict::new(py);
        for (outcome, count) in Outcome::ALL.iter().zip(self.counts) {
            if count > 0 {
                counts.set_item(outcome.name(), count)?;
            }
        }
        if self.invalid > 0 {
            counts.set_item("invalid", self.invalid)?;
        }
        let positions: Vec<i64> = self
            .refused
            .iter()
            .map(|(position, _)| i64::try_from(*position).unwrap_or(i64::MAX))
            .collect();
        let reasons = PyList::empty(py);
        let messages = PyList::empty(py);
        for (_, refusal) in self.refused {
            // A million refused rows share one text.
            let (reason, message) = match &refusal {
                Refusal::Rule(outcome) => (
                    PyString::intern(py, outcome.name()),
                    PyString::intern(py, outcome.message()),
                ),
                Refusal::Schema(reject) => (
                    PyString::intern(py, reject.code),
                    PyString::new(py, &reject.message),
                ),
            };
            reasons.append(reason)?;
            messages.append(message)?;
        }
        Ok((counts, positions.to_pyarray(py), reasons, messages))
    }
}

/// One post by the names of its columns.
pub(crate) fn record_dict<'py>(py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("post_id", record.id.0)?;
    dict.set_item("author_id", record.author.0)?;
    dict.set_item("created_ms", record.created_ms)?;
    dict.set_item("kind", record.kind.name())?;
    let media = event::MEDIA_KINDS.get(usize::from(record.media_kind));
    dict.set_item("media_kind", media)?;
    dict.set_item("media_duration_ms", record.media_duration_ms)?;
    dict.set_item("has_video", record.has_video())?;
    for (name, related) in [
        ("reply_to", record.reply_to),
        ("root", record.root),
        ("repost_of", record.repost_of),
        ("quote_of", record.quote_of),
    ] {
        dict.set_item(format!("{name}_id"), related.map(|related| related.post.0))?;
        let author = related.and_then(|related| related.author);
        dict.set_item(format!("{name}_author_id"), author.map(|author| author.0))?;
    }
    Ok(dict)
}

/// Position of a kind in `PostKind::ALL`.
fn kind_number(kind: PostKind) -> u8 {
    kind as u8
}

/// The answer to a read, as columns.
pub(crate) fn found_dict<'py>(
    py: Python<'py>,
    records: &[Record],
    found: &Found,
) -> PyResult<Bound<'py, PyDict>> {
    fn column<T>(records: &[Record], value: impl Fn(&Record) -> T) -> Vec<T> {
        records.iter().map(value).collect()
    }
    let dict = PyDict::new(py);
    let post_id = column(records, |record| record.id.0);
    dict.set_item("post_id", post_id.to_pyarray(py))?;
    let author_id = column(records, |record| record.author.0);
    dict.set_item("author_id", author_id.to_pyarray(py))?;
    let created_ms = column(records, |record| record.created_ms);
    dict.set_item("created_ms", created_ms.to_pyarray(py))?;
    let kind = column(records, |record| kind_number(record.kind));
    dict.set_item("kind", kind.to_pyarray(py))?;
    let has_video = column(records, Record::has_video);
    dict.set_item("has_video", has_video.to_pyarray(py))?;
    dict.set_item("authors", found.authors)?;
    dict.set_item("authors_scanned", found.authors_scanned)?;
    Ok(dict)
}
