//! What the viewer knows already.

use crate::batch::{CandidateBatch, Relation};
use crate::ids::Id;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts that the viewer has seen, posts that repeat one and posts that answer one
/// directly. Quoted posts and further ancestors do not count. Not knowing what was seen is a matter
/// of quality, not of safety: then nothing goes.
#[derive(Debug)]
pub struct PreviouslySeen;

impl Filter for PreviouslySeen {
    fn name(&self) -> &'static str {
        "previously_seen"
    }

    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        let Some(seen) = query.seen.known() else {
            return;
        };
        for (row, post) in batch.post_id.iter().enumerate() {
            let related = batch.core[row]
                .as_ref()
                .map_or(&[][..], |core| &core.related);
            let of = |relation| related.iter().find(move |other| other.relation == relation);
            // Ancestors are listed nearest first, so the first one is the post it answers.
            let parts: [(&str, Option<Id>); 3] = [
                ("the post", Some(*post)),
                (
                    "the post it repeats",
                    of(Relation::Reposted).map(|other| other.post),
                ),
                (
                    "the post it answers",
                    of(Relation::Ancestor).map(|other| other.post),
                ),
            ];
            let hit = parts
                .iter()
                .find(|(_, id)| id.is_some_and(|id| seen.contains(&id)));
            if let Some((part, _)) = hit {
                verdicts.remove(row, self.name(), Reason::Seen, format!("{part} was seen"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hashbrown::HashSet;

    use super::*;
    use crate::batch::CoreData;
    use crate::filters::fixture::{batch, codes, core, inside, query};
    use crate::query::Lookup;

    #[test]
    fn own_reposted_and_answered_posts_count_and_quoted_and_further_ones_do_not() {
        let card = |related| Some(CoreData { related, ..core(1) });
        let rows = vec![
            (55, Some(core(1))),
            (1, card(vec![inside(Relation::Reposted, 55, None)])),
            (2, card(vec![inside(Relation::Ancestor, 55, None)])),
            (3, card(vec![inside(Relation::Quoted, 55, None)])),
            (
                4,
                card(vec![
                    inside(Relation::Ancestor, 6, None),
                    inside(Relation::Ancestor, 55, None),
                ]),
            ),
        ];
        let mut query = query();
        query.seen = Lookup::Known(HashSet::from([Id(55)]));
        assert_eq!(
            codes(&PreviouslySeen, &query, &batch(rows.clone())),
            ["seen", "seen", "seen", "", ""]
        );
        query.seen = Lookup::Unknown;
        assert_eq!(codes(&PreviouslySeen, &query, &batch(rows)), [""; 5]);
    }
}
