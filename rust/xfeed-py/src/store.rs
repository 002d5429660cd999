//! The post store, usable alone.

use std::time::{Duration, Instant};

use hashbrown::HashSet;
use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use xfeed_core::event::{self, Event, PostKind, Reject};
use xfeed_core::ids::Id;
use xfeed_core::rate_limit;
use xfeed_core::shared::Shared;
use xfeed_core::thunder::columns::{Ids, PostRows};
use xfeed_core::thunder::intake::{Door, Intake, Outcome};
use xfeed_core::thunder::{Found, ReadLimits, ReadRequest, Record, StoreSettings};

use crate::convert::slice1;
use crate::detach::{detached, unlocked};

/// Rows that are copied or decoded at once.
const CHUNK: usize = 16_384;

/// Rows that are applied at once, while readers wait.
const BATCH: usize = 256;

/// An optional column of ids: its values, and true where a row has none.
type IdColumn<'py> = (
    PyReadonlyArray1<'py, u64>,
    Option<PyReadonlyArray1<'py, bool>>,
);

/// `(counts by outcome, positions of refused rows, their reasons, what those mean)`.
type Report<'py> = (
    Bound<'py, PyDict>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
);

/// Counts of outcomes, and the rows that were refused.
#[derive(Default)]
struct Tally {
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
    fn add(&mut self, position: usize, outcome: Outcome) {
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

    fn reject(&mut self, position: usize, reject: Reject) {
        self.invalid += 1;
        self.refused.push((position, Refusal::Schema(reject)));
    }

    fn report(self, py: Python<'_>) -> PyResult<Report<'_>> {
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

/// Recent posts by author, newest first. Calls may come from several threads.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct PostStore {
    inner: Shared<Intake>,
}

impl PostStore {
    fn read<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&Intake) -> T + Send) -> T {
        // Waiting for the lock must not hold the interpreter: its holder may be waiting for it.
        unlocked(py, || self.inner.read(work))
    }

    fn write<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Intake) -> T + Send) -> T {
        unlocked(py, || self.inner.write(work))
    }

    /// Applies what decoding gave, in batches between which readers get in.
    fn apply(
        &self,
        decoded: &[Result<Event, Reject>],
        first: usize,
        door: Door,
        tally: &mut Tally,
    ) {
        for (i, batch) in decoded.chunks(BATCH).enumerate() {
            self.inner.write(|intake| {
                for (j, event) in batch.iter().enumerate() {
                    let position = first + i * BATCH + j;
                    match event {
                        Ok(event) => tally.add(position, intake.apply(event, door)),
                        Err(reject) => tally.reject(position, reject.clone()),
                    }
                }
            });
        }
    }

    fn decode_and_apply<'a, M: Send>(
        &self,
        mut messages: impl Iterator<Item = M> + Send + 'a,
        decode: impl Fn(M) -> Result<Event, Reject> + Sync,
        door: Door,
    ) -> Tally {
        let mut tally = Tally::default();
        let mut first = 0;
        loop {
            let decoded: Vec<_> = messages.by_ref().take(CHUNK).map(&decode).collect();
            if decoded.is_empty() {
                break;
            }
            self.apply(&decoded, first, door, &mut tally);
            first += decoded.len();
        }
        self.inner.write(|intake| intake.trim_if_due(door));
        tally
    }
}

fn ids(column: Option<&IdColumn<'_>>, name: &str, from: usize) -> PyResult<Option<Ids>> {
    let Some((values, missing)) = column else {
        return Ok(None);
    };
    let missing = match missing {
        Some(missing) => Some(piece(slice1(missing, name)?, from)),
        None => None,
    };
    Ok(Some(Ids {
        values: piece(slice1(values, name)?, from),
        missing,
    }))
}

/// A copy: another thread may write to the array once the interpreter lock is let go.
fn piece<T: Copy>(column: &[T], from: usize) -> Vec<T> {
    let end = column.len().min(from.saturating_add(CHUNK));
    column.get(from..end).unwrap_or_default().to_vec()
}

fn optional<T: numpy::Element + Copy>(
    column: Option<&PyReadonlyArray1<'_, T>>,
    name: &str,
    from: usize,
) -> PyResult<Option<Vec<T>>> {
    column
        .map(|column| slice1(column, name).map(|column| piece(column, from)))
        .transpose()
}

/// The columns of `insert_many`, as Python gave them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct PostColumns<'py> {
    post_id: PyReadonlyArray1<'py, u64>,
    author_id: PyReadonlyArray1<'py, u64>,
    created_ms: PyReadonlyArray1<'py, i64>,
    kind: Option<PyReadonlyArray1<'py, u8>>,
    media_kind: Option<PyReadonlyArray1<'py, u8>>,
    media_duration_ms: Option<PyReadonlyArray1<'py, u32>>,
    reply_to_id: Option<IdColumn<'py>>,
    reply_to_author_id: Option<IdColumn<'py>>,
    root_id: Option<IdColumn<'py>>,
    root_author_id: Option<IdColumn<'py>>,
    repost_of_id: Option<IdColumn<'py>>,
    repost_of_author_id: Option<IdColumn<'py>>,
    quote_of_id: Option<IdColumn<'py>>,
    quote_of_author_id: Option<IdColumn<'py>>,
}

impl PostColumns<'_> {
    fn rows(&self, from: usize) -> PyResult<PostRows> {
        let ids = |column: &Option<IdColumn<'_>>, name| ids(column.as_ref(), name, from);
        Ok(PostRows {
            post_id: piece(slice1(&self.post_id, "post_id")?, from),
            author_id: piece(slice1(&self.author_id, "author_id")?, from),
            created_ms: piece(slice1(&self.created_ms, "created_ms")?, from),
            kind: optional(self.kind.as_ref(), "kind", from)?,
            media_kind: optional(self.media_kind.as_ref(), "media_kind", from)?,
            media_duration_ms: optional(
                self.media_duration_ms.as_ref(),
                "media_duration_ms",
                from,
            )?,
            reply_to_id: ids(&self.reply_to_id, "reply_to_id")?,
            reply_to_author_id: ids(&self.reply_to_author_id, "reply_to_author_id")?,
            root_id: ids(&self.root_id, "root_id")?,
            root_author_id: ids(&self.root_author_id, "root_author_id")?,
            repost_of_id: ids(&self.repost_of_id, "repost_of_id")?,
            repost_of_author_id: ids(&self.repost_of_author_id, "repost_of_author_id")?,
            quote_of_id: ids(&self.quote_of_id, "quote_of_id")?,
            quote_of_author_id: ids(&self.quote_of_author_id, "quote_of_author_id")?,
        })
    }
}

fn record_dict<'py>(py: Python<'py>, record: &Record) -> PyResult<Bound<'py, PyDict>> {
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

fn found_dict<'py>(
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

#[pymethods]
impl PostStore {
    #[new]
    #[pyo3(signature = (*, retention_ms, max_posts_per_timeline, max_bytes, hidden_authors))]
    fn new(
        retention_ms: u64,
        max_posts_per_timeline: usize,
        max_bytes: u64,
        hidden_authors: Vec<u64>,
    ) -> Self {
        let settings = StoreSettings {
            retention_ms,
            max_posts_per_timeline,
            max_bytes,
            hidden_authors: hidden_authors.into_iter().map(Id).collect(),
        };
        Self {
            inner: Shared::new(Intake::new(settings)),
        }
    }

    /// Number of posts that can be shown.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let posts = self.read(py, |intake| intake.store().counts().posts);
        Ok(usize::try_from(posts)?)
    }

    /// Adds posts given as columns.
    #[pyo3(signature = (columns, *, now_ms, max_future_ms))]
    fn insert_many<'py>(
        &self,
        py: Python<'py>,
        columns: PostColumns<'py>,
        now_ms: Option<i64>,
        max_future_ms: u64,
    ) -> PyResult<Report<'py>> {
        let door = Door {
            now_ms,
            max_future_ms,
        };
        let mut tally = Tally::default();
        let mut first = 0;
        loop {
            let rows = columns.rows(first)?;
            let len = rows.len();
            detached(py, || {
                rows.check()?;
                let mut start = 0;
                while start < len {
                    let end = len.min(start + BATCH);
                    self.inner.write(|intake| {
                        for row in start..end {
                            let outcome = match rows.record(row) {
                                Ok(record) => intake.add(&record, door),
                                Err(outcome) => outcome,
                            };
                            tally.add(first + row, outcome);
                        }
                    });
                    start = end;
                }
                Ok(())
            })?;
            first += len;
            if len < CHUNK {
                break;
            }
        }
        self.write(py, |intake| intake.trim_if_due(door));
        tally.report(py)
    }

    /// Deletes posts, or takes their deletes back.
    fn set_deleted(
        &self,
        py: Python<'_>,
        post_id: PyReadonlyArray1<'_, u64>,
        at_ms: PyReadonlyArray1<'_, i64>,
        deleted: bool,
    ) -> PyResult<()> {
        let posts = slice1(&post_id, "post_id")?.to_vec();
        let times = slice1(&at_ms, "at_ms")?.to_vec();
        detached(py, || {
            if posts.len() != times.len() {
                return Err(xfeed_core::Error::shape(
                    format!(
                        "`at_ms` has {} entries, `post_id` has {}",
                        times.len(),
                        posts.len()
                    ),
                    "give one entry per post",
                ));
            }
            for (posts, times) in posts.chunks(BATCH).zip(times.chunks(BATCH)) {
                self.inner.write(|intake| {
                    for (post, at_ms) in posts.iter().zip(times) {
                        intake.set_deleted(Id(*post), *at_ms, deleted);
                    }
                });
            }
            Ok(())
        })
    }

    /// Applies events given as JSON lines.
    #[pyo3(signature = (lines, *, now_ms, max_future_ms))]
    fn insert_json<'py>(
        &self,
        py: Python<'py>,
        lines: Vec<Bound<'py, PyBytes>>,
        now_ms: Option<i64>,
        max_future_ms: u64,
    ) -> PyResult<Report<'py>> {
        let door = Door {
            now_ms,
            max_future_ms,
        };
        let lines: Vec<&[u8]> = lines.iter().map(PyBytesMethods::as_bytes).collect();
        let decode = |line: &[u8]| event::decode(line, None);
        let tally = unlocked(py, || {
            self.decode_and_apply(lines.into_iter(), decode, door)
        });
        tally.report(py)
    }

    /// Applies events given as protobuf messages.
    #[pyo3(signature = (messages, *, now_ms, max_future_ms))]
    fn insert_protobuf<'py>(
        &self,
        py: Python<'py>,
        messages: Vec<Bound<'py, PyBytes>>,
        now_ms: Option<i64>,
        max_future_ms: u64,
    ) -> PyResult<Report<'py>> {
        let door = Door {
            now_ms,
            max_future_ms,
        };
        let messages: Vec<&[u8]> = messages.iter().map(PyBytesMethods::as_bytes).collect();
        let decode = |message: &[u8]| event::protobuf::decode(message, None);
        let tally = unlocked(py, || {
            self.decode_and_apply(messages.into_iter(), decode, door)
        });
        tally.report(py)
    }

    /// Applies events given as one buffer of protobuf messages, each after its length.
    #[pyo3(signature = (buffer, *, now_ms, max_future_ms))]
    fn insert_delimited<'py>(
        &self,
        py: Python<'py>,
        buffer: &Bound<'py, PyBytes>,
        now_ms: Option<i64>,
        max_future_ms: u64,
    ) -> PyResult<Report<'py>> {
        let door = Door {
            now_ms,
            max_future_ms,
        };
        let messages = event::protobuf::Delimited::new(buffer.as_bytes());
        let decode = |message: Result<&[u8], Reject>| {
            message.and_then(|message| event::protobuf::decode(message, None))
        };
        let tally = unlocked(py, || self.decode_and_apply(messages, decode, door));
        tally.report(py)
    }

    /// The newest posts of the accounts in `following`.
    #[pyo3(signature = (following, *, viewer, excluded, now_ms, videos_only, max_results,
        max_originals_per_author, max_secondary_per_author, max_videos_per_author,
        max_scan_per_author, deadline_ms, seed))]
    #[expect(
        clippy::too_many_arguments,
        reason = "all of them are named by the caller"
    )]
    fn newest<'py>(
        &self,
        py: Python<'py>,
        following: PyReadonlyArray1<'_, u64>,
        viewer: Option<u64>,
        excluded: Option<PyReadonlyArray1<'_, u64>>,
        now_ms: i64,
        videos_only: bool,
        max_results: usize,
        max_originals_per_author: usize,
        max_secondary_per_author: usize,
        max_videos_per_author: usize,
        max_scan_per_author: usize,
        deadline_ms: Option<u64>,
        seed: u64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let following: Vec<Id> = slice1(&following, "following")?
            .iter()
            .map(|id| Id(*id))
            .collect();
        let excluded = optional_ids(excluded.as_ref())?;
        let limits = ReadLimits {
            max_results,
            max_originals_per_author,
            max_secondary_per_author,
            max_videos_per_author,
            max_scan_per_author,
        };
        // Waiting for the lock counts, too.
        let start = Instant::now();
        let is_over = deadline_ms.map(|ms| move || start.elapsed() >= Duration::from_millis(ms));
        let (records, found) = unlocked(py, || {
            let excluded: HashSet<Id> = excluded.into_iter().collect();
            self.inner.read(|intake| {
                let store = intake.store();
                let found = store.newest(&ReadRequest {
                    viewer: viewer.map(Id),
                    following: &following,
                    excluded: &excluded,
                    oldest_ms: xfeed_core::clock::before(now_ms, store.settings().retention_ms),
                    newest_ms: now_ms,
                    videos_only,
                    limits,
                    start: seed,
                    expired: is_over.as_ref().map(|is_over| is_over as &dyn Fn() -> bool),
                });
                let records: Vec<Record> =
                    found.posts.iter().filter_map(|id| store.get(*id)).collect();
                (records, found)
            })
        });
        found_dict(py, &records, &found)
    }

    /// One live post, by the names of its columns; None when it is not there.
    fn get<'py>(&self, py: Python<'py>, post_id: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        let record = self.read(py, |intake| intake.store().get(Id(post_id)));
        record.map(|record| record_dict(py, &record)).transpose()
    }

    /// Every live post (uint64), by id.
    fn post_ids<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        let ids: Vec<u64> = self.read(py, |intake| {
            let live = intake.store().live();
            live.iter().map(|record| record.id.0).collect()
        });
        ids.to_pyarray(py)
    }

    /// Whether the post is known to be deleted.
    fn was_deleted(&self, py: Python<'_>, post_id: u64) -> bool {
        self.read(py, |intake| intake.store().was_deleted(Id(post_id)))
    }

    /// How much there is, and what went.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.read(py, |intake| intake.store().counts());
        let dict = PyDict::new(py);
        dict.set_item("posts", counts.posts)?;
        dict.set_item("deleted", counts.deleted)?;
        dict.set_item("tombstones", counts.tombstones)?;
        dict.set_item("authors", counts.authors)?;
        dict.set_item("conflicts", counts.conflicts)?;
        dict.set_item("over_cap", counts.over_cap)?;
        dict.set_item("over_budget", counts.over_budget)?;
        dict.set_item("trimmed", counts.trimmed)?;
        Ok(dict)
    }

    /// Bytes that the store has allocated.
    #[getter]
    fn used_bytes(&self, py: Python<'_>) -> u64 {
        self.read(py, |intake| intake.store().used_bytes())
    }

    /// Time of the newest post that was taken, in unix milliseconds; 0 when there was none.
    #[getter]
    fn newest_ms(&self, py: Python<'_>) -> i64 {
        self.read(py, Intake::newest_ms)
    }

    /// Hash of the whole state, in hexadecimal: equal states have equal hashes.
    fn digest(&self, py: Python<'_>) -> String {
        unlocked(py, || self.inner.freeze(|intake| intake.store().digest()))
    }

    /// Forgets everything.
    fn clear(&self, py: Python<'_>) {
        self.write(py, Intake::clear);
    }

    /// Forgets what is older than the retention at `now_ms`; returns how many posts went.
    fn trim(&self, py: Python<'_>, now_ms: i64) -> usize {
        self.write(py, |intake| intake.trim(now_ms))
    }
}

fn optional_ids(ids: Option<&PyReadonlyArray1<'_, u64>>) -> PyResult<Vec<Id>> {
    match ids {
        None => Ok(Vec::new()),
        Some(ids) => Ok(slice1(ids, "excluded")?.iter().map(|id| Id(*id)).collect()),
    }
}

/// So many requests a second from each client.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct RateLimiter {
    inner: Mutex<rate_limit::RateLimiter>,
}

#[pymethods]
impl RateLimiter {
    #[new]
    #[pyo3(signature = (*, per_second, max_clients))]
    fn new(per_second: u64, max_clients: usize) -> Self {
        Self {
            inner: Mutex::new(rate_limit::RateLimiter::new(per_second, max_clients)),
        }
    }

    /// Counts one request of `client` at `now_ns` of a clock that never goes back; None when it
    /// passes, else the nanoseconds after which it would.
    fn check(&self, client: &str, now_ns: u64) -> Option<u64> {
        self.inner.lock().check(client, now_ns).err()
    }
}
