//! Scorers and the selector.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, ToPyArray};
use pyo3::prelude::*;
use xfeed_core::Error;
use xfeed_core::ids::Id;
use xfeed_core::scorers::{self, Offset, RowFacts, WeightedSettings};
use xfeed_core::selectors;

use crate::convert::{slice1, slice2};
use crate::detach::detached;
use crate::error::to_py;

/// `(scores, nets, products, weights)` of a batch.
type WeightedArrays<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<f64>>,
);

fn same_length(name: &str, got: usize, expected: usize) -> PyResult<()> {
    if got == expected {
        return Ok(());
    }
    let message = format!("`{name}` has {got} entries, {expected} are needed");
    Err(to_py(Error::shape(
        message,
        "give every column one entry per candidate",
    )))
}

fn tri_state(value: i8) -> Option<bool> {
    match value {
        1 => Some(true),
        0 => Some(false),
        _ => None,
    }
}

/// Weights and switches of the weighted sum.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct WeightedSum {
    settings: WeightedSettings,
}

#[pymethods]
impl WeightedSum {
    #[new]
    #[pyo3(signature = (*, weights, mutual_reply_boost, mutual_dwell_boost, min_video_ms,
        max_video_viewer_followers, check_quoted_duration, low_favorite_penalty, offset))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        weights: Vec<f64>,
        mutual_reply_boost: f64,
        mutual_dwell_boost: f64,
        min_video_ms: i64,
        max_video_viewer_followers: u64,
        check_quoted_duration: bool,
        low_favorite_penalty: bool,
        offset: f64,
    ) -> PyResult<Self> {
        let settings = WeightedSettings {
            weights,
            mutual_reply_boost,
            mutual_dwell_boost,
            min_video_ms,
            max_video_viewer_followers,
            check_quoted_duration,
            low_favorite_penalty,
            offset,
        };
        // An empty batch checks the settings.
        scorers::weighted_sum(&[], &[], None, &settings).map_err(to_py)?;
        Ok(Self { settings })
    }

    /// Sum of the positive weights, of the negated negative ones, and of both.
    fn sums(&self) -> (f64, f64, f64) {
        let Offset {
            positive_sum,
            negative_sum,
            ..
        } = self.offset();
        (positive_sum, negative_sum, positive_sum + negative_sum)
    }

    /// The score of a net.
    fn offset_score(&self, net: f64) -> f64 {
        self.offset().apply(net)
    }

    /// The net of a score.
    fn net_of_score(&self, score: f64) -> f64 {
        self.offset().invert(score)
    }

    /// Scores predictions (float64, shape `(n, actions)`, NaN = not predicted). `in_network` is 1, 0
    /// or -1 for unknown; durations are in ms, -1 where there is no video. Returns scores and nets
    /// (shape `(n,)`), then products and used weights (shape `(n, actions)`).
    #[expect(clippy::too_many_arguments, reason = "one column each")]
    fn score<'py>(
        &self,
        py: Python<'py>,
        predictions: PyReadonlyArray2<'_, f64>,
        in_network: PyReadonlyArray1<'_, i8>,
        mutual_original: PyReadonlyArray1<'_, bool>,
        video_ms: PyReadonlyArray1<'_, i64>,
        quoted_video_ms: PyReadonlyArray1<'_, i64>,
        viewer_followers: Option<u64>,
    ) -> PyResult<WeightedArrays<'py>> {
        let (predictions, width) = slice2(&predictions, "predictions")?;
        let in_network = slice1(&in_network, "in_network")?;
        let mutual_original = slice1(&mutual_original, "mutual_original")?;
        let video_ms = slice1(&video_ms, "video_ms")?;
        let quoted_video_ms = slice1(&quoted_video_ms, "quoted_video_ms")?;
        let n = in_network.len();
        same_length("mutual_original", mutual_original.len(), n)?;
        same_length("video_ms", video_ms.len(), n)?;
        same_length("quoted_video_ms", quoted_video_ms.len(), n)?;
        same_length("predictions", predictions.len(), n * width)?;
        let facts: Vec<RowFacts> = (0..n)
            .map(|row| RowFacts {
                in_network: tri_state(in_network[row]),
                mutual_original: mutual_original[row],
                video_ms: (video_ms[row] >= 0).then_some(video_ms[row]),
                quoted_video_ms: (quoted_video_ms[row] >= 0).then_some(quoted_video_ms[row]),
            })
            .collect();
        let rows = detached(py, || {
            scorers::weighted_sum(predictions, &facts, viewer_followers, &self.settings)
        })?;
        let scores: Vec<f64> = rows.iter().map(|row| row.score).collect();
        let nets: Vec<f64> = rows.iter().map(|row| row.net).collect();
        let flat = |of: fn(&scorers::Weighted) -> &Vec<f64>| -> PyResult<_> {
            let values: Vec<f64> = rows
                .iter()
                .flat_map(|row| of(row).iter().copied())
                .collect();
            values
                .to_pyarray(py)
                .reshape([n, self.settings.weights.len()])
        };
        Ok((
            scores.to_pyarray(py),
            nets.to_pyarray(py),
            flat(|row| &row.products)?,
            flat(|row| &row.weights)?,
        ))
    }
}

impl WeightedSum {
    fn offset(&self) -> Offset {
        Offset::new(&self.settings.weights, self.settings.offset)
    }
}

fn ids(values: &[u64]) -> Vec<Id> {
    values.iter().map(|id| Id(*id)).collect()
}

/// Multiplier per row (float64) that lowers further posts of one author: `(1 - floor) * decay^k +
/// floor`. `author_known` is false where `authors` means nothing.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands arrays over by value"
)]
pub(crate) fn author_diversity<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray1<'_, f64>,
    posts: PyReadonlyArray1<'_, u64>,
    authors: PyReadonlyArray1<'_, u64>,
    author_known: PyReadonlyArray1<'_, bool>,
    decay: f64,
    floor: f64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let scores = slice1(&scores, "scores")?;
    let posts = ids(slice1(&posts, "posts")?);
    let authors = slice1(&authors, "authors")?;
    let known = slice1(&author_known, "author_known")?;
    same_length("posts", posts.len(), scores.len())?;
    same_length("authors", authors.len(), scores.len())?;
    same_length("author_known", known.len(), scores.len())?;
    let authors: Vec<Option<Id>> = authors
        .iter()
        .zip(known)
        .map(|(id, known)| known.then_some(Id(*id)))
        .collect();
    Ok(scorers::author_diversity(scores, &posts, &authors, decay, floor).to_pyarray(py))
}

/// Multiplier per row (float64) that lowers posts from outside the network. `in_network` is 1, 0 or
/// -1 for unknown; `is_secondary` marks replies and reposts.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands arrays over by value"
)]
pub(crate) fn out_of_network<'py>(
    py: Python<'py>,
    in_network: PyReadonlyArray1<'_, i8>,
    is_secondary: PyReadonlyArray1<'_, bool>,
    factor: f64,
    rescore_secondary: bool,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let in_network: Vec<Option<bool>> = slice1(&in_network, "in_network")?
        .iter()
        .map(|value| tri_state(*value))
        .collect();
    let is_secondary = slice1(&is_secondary, "is_secondary")?;
    same_length("is_secondary", is_secondary.len(), in_network.len())?;
    Ok(
        scorers::out_of_network(&in_network, is_secondary, factor, rescore_secondary)
            .to_pyarray(py),
    )
}

/// `(selected, not selected)`: row numbers by score descending, then id descending; rows whose score
/// is not finite are never selected.
#[pyfunction]
#[expect(
    clippy::needless_pass_by_value,
    reason = "pyo3 hands arrays over by value"
)]
pub(crate) fn top_k(
    scores: PyReadonlyArray1<'_, f64>,
    posts: PyReadonlyArray1<'_, u64>,
    k: usize,
) -> PyResult<(Vec<usize>, Vec<usize>)> {
    let scores = slice1(&scores, "scores")?;
    let posts = ids(slice1(&posts, "posts")?);
    same_length("posts", posts.len(), scores.len())?;
    Ok(selectors::top_k(scores, &posts, k))
}
