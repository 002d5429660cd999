//! Profiles and muted words.

use std::collections::BTreeMap;
use std::io;

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::digest::Digest;
use crate::error::Result;
use crate::event::Profile;
use crate::ids::Id;
use crate::keywords::canonical;
use crate::query::MutedWords;
use crate::snapshot::{Decoder, Encoder};
use crate::world::said::Said;

/// Profiles and muted words of everybody.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Profiles with the time of each field.
    profiles: HashMap<Id, (Profile, [UnixMs; 6])>,
    /// Words in alphabetical order, so that the first match is the same on every machine.
    words: HashMap<Id, BTreeMap<String, Said>>,
}

impl People {
    /// Each field keeps the last thing said about it; of two at the same millisecond the larger one
    /// holds, so that the order of arrival does not decide. What is left out stays as it was.
    pub(super) fn set_profile(&mut self, user: Id, at_ms: UnixMs, said: Profile) {
        fn latest<T: Ord>(
            known: &mut Option<T>,
            known_ms: &mut UnixMs,
            said: Option<T>,
            at_ms: UnixMs,
        ) {
            let newer = at_ms > *known_ms || (at_ms == *known_ms && said > *known);
            if said.is_some() && (known.is_none() || newer) {
                *known = said;
                *known_ms = at_ms;
            }
        }
        let (known, ms) = self.profiles.entry(user).or_default();
        latest(&mut known.handle, &mut ms[0], said.handle, at_ms);
        latest(&mut known.name, &mut ms[1], said.name, at_ms);
        latest(&mut known.language, &mut ms[2], said.language, at_ms);
        latest(&mut known.created_ms, &mut ms[3], said.created_ms, at_ms);
        latest(&mut known.protected, &mut ms[4], said.protected, at_ms);
        latest(
            &mut known.follower_count,
            &mut ms[5],
            said.follower_count,
            at_ms,
        );
    }

    pub(super) fn profile(&self, user: Id) -> Option<&Profile> {
        self.profiles.get(&user).map(|(profile, _)| profile)
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
        let slot = words.entry(canonical(word)).or_insert(said);
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

    pub(super) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        let mut profiles: Vec<_> = self.profiles.iter().collect();
        profiles.sort_unstable_by_key(|(user, _)| **user);
        out.count(profiles.len())?;
        for (user, (profile, times)) in profiles {
            out.id(*user)?;
            times.iter().try_for_each(|at_ms| out.ms(*at_ms))?;
            for text in [&profile.handle, &profile.name, &profile.language] {
                out.option(text.as_deref(), Encoder::text)?;
            }
            out.option(profile.created_ms, Encoder::ms)?;
            out.option(profile.protected, Encoder::flag)?;
            out.option(profile.follower_count, Encoder::u64)?;
        }
        let mut words: Vec<_> = self.words.iter().collect();
        words.sort_unstable_by_key(|(viewer, _)| **viewer);
        out.count(words.len())?;
        for (viewer, said) in words {
            out.id(*viewer)?;
            out.count(said.len())?;
            for (word, said) in said {
                out.text(word)?;
                said.encode(out)?;
            }
        }
        Ok(())
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        let mut people = Self::default();
        let read = |input: &mut Decoder<'_>| {
            let user = input.id()?;
            let mut times = [0; 6];
            for at_ms in &mut times {
                *at_ms = input.ms()?;
            }
            let profile = Profile {
                handle: input.option(Decoder::text)?,
                name: input.option(Decoder::text)?,
                language: input.option(Decoder::text)?,
                created_ms: input.option(Decoder::ms)?,
                protected: input.option(Decoder::flag)?,
                follower_count: input.option(Decoder::u64)?,
            };
            Ok((user, (profile, times)))
        };
        input.entries(read, |user, profile| {
            people.profiles.insert(user, profile);
        })?;
        let read = |input: &mut Decoder<'_>| {
            let viewer = input.id()?;
            let mut words = BTreeMap::new();
            let read = |input: &mut Decoder<'_>| Ok((input.text()?, Said::decode(input)?));
            input.entries(read, |word, said| {
                words.insert(word, said);
            })?;
            Ok((viewer, words))
        };
        input.entries(read, |viewer, words| {
            people.words.insert(viewer, words);
        })?;
        Ok(people)
    }

    /// Words that were ever muted or unmuted.
    pub(super) fn word_count(&self) -> usize {
        self.words.values().map(BTreeMap::len).sum()
    }

    pub(super) fn profile_count(&self) -> usize {
        self.profiles.len()
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.part("profiles");
        let mut profiles: Vec<_> = self.profiles.iter().collect();
        profiles.sort_unstable_by_key(|(user, _)| **user);
        for (user, (profile, times)) in profiles {
            digest.id(*user);
            for at_ms in times {
                digest.i64(*at_ms);
            }
            for text in [&profile.handle, &profile.name, &profile.language] {
                digest.option(text.as_deref(), Digest::text);
            }
            digest.option(profile.created_ms, Digest::i64);
            digest.option(profile.protected, Digest::flag);
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
