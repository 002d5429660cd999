//! Events from bytes.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use xfeed_core::Error;
use xfeed_core::event::{self, Event, PostKind, Reject, schema};
use xfeed_core::ids::Id;

use crate::detach::detached;

/// A refused line: `(position, code, field, value, message)`.
type RejectRow = (usize, &'static str, String, String, String);

/// A field of an event: `(name, what it holds, required)`.
type FieldRow = (&'static str, String, bool);

/// Checked events, ready to be applied to a world.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct EventBatch {
    pub(crate) events: Vec<Event>,
    positions: Vec<usize>,
    rejects: Vec<RejectRow>,
}

#[pymethods]
impl EventBatch {
    /// Number of accepted events.
    fn __len__(&self) -> usize {
        self.events.len()
    }

    /// Position of each accepted event among the given lines.
    fn positions(&self) -> Vec<usize> {
        self.positions.clone()
    }

    /// Type of each accepted event.
    fn types(&self) -> Vec<&'static str> {
        self.events
            .iter()
            .map(|event| event.body.type_name())
            .collect()
    }

    /// `event_id` of each accepted event, None where not given.
    fn event_ids(&self) -> Vec<Option<String>> {
        self.events
            .iter()
            .map(|event| event.event_id.clone())
            .collect()
    }

    /// Refused lines: `(position, code, field, value, message)`.
    fn rejects(&self) -> Vec<RejectRow> {
        self.rejects.clone()
    }
}

/// The clock that limits `at_ms`: one for all payloads, or one for each.
#[derive(FromPyObject)]
pub(crate) enum Clock {
    One(i64),
    Each(Vec<i64>),
}

/// Decodes JSON lines; refused ones are listed, never raised. `now_ms` limits `at_ms` (None trusts
/// it, as when a log is replayed).
#[pyfunction]
#[pyo3(signature = (lines, now_ms=None))]
pub(crate) fn decode_events(
    py: Python<'_>,
    lines: Vec<Bound<'_, PyBytes>>,
    now_ms: Option<Clock>,
) -> PyResult<EventBatch> {
    decode_all(py, &lines, now_ms, event::decode)
}

/// Decodes protobuf messages, as `decode_events` does with JSON lines.
#[pyfunction]
#[pyo3(signature = (messages, now_ms=None))]
pub(crate) fn decode_protobuf(
    py: Python<'_>,
    messages: Vec<Bound<'_, PyBytes>>,
    now_ms: Option<Clock>,
) -> PyResult<EventBatch> {
    decode_all(py, &messages, now_ms, event::protobuf::decode)
}

fn decode_all(
    py: Python<'_>,
    payloads: &[Bound<'_, PyBytes>],
    clock: Option<Clock>,
    decode: impl Fn(&[u8], Option<i64>) -> Result<Event, Reject> + Sync,
) -> PyResult<EventBatch> {
    let bytes: Vec<&[u8]> = payloads.iter().map(PyBytesMethods::as_bytes).collect();
    detached(py, || {
        let n = bytes.len();
        let (one, each) = match clock {
            None => (None, Vec::new()),
            Some(Clock::One(now)) => (Some(now), Vec::new()),
            Some(Clock::Each(each)) if each.len() == n => (None, each),
            Some(Clock::Each(each)) => {
                let message = format!("`now_ms` has {} entries for {n} payloads", each.len());
                return Err(Error::shape(message, "one clock for all, or one for each"));
            }
        };
        let mut batch = EventBatch {
            events: Vec::with_capacity(bytes.len()),
            positions: Vec::with_capacity(bytes.len()),
            rejects: Vec::new(),
        };
        for (position, line) in bytes.iter().enumerate() {
            match decode(line, each.get(position).copied().or(one)) {
                Ok(event) => {
                    batch.events.push(event);
                    batch.positions.push(position);
                }
                Err(reject) => batch.rejects.push((
                    position,
                    reject.code,
                    reject.field,
                    reject.value,
                    reject.message,
                )),
            }
        }
        Ok(batch)
    })
}

/// The protobuf message that says the same as a JSON line. Raises `EventError` for a line that is no
/// valid event.
#[pyfunction]
pub(crate) fn encode_protobuf<'py>(
    py: Python<'py>,
    line: &Bound<'py, PyBytes>,
) -> PyResult<Bound<'py, PyBytes>> {
    match event::protobuf::encode(line.as_bytes()) {
        Ok(message) => Ok(PyBytes::new(py, &message)),
        Err(reject) => Err(crate::error::to_py(xfeed_core::Error::new(
            xfeed_core::ErrorKind::Event,
            reject.code,
            reject.message,
            "",
        ))),
    }
}

/// The protobuf schema of events, for those who compile it.
#[pyfunction]
pub(crate) fn protobuf_schema() -> String {
    event::protobuf::schema()
}

/// The schema: `(type, [(field, what it holds, required)])`, the common fields under `""`.
#[pyfunction]
pub(crate) fn event_schema() -> Vec<(&'static str, Vec<FieldRow>)> {
    let describe = |fields: &[schema::FieldSpec]| {
        fields
            .iter()
            .map(|field| (field.name, field.kind.describe(), field.required))
            .collect()
    };
    let common = std::iter::once(("", describe(schema::COMMON)));
    common
        .chain(
            schema::EVENTS
                .iter()
                .map(|spec| (spec.name, describe(spec.fields))),
        )
        .collect()
}

/// The id as the models see it: never 0, which means padding there.
#[pyfunction]
pub(crate) fn model_key(id: u64) -> u64 {
    Id(id).model_key()
}

/// Names of the kinds of posts; the position is the number in columns.
#[pyfunction]
pub(crate) fn post_kinds() -> Vec<&'static str> {
    PostKind::ALL.iter().map(|kind| kind.name()).collect()
}

/// Names of the kinds of media; the position is the number in columns.
#[pyfunction]
pub(crate) fn media_kinds() -> Vec<&'static str> {
    event::MEDIA_KINDS.to_vec()
}

/// The 64-bit id of a string, as the engine sees it. Raises `ValueError` with the reason.
#[pyfunction]
pub(crate) fn id_of_text(text: &str) -> PyResult<u64> {
    Id::from_text(text).map(|id| id.0).map_err(|why| {
        crate::error::to_py(xfeed_core::Error::new(
            xfeed_core::ErrorKind::Event,
            "bad_id",
            format!("the id `{text}` {why}"),
            "ids are integers 0 ..= 2^63 - 1 or strings of 1 to 512 bytes",
        ))
    })
}
