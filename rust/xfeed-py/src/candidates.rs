//! Candidates as Python sees them.

use std::sync::Arc;

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use parking_lot::RwLock;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use xfeed_core::Error;
use xfeed_core::batch::{self, ActiveLabel, CoreData, PostState, RelatedPost, Relation};
use xfeed_core::event::PostKind;
use xfeed_core::ids::Id;

use crate::convert::slice1;
use crate::error::to_py;

fn kind_number(kind: PostKind) -> u8 {
    PostKind::ALL
        .iter()
        .zip(0..)
        .find(|(known, _)| **known == kind)
        .map_or(0, |(_, number)| number)
}

fn relation_of(name: &str) -> PyResult<Relation> {
    let all = [Relation::Reposted, Relation::Quoted, Relation::Ancestor];
    all.into_iter()
        .find(|relation| relation.name() == name)
        .ok_or_else(|| {
            to_py(Error::config(
                format!("there is no relation `{name}`"),
                "use `reposted`, `quoted` or `ancestor`",
            ))
        })
}

fn deleted_of(state: PostState) -> Option<bool> {
    match state {
        PostState::Live => Some(false),
        PostState::Deleted => Some(true),
        PostState::Unknown => None,
    }
}

/// Candidates as columns; rows never move. Numbers of kinds: original 0, reply 1, repost 2, quote 3.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct CandidateBatch {
    pub(crate) inner: RwLock<batch::CandidateBatch>,
}

impl CandidateBatch {
    fn column<'py, T: numpy::Element + Copy>(
        &self,
        py: Python<'py>,
        of: impl Fn(&batch::CandidateBatch, usize) -> T,
    ) -> Bound<'py, PyArray1<T>> {
        let batch = self.inner.read();
        let values: Vec<T> = (0..batch.len()).map(|row| of(&batch, row)).collect();
        values.to_pyarray(py)
    }

    fn core_column<'py, T: numpy::Element + Copy>(
        &self,
        py: Python<'py>,
        missing: T,
        of: impl Fn(&CoreData) -> T,
    ) -> Bound<'py, PyArray1<T>> {
        self.column(py, |batch, row| {
            batch.core[row].as_ref().map_or(missing, &of)
        })
    }

    fn check_row(&self, row: usize) -> PyResult<()> {
        let rows = self.inner.read().len();
        if row < rows {
            return Ok(());
        }
        Err(PyIndexError::new_err(format!(
            "row {row} of a batch of {rows} rows"
        )))
    }
}

/// A post inside a card, deleted None when the post is not in the store: `(relation, post, author or None, deleted or None)`.
type RelatedRow = (String, u64, Option<u64>, Option<bool>);

#[pymethods]
impl CandidateBatch {
    #[new]
    fn new() -> Self {
        Self {
            inner: RwLock::new(batch::CandidateBatch::default()),
        }
    }

    fn __len__(&self) -> usize {
        self.inner.read().len()
    }

    /// Appends what one source found (uint64), in its order.
    fn push_source(&self, name: &str, posts: PyReadonlyArray1<'_, u64>) -> PyResult<()> {
        let posts: Vec<Id> = slice1(&posts, "posts")?.iter().map(|id| Id(*id)).collect();
        let mut batch = self.inner.write();
        if batch.sources.len() >= 255 {
            return Err(to_py(Error::config(
                "more than 255 sources",
                "merge some of them",
            )));
        }
        batch.push_source(name, &posts);
        Ok(())
    }

    /// Names of the sources; `source` holds positions in this list.
    #[getter]
    fn sources(&self) -> Vec<String> {
        self.inner.read().sources.clone()
    }

    /// Source of each row (uint8).
    #[getter]
    fn source<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        self.column(py, |batch, row| batch.source[row])
    }

    /// Post of each row (uint64).
    #[getter]
    fn post_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.column(py, |batch, row| batch.post_id[row].0)
    }

    /// Post a reader mainly reads: the reposted one of a repost (uint64).
    #[getter]
    fn shown_post_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.column(py, |batch, row| batch.shown_post(row).0)
    }

    /// Whether the row was found in the store.
    #[getter]
    fn has_core<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        self.column(py, |batch, row| batch.core[row].is_some())
    }

    /// Author of each row (uint64); 0 where `has_core` is false.
    #[getter]
    fn author_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.core_column(py, 0, |core| core.author.0)
    }

    /// When each post was made (int64, unix ms); 0 where `has_core` is false.
    #[getter]
    fn created_ms<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.core_column(py, 0, |core| core.created_ms)
    }

    /// Kind of each post (uint8).
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        self.core_column(py, 0, |core| kind_number(core.kind))
    }

    /// Kind of media (uint8): none 0, photo 1, video 2, animation 3, audio 4.
    #[getter]
    fn media_kind<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        self.core_column(py, 0, |core| core.media_kind)
    }

    /// Length of the media (int64, ms); 0 when unknown.
    #[getter]
    fn media_duration_ms<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.core_column(py, 0, |core| i64::from(core.media_duration_ms))
    }

    /// Whether viewer and author follow each other.
    #[getter]
    fn mutual_follow<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        self.core_column(py, false, |core| core.mutual_follow)
    }

    /// In network 1, out of network 0, unknown -1 (int8).
    #[getter]
    fn in_network<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i8>> {
        self.column(py, |batch, row| batch.in_network[row].map_or(-1, i8::from))
    }

    /// Posts inside the card of `row`: `(relation, post, author or None, deleted or None)`.
    fn related(&self, row: usize) -> PyResult<Vec<RelatedRow>> {
        self.check_row(row)?;
        let batch = self.inner.read();
        let core = batch.core[row].as_ref();
        Ok(core.map_or_else(Vec::new, |core| {
            let row = |other: &RelatedPost| {
                let author = other.author.map(|id| id.0);
                (
                    other.relation.name().to_owned(),
                    other.post.0,
                    author,
                    deleted_of(other.state),
                )
            };
            core.related.iter().map(row).collect()
        }))
    }

    /// Sets what is known about `row`, as a hydrator of your own would. Authors in
    /// `protected_authors` show posts to followers only.
    #[pyo3(signature = (row, author, created_ms, *, kind="original", media_kind=0,
        media_duration_ms=0, related=Vec::new(), texts=Vec::new(), mutual_follow=false, protected_authors=Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn set_core(
        &self,
        row: usize,
        author: u64,
        created_ms: i64,
        kind: &str,
        media_kind: u8,
        media_duration_ms: u32,
        related: Vec<RelatedRow>,
        texts: Vec<String>,
        mutual_follow: bool,
        protected_authors: Vec<u64>,
    ) -> PyResult<()> {
        self.check_row(row)?;
        let kind = PostKind::ALL
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(|| {
                to_py(Error::config(
                    format!("there is no kind of post `{kind}`"),
                    "use `original`, `reply`, `repost` or `quote`",
                ))
            })?;
        let is_protected = |id: u64| protected_authors.contains(&id);
        let related = related
            .into_iter()
            .map(|(relation, post, author, deleted)| {
                Ok(RelatedPost {
                    relation: relation_of(&relation)?,
                    post: Id(post),
                    author: author.map(Id),
                    state: match deleted {
                        Some(true) => PostState::Deleted,
                        Some(false) => PostState::Live,
                        None => PostState::Unknown,
                    },
                    protected: author.is_some_and(is_protected),
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let core = CoreData {
            author: Id(author),
            created_ms,
            kind,
            media_kind,
            media_duration_ms,
            related,
            texts: texts.into_iter().map(Arc::from).collect(),
            mutual_follow,
            protected: is_protected(author),
        };
        self.inner.write().core[row] = Some(core);
        Ok(())
    }

    /// Sets whether `row` is in network; None for unknown.
    fn set_in_network(&self, row: usize, in_network: Option<bool>) -> PyResult<()> {
        self.check_row(row)?;
        self.inner.write().in_network[row] = in_network;
        Ok(())
    }

    /// Sets the labels of the post of `row`.
    fn set_labels(&self, row: usize, labels: Vec<String>) -> PyResult<()> {
        self.check_row(row)?;
        let active = |name: String| ActiveLabel {
            name: name.into(),
            on: "post",
        };
        self.inner.write().labels[row] = Some(labels.into_iter().map(active).collect());
        Ok(())
    }

    /// Who made the post a reader mainly reads (the reposted one of a repost), None if unknown.
    fn shown_author(&self, row: usize) -> PyResult<Option<u64>> {
        self.check_row(row)?;
        Ok(self.inner.read().shown_author(row).map(|id| id.0))
    }
}
