//! A small set of slots or places, made for one read.

use super::rows::NOWHERE;

/// Numbers below 2^32 - 1; at most half full.
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
