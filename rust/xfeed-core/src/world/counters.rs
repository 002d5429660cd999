//! How many viewers did what with each post.

use std::io;

use hashbrown::HashMap;

use crate::action::{ACTIONS, ActionSet, N_DISCRETE, Sign, idx};
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::Id;
use crate::snapshot::{Decoder, Encoder};

/// Counts of one post.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often it was shown.
    pub impressions: u64,
    /// Viewers per discrete action, each counted once.
    pub viewers: [u32; N_DISCRETE],
}

impl Counts {
    /// Positive actions on the post, each viewer counted once per action; staying on it is none.
    pub fn engagements(&self) -> u64 {
        let counts = |row: usize| ACTIONS[row].sign == Sign::Positive && row != idx::DWELL;
        (0..N_DISCRETE)
            .filter(|row| counts(*row))
            .map(|row| u64::from(self.viewers[row]))
            .sum()
    }
}

/// Counts of all posts.
#[derive(Debug, Default)]
pub(super) struct Counters(HashMap<Id, Counts>);

impl Counters {
    pub(super) fn shown(&mut self, post: Id) {
        self.0.entry(post).or_default().impressions += 1;
    }

    pub(super) fn acted(&mut self, post: Id, actions: ActionSet) {
        if actions.0 == 0 {
            return;
        }
        let counts = self.0.entry(post).or_default();
        for (idx, count) in counts.viewers.iter_mut().enumerate() {
            *count += u32::from(actions.contains(idx));
        }
    }

    pub(super) fn get(&self, post: Id) -> Counts {
        self.0.get(&post).copied().unwrap_or_default()
    }

    pub(super) fn forget(&mut self, post: Id) {
        self.0.remove(&post);
    }

    pub(super) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        let mut all: Vec<(&Id, &Counts)> = self.0.iter().collect();
        all.sort_unstable_by_key(|(post, _)| **post);
        out.count(all.len())?;
        for (post, counts) in all {
            out.id(*post)?;
            out.u64(counts.impressions)?;
            for viewers in counts.viewers {
                out.u64(u64::from(viewers))?;
            }
        }
        Ok(())
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        let mut all = HashMap::new();
        let read = |input: &mut Decoder<'_>| {
            let post = input.id()?;
            let mut counts = Counts {
                impressions: input.tally(1 << 63)?,
                ..Counts::default()
            };
            for viewers in &mut counts.viewers {
                let tally = input.tally(1 << 31)?;
                *viewers = u32::try_from(tally).unwrap_or(u32::MAX);
            }
            Ok((post, counts))
        };
        input.entries(read, |post, counts| {
            all.insert(post, counts);
        })?;
        Ok(Self(all))
    }

    /// Only of posts in the store: those of others come and go with the order of arrival.
    pub(super) fn digest(&self, digest: &mut Digest, is_stored: impl Fn(Id) -> bool) {
        digest.part("counters");
        let mut all: Vec<(&Id, &Counts)> = self
            .0
            .iter()
            .filter(|(post, _)| is_stored(**post))
            .collect();
        all.sort_unstable_by_key(|(post, _)| **post);
        for (post, counts) in all {
            digest.id(*post);
            digest.u64(counts.impressions);
            counts
                .viewers
                .iter()
                .for_each(|count| digest.u64(u64::from(*count)));
        }
    }
}
