//! The rules for replies and reposts, and the look-ups that they need, many at a time: so that the
//! memory is asked for many rows at a time.

use super::authors::find_many;
use super::places::Ids;
use super::read::Read;
use super::rows::{NOWHERE, Row, Unpacked};
use super::timeline::Entry;
use crate::event::PostKind;
use crate::ids::Id;

/// Look-ups under way; kept from one lot to the next for their memory.
#[derive(Default)]
pub(super) struct Checks {
    rows: Vec<Row>,
    links: Vec<Unpacked>,
    targets: Vec<Id>,
    slots: Vec<u32>,
    shown: Vec<bool>,
}

impl Checks {
    /// Whether each of these replies and reposts is shown.
    pub(super) fn run(&mut self, read: &Read<'_>, asked: &[(usize, Entry)]) -> &[bool] {
        let store = read.store;
        let rows = &store.rows;
        self.rows.clear();
        self.rows
            .extend(asked.iter().map(|(_, entry)| *rows.get(entry.slot())));
        // These loads wait for nothing; the ones below find the memory there.
        let touched = self.rows.iter().map(|row| rows.links.first(row.links));
        std::hint::black_box(touched.fold(0, |seen, word| seen ^ word));
        self.links.clear();
        self.links
            .extend(self.rows.iter().map(|row| rows.unpack(row)));
        // A post that points nowhere needs no target; its own id stands in.
        let target = |(row, links): (&Row, &Unpacked)| {
            let target = links.repost_of.or(links.reply_to);
            target.map_or(row.id, |target| target.post)
        };
        self.targets.clear();
        self.targets
            .extend(self.rows.iter().zip(&self.links).map(target));
        let id_at = |slot| rows.get(slot).id;
        find_many(&store.index, &self.targets, id_at, &mut self.slots);
        let oldest_ms = store.floors.oldest_ms();
        let looked_up = self.rows.iter().zip(&self.links).zip(&self.slots);
        self.shown.clear();
        self.shown.extend(looked_up.map(|((row, links), slot)| {
            let target = (*slot != NOWHERE).then(|| rows.get(*slot));
            let target = target.filter(|target| target.created_ms() >= oldest_ms);
            read.shows(row, links, target)
        }));
        &self.shown
    }
}

impl Read<'_> {
    /// Whether a reply or a repost is shown, given the row of what it answers or repeats.
    fn shows(&self, row: &Row, links: &Unpacked, target: Option<&Row>) -> bool {
        match row.kind() {
            PostKind::Repost => self.shows_repost(links, target),
            PostKind::Reply => !self.request.videos_only && self.shows_reply(links, target),
            PostKind::Original | PostKind::Quote => true,
        }
    }

    fn shows_repost(&self, links: &Unpacked, source: Option<&Row>) -> bool {
        let Some(related) = links.repost_of else {
            return !self.request.videos_only;
        };
        let store = self.store;
        let author = source.map(|row| store.authors.get(row.author).id);
        // Hidden when either says so, the store or the sender.
        let viewer = self.request.viewer;
        if viewer.is_some() && (author == viewer || related.author == viewer) {
            return false;
        }
        if self.request.videos_only {
            return source.is_some_and(|row| {
                !row.is_dead() && row.kind() != PostKind::Reply && store.record_of(row).has_video()
            });
        }
        match source {
            Some(row) => !row.is_dead(),
            None => !store.tombstones.is_deleted(related.post),
        }
    }

    fn shows_reply(&self, links: &Unpacked, parent: Option<&Row>) -> bool {
        let Some(reply_to) = links.reply_to else {
            return true;
        };
        let Some(parent) = parent.filter(|row| !row.is_dead()) else {
            return false;
        };
        if !parent.is_secondary() {
            return true;
        }
        let Some(root) = links.root else {
            return false;
        };
        let above = self.store.rows.unpack(parent).reply_to;
        above.is_some_and(|above| above.post == root.post)
            && match reply_to.author {
                Some(author) => self.follows(author),
                None => self.followed.contains(parent.author),
            }
    }

    fn follows(&self, author: Id) -> bool {
        match self.store.authors.find(author) {
            Some(place) => self.followed.contains(place),
            // Followed, and without posts of its own.
            None => {
                let told = self
                    .told
                    .get_or_init(|| Ids::new(self.request.following, &self.store.index));
                told.contains(author) && !self.store.settings.hidden_authors.contains(&author)
            }
        }
    }
}
