//! What posts say: text, language and topics, each decided by the latest edit.

use std::io;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::clock::UnixMs;
use crate::digest::Digest;
use crate::error::Result;
use crate::ids::Id;
use crate::snapshot::{Decoder, Encoder};

/// A value with the time it was set; an edit beats the post it edits at the same millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamped<T> {
    stamp: (UnixMs, bool),
    value: T,
}

impl<T: Ord> Stamped<T> {
    fn set(slot: &mut Option<Self>, stamp: (UnixMs, bool), value: T) {
        let newer = slot.as_ref().is_none_or(|known| {
            stamp > known.stamp || (stamp == known.stamp && value > known.value)
        });
        if newer {
            *slot = Some(Self { stamp, value });
        }
    }
}

impl<T> Stamped<T> {
    fn encode(
        slot: Option<&Self>,
        out: &mut Encoder<'_>,
        write: impl FnOnce(&mut Encoder<'_>, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        out.option(slot, |out, stamped| {
            out.ms(stamped.stamp.0)?;
            out.flag(stamped.stamp.1)?;
            write(out, &stamped.value)
        })
    }

    fn decode(
        input: &mut Decoder<'_>,
        read: impl FnOnce(&mut Decoder<'_>) -> Result<T>,
    ) -> Result<Option<Self>> {
        input.option(|input| {
            Ok(Self {
                stamp: (input.ms()?, input.flag()?),
                value: read(input)?,
            })
        })
    }
}

/// What one post says.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    text: Option<Stamped<Arc<str>>>,
    language: Option<Stamped<Option<String>>>,
    topics: Option<Stamped<Vec<String>>>,
}

impl Content {
    pub(super) fn text(&self) -> Option<&Arc<str>> {
        self.text.as_ref().map(|text| &text.value)
    }

    pub(super) fn language(&self) -> Option<&str> {
        self.language
            .as_ref()
            .and_then(|language| language.value.as_deref())
    }

    pub(super) fn topics(&self) -> &[String] {
        self.topics.as_ref().map_or(&[], |topics| &topics.value)
    }
}

/// New values of a post's content; `None` leaves one as it is.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) text: Option<&'a str>,
    pub(super) language: Option<Option<&'a str>>,
    pub(super) topics: Option<&'a [String]>,
}

/// All contents.
#[derive(Debug, Default)]
pub(super) struct Contents(HashMap<Id, Content>);

impl Contents {
    /// Applies a create (`edit` false) or an edit, in any order of arrival.
    pub(super) fn set(&mut self, post: Id, at_ms: UnixMs, edit: bool, change: &Change<'_>) {
        let content = self.0.entry(post).or_default();
        let stamp = (at_ms, edit);
        if let Some(text) = change.text {
            Stamped::set(&mut content.text, stamp, Arc::from(text));
        }
        if let Some(language) = change.language {
            Stamped::set(&mut content.language, stamp, language.map(str::to_owned));
        }
        if let Some(topics) = change.topics {
            Stamped::set(&mut content.topics, stamp, topics.to_vec());
        }
    }

    pub(super) fn get(&self, post: Id) -> Option<&Content> {
        self.0.get(&post)
    }

    /// Forgets posts that left the store, and edits of posts that never came.
    pub(super) fn trim(&mut self, keep: impl Fn(Id) -> bool, oldest: UnixMs) {
        self.0.retain(|post, content| {
            keep(*post)
                || content
                    .text
                    .as_ref()
                    .is_some_and(|text| text.stamp.0 >= oldest)
                || content
                    .language
                    .as_ref()
                    .is_some_and(|language| language.stamp.0 >= oldest)
                || content
                    .topics
                    .as_ref()
                    .is_some_and(|topics| topics.stamp.0 >= oldest)
        });
    }

    pub(super) fn encode(&self, out: &mut Encoder<'_>) -> io::Result<()> {
        let mut all: Vec<(&Id, &Content)> = self.0.iter().collect();
        all.sort_unstable_by_key(|(post, _)| **post);
        out.count(all.len())?;
        for (post, content) in all {
            out.id(*post)?;
            Stamped::encode(content.text.as_ref(), out, |out, text| out.text(text))?;
            Stamped::encode(content.language.as_ref(), out, |out, language| {
                out.option(language.as_deref(), Encoder::text)
            })?;
            Stamped::encode(content.topics.as_ref(), out, |out, topics| {
                out.count(topics.len())?;
                topics.iter().try_for_each(|topic| out.text(topic))
            })?;
        }
        Ok(())
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Self> {
        let mut all = HashMap::new();
        let read = |input: &mut Decoder<'_>| {
            let post = input.id()?;
            let content = Content {
                text: Stamped::decode(input, |input| Ok(Arc::from(input.text()?)))?,
                language: Stamped::decode(input, |input| input.option(Decoder::text))?,
                topics: Stamped::decode(input, |input| input.list(Decoder::text))?,
            };
            Ok((post, content))
        };
        input.entries(read, |post, content| {
            all.insert(post, content);
        })?;
        Ok(Self(all))
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.part("contents");
        let mut all: Vec<(&Id, &Content)> = self.0.iter().collect();
        all.sort_unstable_by_key(|(post, _)| **post);
        for (post, content) in all {
            digest.id(*post);
            digest.option(content.text(), |digest, text| digest.text(text));
            digest.option(content.language(), Digest::text);
            digest.u64(content.topics().len() as u64);
            for topic in content.topics() {
                digest.text(topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_holds_whether_it_comes_before_or_after_its_post() {
        let post = Change {
            text: Some("old"),
            language: Some(Some("en")),
            topics: Some(&[]),
        };
        let edit = Change {
            text: Some("new"),
            ..Change::default()
        };
        for edit_first in [false, true] {
            let mut contents = Contents::default();
            if edit_first {
                contents.set(Id(1), 10, true, &edit);
            }
            contents.set(Id(1), 10, false, &post);
            if !edit_first {
                contents.set(Id(1), 10, true, &edit);
            }
            let content = contents.get(Id(1)).unwrap();
            assert_eq!(content.text().map(|text| &**text), Some("new"));
            assert_eq!(content.language(), Some("en"));
        }
    }
}
