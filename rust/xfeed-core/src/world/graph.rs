//! Who follows, blocks and mutes whom.

use std::io;

use hashbrown::{HashMap, HashSet};

use crate::clock::UnixMs;
use crate::digest::Digest;
use crate::error::Result;
use crate::event::EdgeKind;
use crate::ids::Id;
use crate::snapshot::{Decoder, Encoder};

/// The last thing said about a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    at_ms: UnixMs,
    on: bool,
}

/// One kind of relation in both directions.
#[derive(Debug, Default)]
struct Relation {
    said: HashMap<Id, HashMap<Id, Edge>>,
    /// Only pairs that hold, from the other end.
    reverse: HashMap<Id, HashSet<Id>>,
}

impl Relation {
    /// The later statement holds; at the same millisecond `on_wins_ties` decides.
    fn set(&mut self, from: Id, to: Id, edge: Edge, on_wins_ties: bool) {
        let slot = self.said.entry(from).or_default().entry(to).or_insert(edge);
        let tie = slot.at_ms == edge.at_ms && edge.on == on_wins_ties;
        if edge.at_ms > slot.at_ms || tie {
            *slot = edge;
        }
        if slot.on {
            self.reverse.entry(to).or_default().insert(from);
        } else if let Some(sources) = self.reverse.get_mut(&to) {
            sources.remove(&from);
        }
    }

    fn targets(&self, from: Id) -> HashSet<Id> {
        let said = self.said.get(&from).into_iter().flatten();
        said.filter(|(_, edge)| edge.on)
            .map(|(to, _)| *to)
            .collect()
    }

    fn holds(&self, from: Id, to: Id) -> bool {
        self.said
            .get(&from)
            .and_then(|said| said.get(&to))
            .is_some_and(|edge| edge.on)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        let mut all: Vec<_> = self.said.iter().collect();
        all.sort_unstable_by_key(|(from, _)| **from);
        out.count(all.len())?;
        for (from, said) in all {
            let mut said: Vec<(Id, Edge)> = said.iter().map(|(to, edge)| (*to, *edge)).collect();
            said.sort_unstable();
            out.id(*from)?;
            out.count(said.len())?;
            for (to, edge) in said {
                out.id(to)?;
                out.ms(edge.at_ms)?;
                out.flag(edge.on)?;
            }
        }
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        let mut relation = Self::default();
        let reverse = &mut relation.reverse;
        let read = |input: &mut Decoder<'_>| {
            let from = input.id()?;
            let mut said = HashMap::new();
            let read = |input: &mut Decoder<'_>| {
                let to = input.id()?;
                let (at_ms, on) = (input.ms()?, input.flag()?);
                Ok((to, Edge { at_ms, on }))
            };
            input.entries(read, |to, edge| {
                said.insert(to, edge);
                if edge.on {
                    reverse.entry(to).or_default().insert(from);
                }
            })?;
            Ok((from, said))
        };
        input.entries(read, |from, said| {
            relation.said.insert(from, said);
        })?;
        Ok(relation)
    }

    fn digest(&self, digest: &mut Digest) {
        let mut all: Vec<(Id, Id, Edge)> = self
            .said
            .iter()
            .flat_map(|(from, said)| said.iter().map(|(to, edge)| (*from, *to, *edge)))
            .collect();
        all.sort_unstable();
        for (from, to, edge) in all {
            digest.id(from);
            digest.id(to);
            digest.i64(edge.at_ms);
            digest.flag(edge.on);
        }
    }
}

/// All three relations.
#[derive(Debug, Default)]
pub(super) struct Graph {
    follow: Relation,
    block: Relation,
    mute: Relation,
}

impl Graph {
    /// Blocks and mutes win ties, follows lose them: when in doubt, less is shown.
    pub(super) fn set(&mut self, kind: EdgeKind, from: Id, to: Id, at_ms: UnixMs, on: bool) {
        let edge = Edge { at_ms, on };
        match kind {
            EdgeKind::Follow => self.follow.set(from, to, edge, false),
            EdgeKind::Block => self.block.set(from, to, edge, true),
            EdgeKind::Mute => self.mute.set(from, to, edge, true),
        }
    }

    pub(super) fn following(&self, viewer: Id) -> HashSet<Id> {
        self.follow.targets(viewer)
    }

    pub(super) fn follows(&self, from: Id, to: Id) -> bool {
        self.follow.holds(from, to)
    }

    pub(super) fn blocked(&self, viewer: Id) -> HashSet<Id> {
        self.block.targets(viewer)
    }

    pub(super) fn blocked_by(&self, viewer: Id) -> HashSet<Id> {
        self.block.reverse.get(&viewer).cloned().unwrap_or_default()
    }

    pub(super) fn muted(&self, viewer: Id) -> HashSet<Id> {
        self.mute.targets(viewer)
    }

    pub(super) fn follower_count(&self, user: Id) -> u64 {
        self.follow
            .reverse
            .get(&user)
            .map_or(0, |followers| followers.len() as u64)
    }

    /// Pairs that hold: follows, blocks, mutes.
    pub(super) fn counts(&self) -> [usize; 3] {
        [&self.follow, &self.block, &self.mute]
            .map(|relation| relation.reverse.values().map(HashSet::len).sum())
    }

    pub(super) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        self.follow.encode(out)?;
        self.block.encode(out)?;
        self.mute.encode(out)
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        Ok(Self {
            follow: Relation::decode(input)?,
            block: Relation::decode(input)?,
            mute: Relation::decode(input)?,
        })
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        for (name, relation) in [
            ("follow", &self.follow),
            ("block", &self.block),
            ("mute", &self.mute),
        ] {
            digest.part(name);
            relation.digest(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Id = Id(1);
    const BOB: Id = Id(2);

    #[test]
    fn the_later_statement_holds_in_any_order() {
        for order in [[(1, true), (2, false)], [(2, false), (1, true)]] {
            let mut graph = Graph::default();
            for (at_ms, on) in order {
                graph.set(EdgeKind::Follow, ANN, BOB, at_ms, on);
            }
            assert!(graph.following(ANN).is_empty());
            assert_eq!(graph.follower_count(BOB), 0);
        }
    }

    #[test]
    fn a_block_wins_a_tie_and_a_follow_loses_it() {
        for order in [[true, false], [false, true]] {
            let mut graph = Graph::default();
            for on in order {
                graph.set(EdgeKind::Block, ANN, BOB, 5, on);
                graph.set(EdgeKind::Follow, ANN, BOB, 5, on);
            }
            assert_eq!(graph.blocked(ANN), HashSet::from([BOB]));
            assert_eq!(graph.blocked_by(BOB), HashSet::from([ANN]));
            assert!(!graph.follows(ANN, BOB));
        }
    }
}
