//! The post store, usable alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use xfeed_core::event::{self, Event, Reject};
use xfeed_core::ids::Id;
use xfeed_core::shared::Shared;
use xfeed_core::thunder::intake::{Door, Intake};
use xfeed_core::thunder::{ReadLimits, ReadRequest, StoreSettings};

use crate::convert::slice1;
use crate::detach::{detached, unlocked};
use crate::snapshot::{self, SnapshotFile};
use crate::store_in::{CHUNK, PostColumns, optional_ids};
use crate::store_out::{Report, Tally, found_dict, record_dict};

/// Rows that are applied at once, while readers wait.
const BATCH: usize = 256;

fn door(now_ms: Option<i64>, max_future_ms: u64) -> Door {
    Door {
        now_ms,
        max_future_ms,
    }
}

fn settings(
    retention_ms: u64,
    max_posts_per_timeline: usize,
    max_bytes: u64,
    hidden_authors: Vec<u64>,
) -> StoreSettings {
    StoreSettings {
        retention_ms,
        max_posts_per_timeline,
        max_bytes,
        hidden_authors: hidden_authors.into_iter().map(Id).collect(),
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

    /// Forgets in pieces between which readers get in.
    fn trim_at(&self, now_ms: i64) {
        self.inner.write(|intake| intake.begin_trim(now_ms));
        while self.inner.write(Intake::sweep) {}
        self.inner.write(Intake::end_trim);
    }

    fn trim_if_due(&self, door: Door) {
        if let Some(now_ms) = self.inner.read(|intake| intake.due_trim(door)) {
            self.trim_at(now_ms);
        }
    }

    /// Applies what decoding gave, in batches between which readers get in.
    fn apply(
        &self,
        decoded: &[Result<Event, Reject>],
        first: usize,
        door: Door,
        tally: &mut Tally,
    ) {
        let mut position = first;
        for batch in decoded.chunks(BATCH) {
            self.inner.write(|intake| {
                intake.apply_all(batch, door, |told| {
                    match told {
                        Ok(outcome) => tally.add(position, outcome),
                        Err(reject) => tally.reject(position, reject.clone()),
                    }
                    position += 1;
                });
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
        self.trim_if_due(door);
        tally
    }
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
        let settings = settings(
            retention_ms,
            max_posts_per_timeline,
            max_bytes,
            hidden_authors,
        );
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
        let door = door(now_ms, max_future_ms);
        let mut tally = Tally::default();
        let mut first = 0;
        loop {
            let rows = columns.rows(first)?;
            let len = rows.len();
            detached(py, || {
                rows.check()?;
                let mut batch = Vec::with_capacity(BATCH);
                for start in (0..len).step_by(BATCH) {
                    batch.clear();
                    batch.extend((start..len.min(start + BATCH)).map(|row| rows.record(row)));
                    let mut position = first + start;
                    self.inner.write(|intake| {
                        intake.add_all(&batch, door, |outcome| {
                            tally.add(position, outcome);
                            position += 1;
                        });
                    });
                }
                Ok(())
            })?;
            first += len;
            if len < CHUNK {
                break;
            }
        }
        unlocked(py, || self.trim_if_due(door));
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
        let door = door(now_ms, max_future_ms);
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
        let door = door(now_ms, max_future_ms);
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
        let door = door(now_ms, max_future_ms);
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
        let (found, records) = unlocked(py, || {
            self.inner.read(|intake| {
                let store = intake.store();
                store.newest_records(&ReadRequest {
                    viewer: viewer.map(Id),
                    following: &following,
                    excluded: &excluded,
                    oldest_ms: xfeed_core::clock::before(now_ms, store.settings().retention_ms),
                    newest_ms: now_ms,
                    videos_only,
                    limits,
                    start: seed,
                    expired: is_over.as_ref().map(|is_over| is_over as &dyn Fn() -> bool),
                })
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

    /// Forgets what is older than the retention at `now_ms`.
    fn trim(&self, py: Python<'_>, now_ms: i64) {
        unlocked(py, || self.trim_at(now_ms));
    }

    /// Writes the state to the new file `path`. Reads go on meanwhile, writes wait.
    fn capture(
        &self,
        py: Python<'_>,
        path: PathBuf,
        source: &str,
        offsets: BTreeMap<String, u64>,
    ) -> PyResult<SnapshotFile> {
        detached(py, || {
            self.inner.freeze(|intake| {
                snapshot::create(path, |file| intake.write_snapshot(source, offsets, file))
            })
        })
    }

    /// The store in the snapshot `path`, which was made with the same settings.
    #[staticmethod]
    #[pyo3(signature = (path, *, retention_ms, max_posts_per_timeline, max_bytes, hidden_authors))]
    fn load(
        py: Python<'_>,
        path: PathBuf,
        retention_ms: u64,
        max_posts_per_timeline: usize,
        max_bytes: u64,
        hidden_authors: Vec<u64>,
    ) -> PyResult<Self> {
        let settings = settings(
            retention_ms,
            max_posts_per_timeline,
            max_bytes,
            hidden_authors,
        );
        let (intake, _) = detached(py, || {
            let read = || Intake::read_snapshot(snapshot::open(&path)?, settings);
            read().map_err(|error| snapshot::named(&path, error))
        })?;
        Ok(Self {
            inner: Shared::new(intake),
        })
    }
}
