//! Labels of posts and people, each with its expiry.

use std::io;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::digest::Digest;
use crate::error::Result;
use crate::event::Target;
use crate::ids::Id;
use crate::snapshot::{Decoder, Encoder};
use crate::world::said::Said;

/// All labels.
#[derive(Debug, Default)]
pub(super) struct Labels(HashMap<Target, HashMap<Arc<str>, Said>>);

impl Labels {
    pub(super) fn set(
        &mut self,
        target: Target,
        label: &str,
        at_ms: UnixMs,
        expires_ms: Option<UnixMs>,
        on: bool,
    ) {
        let said = Said::new(at_ms, on, expires_ms);
        let slot = self
            .0
            .entry(target)
            .or_default()
            .entry(label.into())
            .or_insert(said);
        *slot = (*slot).max(said);
    }

    /// Labels of `target` that hold at `now`, by name. One that expires at `now` no longer holds.
    pub(super) fn active(&self, target: Target, now: UnixMs) -> Vec<Arc<str>> {
        let Some(labels) = self.0.get(&target) else {
            return Vec::new();
        };
        let mut active: Vec<Arc<str>> = labels
            .iter()
            .filter(|(_, said)| said.holds(now))
            .map(|(label, _)| Arc::clone(label))
            .collect();
        active.sort_unstable();
        active
    }

    /// Forgets what was said before `oldest` about posts that are not stored.
    pub(super) fn trim(&mut self, is_stored: impl Fn(Id) -> bool, oldest: UnixMs) {
        self.0.retain(|target, labels| match target {
            Target::Post(post) if !is_stored(*post) => {
                labels.retain(|_, said| said.at_ms >= oldest);
                !labels.is_empty()
            }
            _ => true,
        });
    }

    pub(super) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable_by_key(|(target, _)| **target);
        out.count(all.len())?;
        for (target, labels) in all {
            let (is_user, id) = match target {
                Target::Post(post) => (false, post),
                Target::User(user) => (true, user),
            };
            out.flag(is_user)?;
            out.id(*id)?;
            let mut labels: Vec<_> = labels.iter().collect();
            labels.sort_unstable();
            out.count(labels.len())?;
            for (label, said) in labels {
                out.text(label)?;
                said.encode(out)?;
            }
        }
        Ok(())
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        let mut all = HashMap::new();
        let read = |input: &mut Decoder<'_>| {
            let target = match (input.flag()?, input.id()?) {
                (false, post) => Target::Post(post),
                (true, user) => Target::User(user),
            };
            let mut labels: HashMap<Arc<str>, Said> = HashMap::new();
            let read = |input: &mut Decoder<'_>| Ok((input.text()?, Said::decode(input)?));
            input.entries(read, |label, said| {
                labels.insert(label.into(), said);
            })?;
            Ok((target, labels))
        };
        input.entries(read, |target, labels| {
            all.insert(target, labels);
        })?;
        Ok(Self(all))
    }

    /// Labels that were ever put on or taken off and are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.part("labels");
        let mut all: Vec<(&Target, &Arc<str>, &Said)> = self
            .0
            .iter()
            .flat_map(|(target, labels)| {
                labels
                    .iter()
                    .map(move |(label, said)| (target, label, said))
            })
            .collect();
        all.sort_unstable();
        for (target, label, said) in all {
            match target {
                Target::Post(id) => digest.option(Some(*id), Digest::id),
                Target::User(id) => {
                    digest.option(None, Digest::id);
                    digest.id(*id);
                }
            }
            digest.text(label);
            said.digest(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: Target = Target::Post(Id(1));

    #[test]
    fn a_label_holds_until_the_millisecond_it_expires() {
        let mut labels = Labels::default();
        labels.set(POST, "spam", 10, Some(100), true);
        assert_eq!(labels.active(POST, 99).len(), 1);
        assert!(labels.active(POST, 100).is_empty());
        assert!(labels.active(POST, 101).is_empty());
    }

    #[test]
    fn a_later_removal_holds_and_an_earlier_one_does_not() {
        let mut labels = Labels::default();
        labels.set(POST, "spam", 10, None, true);
        labels.set(POST, "spam", 9, None, false);
        assert_eq!(labels.active(POST, i64::MAX).len(), 1);
        labels.set(POST, "spam", 11, None, false);
        assert!(labels.active(POST, 12).is_empty());
    }
}
