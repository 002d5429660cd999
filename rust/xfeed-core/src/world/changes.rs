//! Which posts changed since somebody last looked.

use std::collections::VecDeque;

use crate::ids::Id;

/// Changes that can be told one by one. Who looks less often starts anew from all posts, which costs
/// about as much as so many changes.
const REMEMBERED: usize = 1 << 16;

/// A count of changes and the posts of the latest ones.
#[derive(Debug, Default)]
pub(super) struct Changes {
    generation: u64,
    recent: VecDeque<Id>,
}

impl Changes {
    /// After `generation` changes of which nothing is known.
    pub(super) fn after(generation: u64) -> Self {
        let recent = VecDeque::new();
        Self { generation, recent }
    }

    /// Changes so far.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// A post appeared, disappeared or was edited.
    pub(super) fn push(&mut self, post: Id) {
        self.generation += 1;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(post);
    }

    /// The posts that changed after `generation`, by id, each once; None when it is too long ago or
    /// is not of this world.
    pub(super) fn since(&self, generation: u64) -> Option<Vec<Id>> {
        let missed = usize::try_from(self.generation.checked_sub(generation)?).ok()?;
        let first = self.recent.len().checked_sub(missed)?;
        let mut posts: Vec<Id> = self.recent.range(first..).copied().collect();
        posts.sort_unstable();
        posts.dedup();
        Some(posts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_changed_post_is_told_once_and_what_is_too_old_is_not() {
        let mut changes = Changes::after(10);
        assert_eq!(changes.since(10), Some(vec![]));
        for post in [5, 3, 5] {
            changes.push(Id(post));
        }
        assert_eq!(changes.generation(), 13);
        assert_eq!(changes.since(10), Some(vec![Id(3), Id(5)]));
        assert_eq!(changes.since(12), Some(vec![Id(5)]));
        assert_eq!(changes.since(9), None, "before this world began");
        assert_eq!(changes.since(14), None, "another world's");
        for post in 0..REMEMBERED as u64 {
            changes.push(Id(post));
        }
        assert_eq!(changes.since(12), None);
        assert_eq!(changes.since(13).map(|posts| posts.len()), Some(REMEMBERED));
    }
}
