//! Profiles and muted words.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::event::Profile;
use crate::ids::Id;
use crate::query::MutedWords;
use crate::world::digest::Digest;
use crate::world::said::Said;

/// Profiles and muted words of everybody.
#[derive(Debug, Default)]
pub(super) struct People {
    profiles: HashMap<Id, (UnixMs, Profile)>,
    /// Words in alphabetical order, so that the first match is the same on every machine.
    words: HashMap<Id, BTreeMap<String, Said>>,
}

impl People {
    /// A later profile replaces an earlier one as a whole; of two at the same millisecond the larger
    /// one holds, so that the order of arrival does not decide.
    pub(super) fn set_profile(&mut self, user: Id, at_ms: UnixMs, profile: Profile) {
        let said = (at_ms, profile);
        match self.profiles.get_mut(&user) {
            Some(known) if *known >= said => {}
            Some(known) => *known = said,
            None => {
                self.profiles.insert(user, said);
            }
        }
    }

    pub(super) fn profile(&self, user: Id) -> Option<&Profile> {
        self.profiles.get(&user).map(|(_, profile)| profile)
    }

    pub(super) fn set_word(
        &mut self,
        viewer: Id,
        word: &str,
        at_ms: UnixMs,
        expires_ms: Option<UnixMs>,
        on: bool,
    ) {
        let said = Said::new(at_ms, on, expires_ms);
        let words = self.words.entry(viewer).or_default();
        let slot = words.entry(word.to_owned()).or_insert(said);
        *slot = (*slot).max(said);
    }

    /// Words that `viewer` mutes at `now`.
    pub(super) fn muted_words(&self, viewer: Id, now: UnixMs) -> MutedWords {
        let words = self.words.get(&viewer).into_iter().flatten();
        MutedWords::new(
            words
                .filter(|(_, said)| said.holds(now))
                .map(|(word, _)| word.clone())
                .collect(),
        )
    }

    pub(super) fn profile_count(&self) -> usize {
        self.profiles.len()
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.part("profiles");
        let mut profiles: Vec<_> = self.profiles.iter().collect();
        profiles.sort_unstable_by_key(|(user, _)| **user);
        for (user, (at_ms, profile)) in profiles {
            digest.id(*user);
            digest.i64(*at_ms);
            for text in [&profile.handle, &profile.name, &profile.language] {
                digest.option(text.as_deref(), Digest::text);
            }
            digest.option(profile.created_ms, Digest::i64);
            digest.flag(profile.protected);
            digest.option(profile.follower_count, Digest::u64);
        }
        digest.part("words");
        let mut words: Vec<_> = self.words.iter().collect();
        words.sort_unstable_by_key(|(viewer, _)| **viewer);
        for (viewer, said) in words {
            digest.id(*viewer);
            for (word, said) in said {
                digest.text(word);
                said.digest(digest);
            }
        }
    }
}
