//! Words the viewer does not want to read.

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts in which a muted word can be read: in the own, the reposted or the quoted text, or
/// in a handle or a name on the card. Unknown words are closed: everything goes.
#[derive(Debug)]
pub struct MutedKeywords;

impl Filter for MutedKeywords {
    fn name(&self) -> &'static str {
        "muted_keywords"
    }

    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        let Some(muted) = query.muted_words.known() else {
            for row in 0..batch.len() {
                let detail = "the viewer's muted words could not be looked up".to_owned();
                verdicts.remove(row, self.name(), Reason::SafetyUnknown, detail);
            }
            return;
        };
        if muted.matcher.is_empty() {
            return;
        }
        for (row, core) in batch.core.iter().enumerate() {
            if !verdicts.is_kept(row) {
                continue; // Looking for words is dear.
            }
            let Some(core) = core else {
                let detail = "nothing is known about the post".to_owned();
                verdicts.remove(row, self.name(), Reason::SafetyUnknown, detail);
                continue;
            };
            let hit = core
                .texts
                .iter()
                .filter_map(|text| muted.matcher.find(text))
                .min();
            if let Some(word) = hit {
                let detail = format!("muted: `{}`", muted.words[word]);
                verdicts.remove(row, self.name(), Reason::MutedWord, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::CoreData;
    use crate::filters::fixture::{batch, codes, core, query};
    use crate::query::{Lookup, MutedWords};

    #[test]
    fn any_text_of_the_card_counts() {
        let says = |texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).into()).collect();
            Some(CoreData { texts, ..core(1) })
        };
        let rows = vec![
            (1, says(&["hello"])),
            (2, says(&["hello", "a SPOILER!"])),
            (3, says(&[])),
        ];
        let mut query = query();
        query.muted_words = Lookup::Known(MutedWords::new(vec!["spoiler".into()]));
        assert_eq!(
            codes(&MutedKeywords, &query, &batch(rows)),
            ["", "muted_word", ""]
        );
    }

    #[test]
    fn unknown_words_remove_everything() {
        let mut query = query();
        query.muted_words = Lookup::Unknown;
        let found = codes(&MutedKeywords, &query, &batch(vec![(1, Some(core(1)))]));
        assert_eq!(found, ["safety_unknown"]);
    }
}
