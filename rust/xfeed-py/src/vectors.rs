//! Exact search among vectors.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use numpy::{
    IntoPyArray as _, PyArray1, PyArray2, PyArrayMethods as _, PyReadonlyArray1, PyReadonlyArray2,
};
use pyo3::prelude::*;
use xfeed_core::ids::Id;
use xfeed_core::shared::Shared;
use xfeed_core::vectors::{self, Dtype, Entry, Found, Search};
use xfeed_core::{Error, Result};

use crate::convert::{slice1, slice2};
use crate::detach::{detached, unlocked};
use crate::error::to_py;

/// Most posts that change between two moments in which waiting searches get in.
const BATCH: usize = 256;

/// Most hits of one call: 3 GB.
const MAX_HITS: usize = 1 << 28;

/// Vectors of posts. Searches run side by side; a change waits for those that run, and searches
/// wait for at most 256 rows of a change, or for all of an erased author.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct VectorIndex {
    width: usize,
    dtype: Dtype,
    inner: Shared<vectors::VectorIndex>,
}

/// Ids `(B, k)`, scores `(B, k)` and how many there are of each query `(B,)`.
type Answer<'py> = (
    Bound<'py, PyArray2<u64>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray1<i64>>,
);

impl VectorIndex {
    fn of(index: vectors::VectorIndex) -> Self {
        Self {
            width: index.width(),
            dtype: index.dtype(),
            inner: Shared::new(index),
        }
    }

    fn remove(&self, posts: Vec<Id>) -> usize {
        let mut removed = 0;
        self.inner.write_batches(posts, BATCH, |index, post| {
            removed += usize::from(index.remove(post));
        });
        removed
    }
}

fn check_width(width: usize, expected: usize, name: &str) -> PyResult<()> {
    if width == expected {
        return Ok(());
    }
    Err(to_py(Error::shape(
        format!("`{name}` are {width} wide, the index holds vectors of {expected}"),
        "use vectors of the model that filled the index",
    )))
}

fn check_len(len: usize, expected: usize, name: &str) -> PyResult<()> {
    if len == expected {
        return Ok(());
    }
    Err(to_py(Error::shape(
        format!("`{name}` has {len} entries, {expected} are needed"),
        "pass one entry for each vector",
    )))
}

fn check_hits(n_queries: usize, k: usize) -> Result<()> {
    if n_queries.checked_mul(k).is_some_and(|n| n <= MAX_HITS) {
        return Ok(());
    }
    Err(Error::shape(
        format!("`{k}` posts for each of {n_queries} queries, {MAX_HITS} in all are allowed"),
        "ask for fewer posts, or for some of the queries at a time",
    ))
}

fn answer<'py>(py: Python<'py>, found: &[Found], k: usize) -> PyResult<Answer<'py>> {
    let shape = [found.len(), k];
    let mut ids = vec![0; found.len() * k];
    let mut scores = vec![f32::NEG_INFINITY; found.len() * k];
    if k > 0 {
        let rows = ids.chunks_exact_mut(k).zip(scores.chunks_exact_mut(k));
        for (found, (ids, scores)) in found.iter().zip(rows) {
            for ((score, id), (to_id, to_score)) in found.iter().zip(ids.iter_mut().zip(scores)) {
                (*to_id, *to_score) = (*id, *score);
            }
        }
    }
    let counts = found.iter().map(|found| i64::try_from(found.len()));
    let counts: std::result::Result<Vec<i64>, _> = counts.collect();
    Ok((
        ids.into_pyarray(py).reshape(shape)?,
        scores.into_pyarray(py).reshape(shape)?,
        counts?.into_pyarray(py),
    ))
}

fn named(path: &Path, error: Error) -> Error {
    let message = format!("`{}`: {}", path.display(), error.message);
    Error { message, ..error }
}

#[pymethods]
impl VectorIndex {
    #[new]
    fn new(width: usize, dtype: &str) -> PyResult<Self> {
        let made = Dtype::from_name(dtype).and_then(|d| vectors::VectorIndex::new(width, d));
        made.map(Self::of).map_err(to_py)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        unlocked(py, || self.inner.read(vectors::VectorIndex::len))
    }

    /// Numbers of one vector.
    #[getter]
    fn width(&self) -> usize {
        self.width
    }

    /// `float32`, `bfloat16` or `int8`.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.dtype.name()
    }

    /// Bytes that are allocated.
    #[getter]
    fn used_bytes(&self, py: Python<'_>) -> usize {
        unlocked(py, || self.inner.read(vectors::VectorIndex::used_bytes))
    }

    /// Adds posts or replaces them; returns how many are new. All of them or, with an error, none.
    fn insert(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u64>,
        vectors: PyReadonlyArray2<'_, f32>,
        created_ms: PyReadonlyArray1<'_, i64>,
        author_id: PyReadonlyArray1<'_, u64>,
        kinds: PyReadonlyArray1<'_, u8>,
    ) -> PyResult<usize> {
        let (ids, (numbers, width)) = (slice1(&ids, "ids")?, slice2(&vectors, "vectors")?);
        let (created_ms, authors) = (
            slice1(&created_ms, "created_ms")?,
            slice1(&author_id, "author_id")?,
        );
        let kinds = slice1(&kinds, "kinds")?;
        check_width(width, self.width, "vectors")?;
        check_len(numbers.len() / width.max(1), ids.len(), "vectors")?;
        check_len(created_ms.len(), ids.len(), "created_ms")?;
        check_len(authors.len(), ids.len(), "author_id")?;
        check_len(kinds.len(), ids.len(), "kinds")?;
        let columns = ids.iter().zip(authors).zip(created_ms.iter().zip(kinds));
        let entries = columns.map(|((id, author), (created_ms, kind))| Entry {
            id: Id(*id),
            author: Id(*author),
            created_ms: *created_ms,
            kind: *kind,
        });
        let entries: Vec<Entry> = entries.collect();
        detached(py, || {
            let rows = || entries.iter().zip(numbers.chunks_exact(width));
            self.inner
                .read(|index| rows().try_for_each(|(entry, vector)| index.check(entry, vector)))?;
            let mut n_new = Ok(0);
            self.inner
                .write_batches(rows(), BATCH, |index, (entry, vector)| {
                    if let Ok(n) = n_new {
                        n_new = index
                            .insert(entry, vector)
                            .map(|is_new| n + usize::from(is_new));
                    }
                });
            n_new
        })
    }

    /// Removes posts; returns how many were there.
    fn delete(&self, py: Python<'_>, ids: PyReadonlyArray1<'_, u64>) -> PyResult<usize> {
        let posts: Vec<Id> = slice1(&ids, "ids")?.iter().map(|id| Id(*id)).collect();
        Ok(unlocked(py, || self.remove(posts)))
    }

    /// Removes all posts of an author in one piece; returns how many there were.
    fn erase_author(&self, py: Python<'_>, author: u64) -> usize {
        unlocked(py, || {
            self.inner.write(|index| {
                let posts = index.posts_by(Id(author));
                posts.iter().filter(|post| index.remove(**post)).count()
            })
        })
    }

    /// Removes the posts made before `oldest_ms`; returns how many there were.
    fn delete_older(&self, py: Python<'_>, oldest_ms: i64) -> usize {
        unlocked(py, || {
            let old = self.inner.read(|index| index.older_than(oldest_ms));
            self.remove(old)
        })
    }

    /// Whether the post is in it.
    fn __contains__(&self, py: Python<'_>, post: u64) -> bool {
        unlocked(py, || self.inner.read(|index| index.contains(Id(post))))
    }

    /// Every post (uint64), by id.
    fn ids<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        let ids = unlocked(py, || self.inner.read(vectors::VectorIndex::ids));
        let ids: Vec<u64> = ids.into_iter().map(|id| id.0).collect();
        ids.into_pyarray(py)
    }

    /// Author, time, kind and vector of a post as they are stored; None when it is not there.
    fn get<'py>(
        &self,
        py: Python<'py>,
        post: u64,
    ) -> Option<(u64, i64, u8, Bound<'py, PyArray1<f32>>)> {
        let found = unlocked(py, || self.inner.read(|index| index.get(Id(post))));
        found.map(|(entry, vector)| {
            let vector = vector.into_pyarray(py);
            (entry.author.0, entry.created_ms, entry.kind, vector)
        })
    }

    /// The `k` posts with the largest dot products for each of B queries, best first.
    #[pyo3(signature = (queries, k, *, since_ms, until_ms, exclude_authors, kinds, threads))]
    #[expect(
        clippy::too_many_arguments,
        reason = "all of them are named by the caller"
    )]
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'_, f32>,
        k: usize,
        since_ms: PyReadonlyArray1<'_, i64>,
        until_ms: PyReadonlyArray1<'_, i64>,
        exclude_authors: Vec<PyReadonlyArray1<'_, u64>>,
        kinds: PyReadonlyArray1<'_, u64>,
        threads: usize,
    ) -> PyResult<Answer<'py>> {
        let (numbers, width) = slice2(&queries, "queries")?;
        check_width(width, self.width, "queries")?;
        let n_queries = numbers.len() / width.max(1);
        let (since, until) = (
            slice1(&since_ms, "since_ms")?,
            slice1(&until_ms, "until_ms")?,
        );
        check_len(since.len(), n_queries, "since_ms")?;
        check_len(until.len(), n_queries, "until_ms")?;
        check_len(exclude_authors.len(), n_queries, "exclude_authors")?;
        let kinds = slice1(&kinds, "kinds")?;
        let times: Vec<(i64, i64)> = since.iter().copied().zip(until.iter().copied()).collect();
        let lists = exclude_authors.iter();
        let excluded: PyResult<Vec<Vec<u64>>> = lists
            .map(|list| Ok(slice1(list, "exclude_authors")?.to_vec()))
            .collect();
        let mut excluded = excluded?;
        let (found, k) = detached(py, || {
            for list in &mut excluded {
                list.sort_unstable();
            }
            self.inner.read(|index| {
                check_hits(n_queries, k.min(index.len()))?;
                let found = index.search(&Search {
                    vectors: numbers,
                    k,
                    times: &times,
                    excluded: &excluded,
                    kinds,
                    threads,
                })?;
                Ok((found, k.min(index.len())))
            })
        })?;
        answer(py, &found, k)
    }

    /// Writes everything to the new file `path` and forces it to the disk.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let write = || -> Result<()> {
            let file = File::options().write(true).create_new(true).open(&path)?;
            let mut out = BufWriter::with_capacity(1 << 20, file);
            self.inner.freeze(|index| index.write(&mut out))?;
            out.flush()?;
            out.get_ref().sync_all()?;
            Ok(())
        };
        detached(py, || write().map_err(|error| named(&path, error)))
    }

    /// What `save` wrote.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let read = || {
            let file = BufReader::with_capacity(1 << 20, File::open(&path)?);
            vectors::VectorIndex::read(file)
        };
        let index = detached(py, || read().map_err(|error| named(&path, error)))?;
        Ok(Self::of(index))
    }
}
