//! Posts as columns: one array a field, one position a post.

use crate::clock::UnixMs;
use crate::error::{Error, Result};
use crate::event::{MEDIA_KINDS, Post, PostKind, Related, has_duration};
use crate::ids::Id;
use crate::thunder::Record;
use crate::thunder::intake::Outcome;

/// Ids that not every post has.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    /// One a post; what is missing may hold anything, so every id is ordinary.
    pub values: Vec<u64>,
    /// True where the post has none; `None` when all have one.
    pub missing: Option<Vec<bool>>,
}

impl Ids {
    fn get(&self, row: usize) -> Option<Id> {
        let missing = self.missing.as_ref().is_some_and(|missing| missing[row]);
        (!missing).then(|| Id(self.values[row]))
    }
}

/// Posts as columns; a column that is `None` is one that no post has.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are those of the `post` event")]
pub struct PostRows {
    pub post_id: Vec<u64>,
    pub author_id: Vec<u64>,
    pub created_ms: Vec<UnixMs>,
    /// Position in [`PostKind::ALL`]; `None` reads it from the columns below.
    pub kind: Option<Vec<u8>>,
    /// Position in [`MEDIA_KINDS`].
    pub media_kind: Option<Vec<u8>>,
    /// 0 when unknown.
    pub media_duration_ms: Option<Vec<u32>>,
    pub reply_to_id: Option<Ids>,
    pub reply_to_author_id: Option<Ids>,
    pub root_id: Option<Ids>,
    pub root_author_id: Option<Ids>,
    pub repost_of_id: Option<Ids>,
    pub repost_of_author_id: Option<Ids>,
    pub quote_of_id: Option<Ids>,
    pub quote_of_author_id: Option<Ids>,
}

impl PostRows {
    /// Number of posts.
    pub fn len(&self) -> usize {
        self.post_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.post_id.is_empty()
    }

    /// Checks that all columns have one length.
    ///
    /// # Errors
    /// Naming the first column that has another one.
    pub fn check(&self) -> Result<()> {
        let ids = |ids: &Option<Ids>| ids.as_ref().map(|ids| ids.values.len());
        let masks = |ids: &Option<Ids>| {
            ids.as_ref()
                .and_then(|ids| ids.missing.as_ref().map(Vec::len))
        };
        let related = [
            ("reply_to_id", &self.reply_to_id),
            ("reply_to_author_id", &self.reply_to_author_id),
            ("root_id", &self.root_id),
            ("root_author_id", &self.root_author_id),
            ("repost_of_id", &self.repost_of_id),
            ("repost_of_author_id", &self.repost_of_author_id),
            ("quote_of_id", &self.quote_of_id),
            ("quote_of_author_id", &self.quote_of_author_id),
        ];
        let lens = [
            ("author_id", Some(self.author_id.len())),
            ("created_ms", Some(self.created_ms.len())),
            ("kind", self.kind.as_ref().map(Vec::len)),
            ("media_kind", self.media_kind.as_ref().map(Vec::len)),
            (
                "media_duration_ms",
                self.media_duration_ms.as_ref().map(Vec::len),
            ),
        ];
        let values = related.iter().map(|(name, column)| (*name, ids(column)));
        let missing = related.iter().map(|(name, column)| (*name, masks(column)));
        for (name, len) in lens.into_iter().chain(values).chain(missing) {
            if let Some(len) = len
                && len != self.len()
            {
                let message = format!("`{name}` has {len} entries, `post_id` has {}", self.len());
                return Err(Error::shape(message, "give one entry per post"));
            }
        }
        Ok(())
    }

    /// The post at `row`, after the rules that events obey too.
    ///
    /// # Errors
    /// Why this one is refused.
    ///
    /// # Panics
    /// When `row` is beyond the end, or [`PostRows::check`] would fail.
    pub fn record(&self, row: usize) -> std::result::Result<Record, Outcome> {
        let id = |column: &Option<Ids>| column.as_ref().and_then(|ids| ids.get(row));
        let related = |post, author| match (id(post), id(author)) {
            (Some(post), author) => Ok(Some(Related { post, author })),
            (None, Some(_)) => Err(Outcome::Contradiction),
            (None, None) => Ok(None),
        };
        let reply_to = id(&self.reply_to_id).map(|post| Related {
            post,
            author: id(&self.reply_to_author_id),
        });
        let post = Post {
            id: Id(self.post_id[row]),
            author: Id(self.author_id[row]),
            text: String::new(),
            language: None,
            media_kind: self.media_kind.as_ref().map_or(0, |kinds| kinds[row]),
            media_duration_ms: self.media_duration_ms.as_ref().map_or(0, |ms| ms[row]),
            topics: Vec::new(),
            reply_to,
            reply_to_author: id(&self.reply_to_author_id).filter(|_| reply_to.is_none()),
            root: related(&self.root_id, &self.root_author_id)?,
            repost_of: related(&self.repost_of_id, &self.repost_of_author_id)?,
            quote_of: related(&self.quote_of_id, &self.quote_of_author_id)?,
            nullcast: false,
        };
        if usize::from(post.media_kind) >= MEDIA_KINDS.len()
            || (post.media_duration_ms > 0 && !has_duration(post.media_kind))
        {
            return Err(Outcome::BadMedia);
        }
        let mut record = Record::of(&post, self.created_ms[row]);
        if let Some(kinds) = &self.kind {
            let said = PostKind::ALL.get(usize::from(kinds[row])).copied();
            // That a post is a reply may be all that is known.
            let may_be_reply = matches!(record.kind, PostKind::Original | PostKind::Quote);
            if said == Some(PostKind::Reply) && may_be_reply {
                record.kind = PostKind::Reply;
            } else if said != Some(record.kind) {
                return Err(Outcome::BadKind);
            }
        }
        match post.fault() {
            None => Ok(record),
            Some(fault) if fault.code == "missing_field" && record.kind == PostKind::Reply => {
                Ok(record)
            }
            Some(fault) if fault.code == "points_at_itself" => Err(Outcome::PointsAtItself),
            Some(_) => Err(Outcome::Contradiction),
        }
    }
}
