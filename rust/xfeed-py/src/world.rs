//! The world: everything folded from the events.

use std::collections::BTreeMap;
use std::path::PathBuf;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use xfeed_core::Error;
use xfeed_core::action::ACTIONS;
use xfeed_core::batch::PostState;
use xfeed_core::ids::Id;
use xfeed_core::shared::Shared;
use xfeed_core::thunder::{ReadLimits, StoreSettings};
use xfeed_core::world::{self, InteractionColumns, PostColumns, WorldSettings};

use crate::candidates::CandidateBatch;
use crate::convert::slice1;
use crate::detach::{detached, unlocked};
use crate::event::EventBatch;
use crate::query::Query;
use crate::snapshot::{self, SnapshotFile};

/// Most events between two moments in which waiting readers get in: well below a millisecond.
const MAX_BATCH: usize = 256;

/// Posts, people, histories: the fold of a log. Calls may come from several threads; a read waits
/// for a few hundred events at most, and goes on while a snapshot is written.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct World {
    inner: Shared<world::World>,
}

impl World {
    fn read<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&world::World) -> T + Send) -> T {
        // Waiting for the lock must not hold the interpreter: its holder may be waiting for it.
        unlocked(py, || self.inner.read(work))
    }
}

fn settings(
    retention_ms: u64,
    max_history_len: usize,
    max_posts_per_timeline: Option<usize>,
    max_bytes: Option<u64>,
    hidden_authors: Option<Vec<u64>>,
) -> WorldSettings {
    let hidden_authors = hidden_authors.unwrap_or_default();
    WorldSettings {
        max_history_len,
        posts: StoreSettings {
            retention_ms,
            max_posts_per_timeline: max_posts_per_timeline.unwrap_or(usize::MAX),
            max_bytes: max_bytes.unwrap_or(u64::MAX),
            hidden_authors: hidden_authors.into_iter().map(Id).collect(),
        },
    }
}

type Columns<'py> = (Bound<'py, PyDict>, Bound<'py, PyDict>);

fn post_dict<'py>(py: Python<'py>, posts: &PostColumns) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("post_id", posts.post_id.to_pyarray(py))?;
    dict.set_item("author_id", posts.author_id.to_pyarray(py))?;
    dict.set_item("post_key", posts.post_key.to_pyarray(py))?;
    dict.set_item("author_key", posts.author_key.to_pyarray(py))?;
    dict.set_item("created_ms", posts.created_ms.to_pyarray(py))?;
    dict.set_item("is_original", posts.is_original.to_pyarray(py))?;
    dict.set_item("media_kind", posts.media_kind.to_pyarray(py))?;
    dict.set_item("duration_ms", posts.duration_ms.to_pyarray(py))?;
    dict.set_item("language_key", posts.language_key.to_pyarray(py))?;
    let n = posts.post_id.len();
    let width = posts
        .topic_keys
        .len()
        .checked_div(n)
        .unwrap_or(PostColumns::TOPICS);
    dict.set_item(
        "topic_keys",
        posts.topic_keys.to_pyarray(py).reshape([n, width])?,
    )?;
    Ok(dict)
}

fn interaction_dict<'py>(
    py: Python<'py>,
    rows: &InteractionColumns,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("viewer_key", rows.viewer_key.to_pyarray(py))?;
    dict.set_item("post_row", rows.post_row.to_pyarray(py))?;
    dict.set_item("at_ms", rows.at_ms.to_pyarray(py))?;
    dict.set_item("surface", rows.surface.to_pyarray(py))?;
    dict.set_item("actions", rows.actions.to_pyarray(py))?;
    dict.set_item("dwell_secs", rows.dwell_secs.to_pyarray(py))?;
    dict.set_item("acted_ms", rows.acted_ms.to_pyarray(py))?;
    dict.set_item("is_impression", rows.is_impression.to_pyarray(py))?;
    Ok(dict)
}

#[pymethods]
impl World {
    #[new]
    #[pyo3(signature = (*, retention_ms, max_history_len, max_posts_per_timeline=None,
        max_bytes=None, hidden_authors=None))]
    fn new(
        retention_ms: u64,
        max_history_len: usize,
        max_posts_per_timeline: Option<usize>,
        max_bytes: Option<u64>,
        hidden_authors: Option<Vec<u64>>,
    ) -> Self {
        let settings = settings(
            retention_ms,
            max_history_len,
            max_posts_per_timeline,
            max_bytes,
            hidden_authors,
        );
        Self {
            inner: Shared::new(world::World::new(settings)),
        }
    }

    /// The state of a snapshot that was made with the same settings.
    #[staticmethod]
    #[pyo3(signature = (path, *, retention_ms, max_history_len, max_posts_per_timeline=None,
        max_bytes=None, hidden_authors=None))]
    fn load(
        py: Python<'_>,
        path: PathBuf,
        retention_ms: u64,
        max_history_len: usize,
        max_posts_per_timeline: Option<usize>,
        max_bytes: Option<u64>,
        hidden_authors: Option<Vec<u64>>,
    ) -> PyResult<Self> {
        let settings = settings(
            retention_ms,
            max_history_len,
            max_posts_per_timeline,
            max_bytes,
            hidden_authors,
        );
        let (world, _) = detached(py, || snapshot::read(&path, Some(&settings)))?;
        Ok(Self {
            inner: Shared::new(world),
        })
    }

    /// Writes the state to the new file `path`. Reads go on meanwhile, events wait.
    fn capture(
        &self,
        py: Python<'_>,
        path: PathBuf,
        source: &str,
        offsets: BTreeMap<String, u64>,
    ) -> PyResult<SnapshotFile> {
        detached(py, || {
            self.inner
                .freeze(|world| snapshot::write(world, path, source, offsets))
        })
    }

    /// Applies the events of `batch` whose entry in `keep` is true (all when None).
    #[pyo3(signature = (batch, keep=None))]
    fn apply(&self, py: Python<'_>, batch: &EventBatch, keep: Option<Vec<bool>>) -> PyResult<()> {
        detached(py, || {
            let n = batch.events.len();
            if let Some(keep) = &keep
                && keep.len() != n
            {
                let message = format!("`keep` has {} entries for {n} events", keep.len());
                return Err(Error::shape(message, "one entry per accepted event"));
            }
            let is_kept = |i: usize| keep.as_ref().is_none_or(|keep| keep[i]);
            let events = batch.events.iter().enumerate();
            let kept = events.filter(|(i, _)| is_kept(*i)).map(|(_, event)| event);
            self.inner
                .write_batches(kept, MAX_BATCH, world::World::apply);
            Ok(())
        })
    }

    /// Hash of the whole state, in hexadecimal: equal states have equal hashes.
    fn digest(&self, py: Python<'_>) -> String {
        unlocked(py, || self.inner.write(world::World::digest))
    }

    /// Time of the latest event, in unix milliseconds; 0 when there is none.
    #[getter]
    fn last_ms(&self, py: Python<'_>) -> i64 {
        self.read(py, world::World::last_ms)
    }

    /// Changes whenever a post appears, disappears or is edited.
    #[getter]
    fn generation(&self, py: Python<'_>) -> u64 {
        self.read(py, world::World::generation)
    }

    /// The generation now, and the posts (uint64, by id) that appeared, disappeared or were edited
    /// after `generation`; None when that is so long ago that they are no longer known.
    fn changed_since<'py>(
        &self,
        py: Python<'py>,
        generation: u64,
    ) -> (u64, Option<Bound<'py, PyArray1<u64>>>) {
        let (now, changed) = self.read(py, |world| {
            (world.generation(), world.changed_since(generation))
        });
        let ids = |posts: Vec<Id>| posts.iter().map(|post| post.0).collect::<Vec<u64>>();
        (now, changed.map(|posts| ids(posts).to_pyarray(py)))
    }

    /// How much there is of everything.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.read(py, world::World::counts);
        let dict = PyDict::new(py);
        dict.set_item("events", counts.events)?;
        dict.set_item("posts", counts.posts)?;
        dict.set_item("conflicting_posts", counts.conflicting_posts)?;
        dict.set_item("follows", counts.follows)?;
        dict.set_item("blocks", counts.blocks)?;
        dict.set_item("mutes", counts.mutes)?;
        dict.set_item("profiles", counts.profiles)?;
        dict.set_item("history_rows", counts.history_rows)?;
        Ok(dict)
    }

    /// The id as its sender wrote it.
    fn spell(&self, py: Python<'_>, id: u64) -> String {
        self.read(py, |world| world.spell(Id(id)))
    }

    /// Adds whom the viewer follows and how many follow the viewer.
    fn hydrate_following(&self, py: Python<'_>, query: &Query) {
        self.read(py, |world| {
            world.hydrate_following(&mut query.inner.write());
        });
    }

    /// Adds blocks, mutes and muted words.
    fn hydrate_safety(&self, py: Python<'_>, query: &Query) {
        self.read(py, |world| world.hydrate_safety(&mut query.inner.write()));
    }

    /// Adds which posts the viewer has seen.
    fn hydrate_seen(&self, py: Python<'_>, query: &Query) {
        self.read(py, |world| world.hydrate_seen(&mut query.inner.write()));
    }

    /// Adds everything the filters need to know about each post.
    fn hydrate_core(&self, py: Python<'_>, query: &Query, batch: &CandidateBatch) {
        self.read(py, |world| {
            world.hydrate_core(&query.inner.read(), &mut batch.inner.write());
        });
    }

    /// Adds whether each author is followed.
    fn hydrate_in_network(&self, py: Python<'_>, query: &Query, batch: &CandidateBatch) {
        self.read(py, |_| {
            world::World::hydrate_in_network(&query.inner.read(), &mut batch.inner.write());
        });
    }

    /// Adds the labels that hold at the query's time.
    fn hydrate_labels(&self, py: Python<'_>, query: &Query, batch: &CandidateBatch) {
        self.read(py, |world| {
            world.hydrate_labels(&query.inner.read(), &mut batch.inner.write());
        });
    }

    /// The newest posts of the accounts the viewer follows (uint64), newest first, without those
    /// known to be seen.
    #[pyo3(signature = (query, *, oldest_ms, max_results, max_originals_per_author,
        max_secondary_per_author, max_scan_per_author=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn in_network<'py>(
        &self,
        py: Python<'py>,
        query: &Query,
        oldest_ms: i64,
        max_results: usize,
        max_originals_per_author: usize,
        max_secondary_per_author: usize,
        max_scan_per_author: Option<usize>,
    ) -> Bound<'py, PyArray1<u64>> {
        let limits = ReadLimits {
            max_results,
            max_originals_per_author,
            max_secondary_per_author,
            max_videos_per_author: 0,
            max_scan_per_author: max_scan_per_author.unwrap_or(usize::MAX),
        };
        let ids: Vec<u64> = self.read(py, |world| {
            let found = world.in_network(&query.inner.read(), oldest_ms, limits);
            found.into_iter().map(|id| id.0).collect()
        });
        ids.to_pyarray(py)
    }

    /// The posts with most engagements (uint64), best first, without those known to be seen.
    #[pyo3(signature = (query, *, oldest_ms, max_results))]
    fn popular<'py>(
        &self,
        py: Python<'py>,
        query: &Query,
        oldest_ms: i64,
        max_results: usize,
    ) -> Bound<'py, PyArray1<u64>> {
        let ids: Vec<u64> = self.read(py, |world| {
            let found = world.popular(&query.inner.read(), oldest_ms, max_results);
            found.into_iter().map(|id| id.0).collect()
        });
        ids.to_pyarray(py)
    }

    /// Positive actions on each post, each viewer counted once per action (int64).
    fn engagements<'py>(
        &self,
        py: Python<'py>,
        posts: PyReadonlyArray1<'_, u64>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let posts = slice1(&posts, "posts")?;
        let counts: Vec<i64> = self.read(py, |world| {
            let of = |id: &u64| world.post_counts(Id(*id)).engagements();
            posts
                .iter()
                .map(|id| i64::try_from(of(id)).unwrap_or(i64::MAX))
                .collect()
        });
        Ok(counts.to_pyarray(py))
    }

    /// Impressions and, by action, viewers of one post.
    fn post_counts<'py>(&self, py: Python<'py>, post: u64) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.read(py, |world| world.post_counts(Id(post)));
        let dict = PyDict::new(py);
        dict.set_item("impressions", counts.impressions)?;
        for (action, viewers) in ACTIONS.iter().zip(counts.viewers) {
            if viewers > 0 {
                dict.set_item(action.name, viewers)?;
            }
        }
        Ok(dict)
    }

    /// Text, language and topics of a post, after its edits: `(text, language, topics)`.
    fn content(&self, py: Python<'_>, post: u64) -> (Option<String>, Option<String>, Vec<String>) {
        self.read(py, |world| {
            let (language, topics) = world.tags(Id(post));
            (
                world.text(Id(post)).map(|text| text.to_string()),
                language,
                topics,
            )
        })
    }

    /// Handle of a person, if they have one.
    fn handle(&self, py: Python<'_>, user: u64) -> Option<String> {
        self.read(py, |world| world.handle(Id(user)))
    }

    /// `live`, `deleted` or `unknown`.
    fn post_state(&self, py: Python<'_>, post: u64) -> &'static str {
        match self.read(py, |world| world.post_state(Id(post))) {
            PostState::Live => "live",
            PostState::Deleted => "deleted",
            PostState::Unknown => "unknown",
        }
    }

    /// When a live post was made, in unix milliseconds.
    fn created_ms(&self, py: Python<'_>, post: u64) -> Option<i64> {
        self.read(py, |world| world.created_ms(Id(post)))
    }

    /// Every live post as columns, by id.
    fn live_posts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        post_dict(py, &self.read(py, world::World::live_posts))
    }

    /// Those of the given posts (uint64) that are live and neither replies nor reposts, as columns.
    fn live_originals<'py>(
        &self,
        py: Python<'py>,
        posts: PyReadonlyArray1<'_, u64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let ids: Vec<Id> = slice1(&posts, "posts")?.iter().map(|id| Id(*id)).collect();
        post_dict(py, &self.read(py, |world| world.live_originals(&ids)))
    }

    /// The given posts (uint64) as columns, in the given order.
    fn posts_of<'py>(
        &self,
        py: Python<'py>,
        posts: PyReadonlyArray1<'_, u64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let ids: Vec<Id> = slice1(&posts, "posts")?.iter().map(|id| Id(*id)).collect();
        post_dict(py, &self.read(py, |world| world.posts_of(&ids)))
    }

    /// The newest `max_rows` rows of a viewer's history up to `now_ms`, oldest first, with the posts
    /// they point to: `(posts, rows)`.
    fn history<'py>(
        &self,
        py: Python<'py>,
        viewer: u64,
        now_ms: i64,
        max_rows: usize,
    ) -> PyResult<Columns<'py>> {
        let (posts, rows) = self.read(py, |world| world.history(Id(viewer), now_ms, max_rows));
        Ok((post_dict(py, &posts)?, interaction_dict(py, &rows)?))
    }

    /// Every row of every viewer with the posts they point to: `(posts, rows)`.
    fn interactions<'py>(&self, py: Python<'py>) -> PyResult<Columns<'py>> {
        let (posts, rows) = self.read(py, world::World::interactions);
        Ok((post_dict(py, &posts)?, interaction_dict(py, &rows)?))
    }
}
