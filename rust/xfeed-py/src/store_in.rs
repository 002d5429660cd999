//! Columns of posts, from Python.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use xfeed_core::ids::Id;
use xfeed_core::thunder::columns::{Ids, PostRows};

use crate::convert::slice1;

/// Rows that are copied or decoded at once.
pub(crate) const CHUNK: usize = 16_384;

/// An optional column of ids: its values, and true where a row has none.
type IdColumn<'py> = (
    PyReadonlyArray1<'py, u64>,
    Option<PyReadonlyArray1<'py, bool>>,
);

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
    /// A copy of at most [`CHUNK`] rows.
    pub(crate) fn rows(&self, from: usize) -> PyResult<PostRows> {
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

/// Posts that are not to be returned.
pub(crate) fn optional_ids(ids: Option<&PyReadonlyArray1<'_, u64>>) -> PyResult<Vec<Id>> {
    match ids {
        None => Ok(Vec::new()),
        Some(ids) => Ok(slice1(ids, "excluded")?.iter().map(|id| Id(*id)).collect()),
    }
}
