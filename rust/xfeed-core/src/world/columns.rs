//! The state as columns, for models.

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::event::PostKind;
use crate::ids::Id;
use crate::world::World;
use crate::world::history::Row;

/// Posts as columns; every column has one entry per post, `topic_keys` four.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the Python side documents each column")]
pub struct PostColumns {
    pub post_id: Vec<u64>,
    pub author_id: Vec<u64>,
    pub post_key: Vec<u64>,
    pub author_key: Vec<u64>,
    pub created_ms: Vec<i64>,
    pub is_original: Vec<bool>,
    pub media_kind: Vec<u8>,
    pub duration_ms: Vec<i32>,
    pub language_key: Vec<u64>,
    pub topic_keys: Vec<u64>,
}

/// Interactions as columns, sorted by viewer, time and post.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the Python side documents each column")]
pub struct InteractionColumns {
    pub viewer_key: Vec<u64>,
    pub post_row: Vec<i32>,
    pub at_ms: Vec<i64>,
    pub surface: Vec<u8>,
    pub actions: Vec<u64>,
    pub dwell_secs: Vec<f32>,
    pub acted_ms: Vec<i64>,
    pub is_impression: Vec<bool>,
}

fn is_original(kind: PostKind) -> bool {
    matches!(kind, PostKind::Original | PostKind::Quote)
}

/// Hash of a word such as a topic or a language; never 0.
fn word_key(word: &str) -> u64 {
    Id::from_text(&word.to_lowercase()).map_or(0, Id::model_key)
}

impl PostColumns {
    /// Topics of a post that the models see.
    pub const TOPICS: usize = 4;

    fn push(&mut self, world: &World, id: Id, author: Option<Id>) {
        let record = world.posts.record(id);
        let author = record.map(|record| record.author).or(author);
        let content = world.contents.get(id);
        self.post_id.push(id.0);
        self.post_key.push(id.model_key());
        self.author_id.push(author.map_or(0, |author| author.0));
        self.author_key.push(author.map_or(0, Id::model_key));
        self.created_ms
            .push(record.map_or(0, |record| record.created_ms));
        self.is_original
            .push(record.is_some_and(|record| is_original(record.kind)));
        self.media_kind
            .push(record.map_or(0, |record| record.media_kind));
        let duration = record.map_or(0, |record| record.media_duration_ms);
        self.duration_ms
            .push(i32::try_from(duration).unwrap_or(i32::MAX));
        let language = content.and_then(|content| content.language());
        self.language_key.push(language.map_or(0, word_key));
        let topics = content.map_or(&[][..], |content| content.topics());
        for slot in 0..Self::TOPICS {
            self.topic_keys
                .push(topics.get(slot).map_or(0, |topic| word_key(topic)));
        }
    }
}

impl InteractionColumns {
    fn push(&mut self, viewer: Id, post_row: i32, row: &Row) {
        self.viewer_key.push(viewer.model_key());
        self.post_row.push(post_row);
        self.at_ms.push(row.at_ms);
        self.surface.push(row.surface);
        self.actions.push(row.actions.0);
        self.dwell_secs.push(row.dwell_secs);
        self.acted_ms.push(row.acted_ms);
        self.is_impression.push(row.impression);
    }
}

/// Builds both tables, one post row per distinct post.
struct Builder<'a> {
    world: &'a World,
    posts: PostColumns,
    interactions: InteractionColumns,
    row_of: HashMap<Id, i32>,
}

impl<'a> Builder<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            posts: PostColumns::default(),
            interactions: InteractionColumns::default(),
            row_of: HashMap::new(),
        }
    }

    fn add(&mut self, viewer: Id, row: &Row) {
        let next = i32::try_from(self.posts.post_id.len()).unwrap_or(-1);
        let post_row = match self.row_of.get(&row.post) {
            Some(known) => *known,
            None => {
                self.posts.push(self.world, row.post, row.author);
                self.row_of.insert(row.post, next);
                next
            }
        };
        self.interactions.push(viewer, post_row, row);
    }

    fn done(self) -> (PostColumns, InteractionColumns) {
        (self.posts, self.interactions)
    }
}

impl World {
    /// Every live post, by id.
    pub fn live_posts(&self) -> PostColumns {
        let mut columns = PostColumns::default();
        for record in self.posts.live() {
            columns.push(self, record.id, None);
        }
        columns
    }

    /// Those of the given posts that are live and neither replies nor reposts, in the given order.
    pub fn live_originals(&self, ids: &[Id]) -> PostColumns {
        let mut columns = PostColumns::default();
        for id in ids {
            let record = self.posts.get(*id);
            if record.is_some_and(|record| is_original(record.kind)) {
                columns.push(self, *id, None);
            }
        }
        columns
    }

    /// The given posts in the given order; unknown ones have only their id.
    pub fn posts_of(&self, ids: &[Id]) -> PostColumns {
        let mut columns = PostColumns::default();
        for id in ids {
            columns.push(self, *id, None);
        }
        columns
    }

    /// The newest `max_rows` rows of a viewer up to `now_ms`, oldest first.
    pub fn history(
        &self,
        viewer: Id,
        now_ms: UnixMs,
        max_rows: usize,
    ) -> (PostColumns, InteractionColumns) {
        let rows = self.histories.rows(viewer);
        let rows = &rows[..rows.partition_point(|row| row.at_ms <= now_ms)];
        let mut builder = Builder::new(self);
        for row in &rows[rows.len().saturating_sub(max_rows)..] {
            builder.add(viewer, row);
        }
        builder.done()
    }

    /// Every row of every viewer: what the models learn from.
    pub fn interactions(&self) -> (PostColumns, InteractionColumns) {
        let mut viewers = self.histories.viewers();
        viewers.sort_unstable_by_key(|(viewer, _)| viewer.model_key());
        let mut builder = Builder::new(self);
        for (viewer, rows) in viewers {
            for row in rows {
                builder.add(viewer, row);
            }
        }
        builder.done()
    }
}
