//! Who said what last about whether a post lives.

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::ids::Id;

/// Shards keep a rehash short.
const SHARDS: usize = 64;

/// Whether a post was deleted, and when that was last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Liveness {
    pub(super) at_ms: UnixMs,
    pub(super) deleted: bool,
}

/// Statements by post; kept also when the post is not there.
#[derive(Debug)]
pub(super) struct Tombstones(Vec<HashMap<Id, Liveness>>);

impl Default for Tombstones {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| HashMap::new()).collect())
    }
}

impl Tombstones {
    fn shard(id: Id) -> usize {
        (id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize
    }

    pub(super) fn is_deleted(&self, id: Id) -> bool {
        self.get(id).is_some_and(|said| said.deleted)
    }

    pub(super) fn get(&self, id: Id) -> Option<Liveness> {
        self.0[Self::shard(id)].get(&id).copied()
    }

    /// The later statement holds, and at the same millisecond the delete; returns whether it is this.
    pub(super) fn set(&mut self, id: Id, said: Liveness) -> bool {
        if let Some(known) = self.get(id)
            && (known.at_ms > said.at_ms || (known.at_ms == said.at_ms && known.deleted))
        {
            return false;
        }
        self.0[Self::shard(id)].insert(id, said);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, Liveness)> {
        self.0.iter().flatten().map(|(id, said)| (*id, *said))
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(Id, Liveness) -> bool) {
        for shard in &mut self.0 {
            shard.retain(|id, said| keep(*id, *said));
            if shard.len() * 2 < shard.capacity() {
                shard.shrink_to_fit();
            }
        }
    }

    /// Bytes that one more statement adds at most.
    pub(super) fn growth(&self, id: Id) -> usize {
        let shard = &self.0[Self::shard(id)];
        if shard.len() == shard.capacity() {
            shard.allocation_size().max(64) * 2
        } else {
            0
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(HashMap::allocation_size).sum::<usize>()
            + SHARDS * size_of::<HashMap<Id, Liveness>>()
    }
}
