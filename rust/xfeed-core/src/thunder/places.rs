//! Small sets, made for one read.

use super::index::Index;
use super::rows::NOWHERE;
use crate::ids::Id;

/// Places of authors; at most half full.
pub(super) struct Places(Vec<u32>);

impl Places {
    /// Room for `n` of them.
    pub(super) fn with_room_for(n: usize) -> Self {
        Self(vec![NOWHERE; (n * 2).next_power_of_two()])
    }

    fn start(&self, place: u32) -> usize {
        // The multiplication spreads neighbours, the shift takes what it mixed best.
        let mixed = u64::from(place).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        usize::try_from(mixed).unwrap_or(0) & (self.0.len() - 1)
    }

    /// Adds one; returns whether it was not there.
    pub(super) fn insert(&mut self, place: u32) -> bool {
        let mut at = self.start(place);
        while self.0[at] != NOWHERE {
            if self.0[at] == place {
                return false;
            }
            at = (at + 1) & (self.0.len() - 1);
        }
        self.0[at] = place;
        true
    }

    pub(super) fn contains(&self, place: u32) -> bool {
        let mut at = self.start(place);
        while self.0[at] != NOWHERE {
            if self.0[at] == place {
                return true;
            }
            at = (at + 1) & (self.0.len() - 1);
        }
        false
    }
}

/// Ids of posts; at most half full. Hashed with the store's key, so that nobody can choose ids that
/// collide.
pub(super) struct Ids<'a> {
    index: &'a Index,
    cells: Vec<u64>,
    /// Whether the id that marks an empty cell is itself in the set.
    has_empty: bool,
}

const EMPTY: u64 = u64::MAX;

impl<'a> Ids<'a> {
    pub(super) fn new(ids: &[Id], index: &'a Index) -> Self {
        let mut set = Self {
            index,
            cells: vec![EMPTY; (ids.len() * 2).next_power_of_two()],
            has_empty: ids.contains(&Id(EMPTY)),
        };
        for id in ids {
            let at = set.find(*id);
            set.cells[at] = id.0;
        }
        set
    }

    /// Where an id is, or would be.
    fn find(&self, id: Id) -> usize {
        let mask = self.cells.len() - 1;
        let mut at = self.index.hash(id).start() & mask;
        while self.cells[at] != EMPTY && self.cells[at] != id.0 {
            at = (at + 1) & mask;
        }
        at
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        if id.0 == EMPTY {
            return self.has_empty;
        }
        self.cells[self.find(id)] != EMPTY
    }
}
