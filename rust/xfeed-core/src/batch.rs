//! Candidates as columns. Rows never move; stages add to columns or write verdicts beside them.

use std::sync::Arc;

use crate::clock::UnixMs;
use crate::event::PostKind;
use crate::ids::Id;

/// The candidates of one request. Every column has one entry per row.
#[derive(Debug, Clone, Default)]
pub struct CandidateBatch {
    /// Names of the sources; `source` points into it.
    pub sources: Vec<String>,
    /// Which source brought the row.
    pub source: Vec<u8>,
    /// The post.
    pub post_id: Vec<Id>,
    /// What the hydrators found; `None` for a post that is not (or no longer) there.
    pub core: Vec<Option<CoreData>>,
    /// Whether the viewer follows the author or is the author; `None` before hydration and when
    /// the author is unknown.
    pub in_network: Vec<Option<bool>>,
    /// Labels of the post, its author and the posts it shows; `None` before they are looked up.
    pub labels: Vec<Option<Vec<ActiveLabel>>>,
}

/// What is known about one post.
#[derive(Debug, Clone)]
pub struct CoreData {
    /// Who made it.
    pub author: Id,
    /// When.
    pub created_ms: UnixMs,
    /// Original, reply, repost or quote.
    pub kind: PostKind,
    /// Position in [`crate::event::MEDIA_KINDS`].
    pub media_kind: u8,
    /// 0 when unknown.
    pub media_duration_ms: u32,
    /// Every other post it shows or answers, with its author where known.
    pub related: Vec<RelatedPost>,
    /// Every text a reader of this card sees: own, reposted, quoted, handle and name.
    pub texts: Vec<Arc<str>>,
    /// Whether the author follows the viewer and is followed back.
    pub mutual_follow: bool,
    /// Whether the author shows posts to followers only.
    pub protected: bool,
}

/// How a card contains another post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The post that is repeated.
    Reposted,
    /// The post that is quoted.
    Quoted,
    /// The post that is answered, or one further up in the conversation.
    Ancestor,
}

impl Relation {
    /// Name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reposted => "reposted",
            Self::Quoted => "quoted",
            Self::Ancestor => "ancestor",
        }
    }
}

/// Whether a post is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostState {
    /// It can be shown.
    Live,
    /// It was deleted.
    Deleted,
    /// It never came in, or is older than the retention.
    Unknown,
}

/// A post inside a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelatedPost {
    /// How it belongs to the card.
    pub relation: Relation,
    /// The post.
    pub post: Id,
    /// Its author; `None` when nobody said and the post did not come in.
    pub author: Option<Id>,
    /// Whether it can be shown.
    pub state: PostState,
    /// Whether its author shows posts to followers only.
    pub protected: bool,
}

/// A label that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveLabel {
    /// Its name.
    pub name: Arc<str>,
    /// What it is stuck to, for people: `post`, `author`, `quoted post`, …
    pub on: &'static str,
}

impl CandidateBatch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.post_id.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.post_id.is_empty()
    }

    /// Appends what one source found, in its order. At most 256 sources.
    pub fn push_source(&mut self, name: &str, posts: &[Id]) {
        let source = u8::try_from(self.sources.len()).unwrap_or(u8::MAX);
        self.sources.push(name.to_owned());
        self.post_id.extend_from_slice(posts);
        let rows = self.post_id.len();
        self.source.resize(rows, source);
        self.core.resize(rows, None);
        self.in_network.resize(rows, None);
        self.labels.resize(rows, None);
    }

    /// The post a reader of row `row` mainly reads: the reposted one of a repost, else its own.
    pub fn shown_post(&self, row: usize) -> Id {
        let reposted = self.core[row].as_ref().and_then(|core| {
            core.related
                .iter()
                .find(|related| related.relation == Relation::Reposted)
        });
        reposted.map_or(self.post_id[row], |related| related.post)
    }

    /// The author of [`CandidateBatch::shown_post`]; author diversity counts by it.
    pub fn shown_author(&self, row: usize) -> Option<Id> {
        let core = self.core[row].as_ref()?;
        let reposted = core
            .related
            .iter()
            .find(|related| related.relation == Relation::Reposted);
        reposted.map_or(Some(core.author), |related| related.author)
    }
}
