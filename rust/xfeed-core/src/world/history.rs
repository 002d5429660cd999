//! What each viewer saw and did, in time order, and which posts they have seen.

use hashbrown::HashMap;

use crate::action::{ActionSet, DWELLED_AT_SECS, idx};
use crate::clock::UnixMs;
use crate::digest::Digest;
use crate::event::Action;
use crate::ids::Id;

/// One post that a viewer saw (or acted on without an impression), with all they did to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// When it was seen, or first acted on.
    pub at_ms: UnixMs,
    /// The post.
    pub post: Id,
    /// The answer that showed it.
    pub request: Option<Id>,
    /// Its author, kept when the post leaves the store. Not part of the state hash: a row that comes
    /// after its post went never learns it.
    pub author: Option<Id>,
    /// Where it was shown.
    pub surface: u8,
    /// False for an action that came without an impression.
    pub impression: bool,
    /// What the viewer did.
    pub actions: ActionSet,
    /// Longest stay, in seconds.
    pub dwell_secs: f32,
    /// Longest stay in the opened post, in seconds.
    pub click_dwell_secs: f32,
    /// When the viewer last acted; 0 for never.
    pub acted_ms: UnixMs,
}

impl Row {
    fn key(&self) -> (UnixMs, Id, Option<Id>) {
        (self.at_ms, self.post, self.request)
    }
}

#[derive(Debug, Default)]
struct Viewer {
    /// Sorted by [`Row::key`].
    rows: Vec<Row>,
    /// When each post was last seen.
    seen: HashMap<Id, UnixMs>,
}

impl Viewer {
    fn insert(&mut self, row: Row, max_rows: usize) {
        let position = self.rows.partition_point(|other| other.key() <= row.key());
        self.rows.insert(position, row);
        if self.rows.len() > max_rows {
            self.rows.remove(0);
        }
    }

    /// Whether a row of this time would be pushed out at once; such an event was counted before.
    fn is_forgotten(&self, at_ms: UnixMs, max_rows: usize) -> bool {
        self.rows.len() >= max_rows && self.rows.first().is_some_and(|row| at_ms < row.at_ms)
    }

    fn see(&mut self, post: Id, at_ms: UnixMs) {
        let last = self.seen.entry(post).or_insert(at_ms);
        *last = (*last).max(at_ms);
    }
}

/// All histories.
#[derive(Debug, Default)]
pub(super) struct Histories {
    viewers: HashMap<Id, Viewer>,
    max_rows: usize,
}

impl Histories {
    /// Keeps the newest `max_rows` rows of each viewer.
    pub(super) fn new(max_rows: usize) -> Self {
        Self {
            viewers: HashMap::new(),
            max_rows,
        }
    }

    /// Most rows of each viewer.
    pub(super) fn max_rows(&self) -> usize {
        self.max_rows
    }

    /// Records an impression; returns whether it was new.
    pub(super) fn impression(
        &mut self,
        viewer: Id,
        post: Id,
        at_ms: UnixMs,
        request: Option<Id>,
        surface: u8,
    ) -> bool {
        let max_rows = self.max_rows;
        let viewer = self.viewers.entry(viewer).or_default();
        viewer.see(post, at_ms);
        if viewer.is_forgotten(at_ms, max_rows) {
            return false;
        }
        let same = |row: &Row| {
            row.impression
                && row.post == post
                && row.request == request
                && (request.is_some() || row.at_ms == at_ms)
        };
        if viewer.rows.iter().rev().any(same) {
            return false;
        }
        // An action that overtook its impression is waiting as a row of its own.
        let waiting = viewer.rows.iter().position(|row| {
            !row.impression
                && row.post == post
                && row.acted_ms >= at_ms
                && (row.request.is_none() || row.request == request)
        });
        let mut row = match waiting {
            Some(position) => viewer.rows.remove(position),
            None => Row {
                at_ms,
                post,
                request,
                author: None,
                surface,
                impression: true,
                actions: ActionSet::default(),
                dwell_secs: 0.0,
                click_dwell_secs: 0.0,
                acted_ms: 0,
            },
        };
        row.at_ms = at_ms;
        row.request = request;
        row.surface = surface;
        row.impression = true;
        viewer.insert(row, max_rows);
        true
    }

    /// Records an action; returns the positions in the action table that this viewer had not done
    /// to this post before.
    pub(super) fn action(&mut self, action: &Action, at_ms: UnixMs) -> ActionSet {
        let max_rows = self.max_rows;
        let viewer = self.viewers.entry(action.viewer).or_default();
        viewer.see(action.post, at_ms);
        let mut bits = ActionSet::default();
        match action.action {
            idx::DWELL_TIME if action.seconds >= DWELLED_AT_SECS => {
                bits.insert(idx::DWELL);
            }
            idx::DWELL_TIME | idx::CLICK_DWELL_TIME => {}
            discrete => {
                bits.insert(discrete);
            }
        }
        let done: u64 = viewer
            .rows
            .iter()
            .filter(|row| row.post == action.post)
            .fold(0, |done, row| done | row.actions.0);
        let fits = |row: &Row| {
            row.post == action.post
                && match action.request {
                    Some(request) => row.request == Some(request),
                    None => row.at_ms <= at_ms,
                }
        };
        let position = viewer.rows.iter().rposition(fits).or_else(|| {
            // Without an impression all actions on a post share one row.
            viewer
                .rows
                .iter()
                .rposition(|row| row.post == action.post && !row.impression)
        });
        if position.is_none() && viewer.is_forgotten(at_ms, max_rows) {
            return ActionSet::default();
        }
        let mut row = match position {
            Some(position) => viewer.rows.remove(position),
            None => Row {
                at_ms,
                post: action.post,
                request: action.request,
                author: None,
                surface: action.surface,
                impression: false,
                actions: ActionSet::default(),
                dwell_secs: 0.0,
                click_dwell_secs: 0.0,
                acted_ms: 0,
            },
        };
        row.actions.0 |= bits.0;
        row.acted_ms = row.acted_ms.max(at_ms);
        if !row.impression {
            row.at_ms = row.at_ms.min(at_ms);
        }
        match action.action {
            idx::DWELL_TIME => row.dwell_secs = row.dwell_secs.max(action.seconds),
            idx::CLICK_DWELL_TIME => {
                row.click_dwell_secs = row.click_dwell_secs.max(action.seconds);
            }
            _ => {}
        }
        viewer.insert(row, max_rows);
        ActionSet(bits.0 & !done)
    }

    /// Rows of one viewer, oldest first.
    pub(super) fn rows(&self, viewer: Id) -> &[Row] {
        self.viewers.get(&viewer).map_or(&[], |found| &found.rows)
    }

    /// Posts a viewer has seen.
    pub(super) fn seen(&self, viewer: Id) -> impl Iterator<Item = Id> {
        self.viewers
            .get(&viewer)
            .into_iter()
            .flat_map(|found| found.seen.keys().copied())
    }

    /// Every viewer with rows, in order of id.
    pub(super) fn viewers(&self) -> Vec<(Id, &[Row])> {
        let mut all: Vec<(Id, &[Row])> = self
            .viewers
            .iter()
            .map(|(id, viewer)| (*id, viewer.rows.as_slice()))
            .collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    pub(super) fn row_count(&self) -> usize {
        self.viewers.values().map(|viewer| viewer.rows.len()).sum()
    }

    /// Keeps the authors of posts that leave the store and forgets what was seen before `oldest`.
    pub(super) fn trim(&mut self, gone: &HashMap<Id, Id>, oldest: UnixMs) {
        for viewer in self.viewers.values_mut() {
            viewer.seen.retain(|_, at_ms| *at_ms >= oldest);
            if !gone.is_empty() {
                for row in &mut viewer.rows {
                    if let Some(author) = gone.get(&row.post) {
                        row.author = Some(*author);
                    }
                }
            }
        }
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.part("histories");
        for (viewer, rows) in self.viewers() {
            digest.id(viewer);
            for row in rows {
                digest.i64(row.at_ms);
                digest.id(row.post);
                digest.option(row.request, Digest::id);
                digest.u64(u64::from(row.surface));
                digest.flag(row.impression);
                digest.u64(row.actions.0);
                digest.u64(u64::from(row.dwell_secs.to_bits()));
                digest.u64(u64::from(row.click_dwell_secs.to_bits()));
                digest.i64(row.acted_ms);
            }
            let mut seen: Vec<(Id, UnixMs)> = self.viewers[&viewer]
                .seen
                .iter()
                .map(|(post, at)| (*post, *at))
                .collect();
            seen.sort_unstable();
            for (post, at_ms) in seen {
                digest.id(post);
                digest.i64(at_ms);
            }
        }
    }
}

#[path = "history_saved.rs"]
mod saved;

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Id = Id(1);

    fn act(action: usize, post: u64, request: Option<u64>) -> Action {
        Action {
            viewer: ANN,
            post: Id(post),
            action,
            seconds: 12.0,
            request: request.map(Id),
            surface: 0,
            author: None,
        }
    }

    #[test]
    fn an_action_joins_the_latest_impression_before_it() {
        let mut histories = Histories::new(10);
        assert!(histories.impression(ANN, Id(7), 10, None, 1));
        assert!(histories.impression(ANN, Id(7), 20, None, 1));
        histories.action(&act(idx::FAVORITE, 7, None), 15);
        let bits: Vec<u64> = histories
            .rows(ANN)
            .iter()
            .map(|row| row.actions.0)
            .collect();
        assert_eq!(bits, [1, 0]);
    }

    #[test]
    fn a_request_id_decides_before_time_does() {
        let mut histories = Histories::new(10);
        histories.impression(ANN, Id(7), 10, Some(Id(100)), 1);
        histories.impression(ANN, Id(7), 20, Some(Id(200)), 1);
        histories.action(&act(idx::FAVORITE, 7, Some(100)), 30);
        assert!(histories.rows(ANN)[0].actions.contains(idx::FAVORITE));
        assert_eq!(histories.rows(ANN)[1].actions.0, 0);
    }

    #[test]
    fn an_impression_after_its_action_claims_it() {
        let mut late = Histories::new(10);
        late.action(&act(idx::FAVORITE, 7, None), 30);
        assert!(!late.rows(ANN)[0].impression);
        late.impression(ANN, Id(7), 10, None, 4);
        let mut early = Histories::new(10);
        early.impression(ANN, Id(7), 10, None, 4);
        early.action(&act(idx::FAVORITE, 7, None), 30);
        assert_eq!(late.rows(ANN), early.rows(ANN));
    }

    #[test]
    fn repetition_changes_nothing_and_only_first_times_are_counted() {
        let mut histories = Histories::new(10);
        assert!(histories.impression(ANN, Id(7), 10, Some(Id(1)), 1));
        assert!(!histories.impression(ANN, Id(7), 10, Some(Id(1)), 1));
        assert_eq!(
            histories.action(&act(idx::REPLY, 7, None), 11).0,
            1 << idx::REPLY
        );
        assert_eq!(histories.action(&act(idx::REPLY, 7, None), 11).0, 0);
        assert_eq!(histories.rows(ANN).len(), 1);
    }

    #[test]
    fn ten_seconds_are_a_dwell_and_the_longest_stay_counts() {
        let mut histories = Histories::new(10);
        histories.impression(ANN, Id(7), 10, None, 1);
        let short = Action {
            seconds: 9.9,
            ..act(idx::DWELL_TIME, 7, None)
        };
        assert_eq!(histories.action(&short, 11).0, 0);
        assert_eq!(
            histories.action(&act(idx::DWELL_TIME, 7, None), 12).0,
            1 << idx::DWELL
        );
        histories.action(&short, 13);
        assert!((histories.rows(ANN)[0].dwell_secs - 12.0).abs() < f32::EPSILON);
    }

    #[test]
    fn the_newest_rows_are_kept_but_what_was_seen_stays_seen() {
        let mut histories = Histories::new(2);
        for post in 0..4 {
            histories.impression(ANN, Id(post), i64::try_from(post).unwrap(), None, 0);
        }
        let posts: Vec<Id> = histories.rows(ANN).iter().map(|row| row.post).collect();
        assert_eq!(posts, [Id(2), Id(3)]);
        assert_eq!(histories.seen(ANN).count(), 4);
    }
}
