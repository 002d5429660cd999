//! Blocks and mutes.

use hashbrown::HashSet;

use crate::batch::CandidateBatch;
use crate::ids::Id;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts with anybody in them (the author, or the author of a reposted, quoted or answered
/// post) whom the viewer blocks or mutes, or who blocks the viewer.
///
/// Fails closed: when the lists could not be looked up, everything goes; when the author of a post
/// inside the card is unknown, the card goes, unless all three lists are known to be empty.
#[derive(Debug)]
pub struct SocialGraph;

impl Filter for SocialGraph {
    fn name(&self) -> &'static str {
        "social_graph"
    }

    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        let lists = (
            query.blocked.known(),
            query.muted.known(),
            query.blocked_by.known(),
        );
        let (Some(blocked), Some(muted), Some(blocked_by)) = lists else {
            for row in 0..batch.len() {
                let detail = "the viewer's blocks and mutes could not be looked up".to_owned();
                verdicts.remove(row, self.name(), Reason::SafetyUnknown, detail);
            }
            return;
        };
        let nobody_listed = blocked.is_empty() && muted.is_empty() && blocked_by.is_empty();
        let rules: [(&HashSet<Id>, Reason, &str); 3] = [
            (blocked, Reason::AuthorBlocked, "is blocked by the viewer"),
            (blocked_by, Reason::BlockedByAuthor, "blocks the viewer"),
            (muted, Reason::AuthorMuted, "is muted by the viewer"),
        ];
        for (row, core) in batch.core.iter().enumerate() {
            let Some(core) = core else {
                let detail = "nothing is known about the post".to_owned();
                verdicts.remove(row, self.name(), Reason::SafetyUnknown, detail);
                continue;
            };
            let related = core.related.iter();
            let people = std::iter::once(("", Some(core.author)))
                .chain(related.map(|other| (other.relation.name(), other.author)));
            for (part, person) in people {
                let whose = if part.is_empty() {
                    "the author".to_owned()
                } else {
                    format!("the author of the {part} post")
                };
                let Some(person) = person else {
                    if nobody_listed {
                        continue;
                    }
                    let detail = format!("{whose} is unknown");
                    verdicts.remove(row, self.name(), Reason::RelatedUnknown, detail);
                    break;
                };
                let hit = rules.iter().find(|(list, _, _)| list.contains(&person));
                if let Some((_, reason, how)) = hit {
                    verdicts.remove(row, self.name(), reason.clone(), format!("{whose} {how}"));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{CoreData, RelatedPost, Relation};
    use crate::filters::fixture::{batch, codes, core, inside, query};
    use crate::query::Lookup;

    fn card(related: RelatedPost) -> Option<CoreData> {
        Some(CoreData {
            related: vec![related],
            ..core(1)
        })
    }

    #[test]
    fn every_relation_holds_for_every_part_of_a_card() {
        type Set = fn(&mut Query, HashSet<Id>);
        let rules: [(Set, &str); 3] = [
            (
                |query, list| query.blocked = Lookup::Known(list),
                "author_blocked",
            ),
            (
                |query, list| query.muted = Lookup::Known(list),
                "author_muted",
            ),
            (
                |query, list| query.blocked_by = Lookup::Known(list),
                "blocked_by_author",
            ),
        ];
        let rows = vec![
            (10, Some(core(2))),
            (11, card(inside(Relation::Reposted, 5, Some(2)))),
            (12, card(inside(Relation::Quoted, 5, Some(2)))),
            (13, card(inside(Relation::Ancestor, 5, Some(2)))),
            (14, card(inside(Relation::Ancestor, 5, Some(3)))),
        ];
        for (set, code) in rules {
            let mut query = query();
            set(&mut query, HashSet::from([Id(2)]));
            let found = codes(&SocialGraph, &query, &batch(rows.clone()));
            assert_eq!(found, [code, code, code, code, ""]);
        }
    }

    #[test]
    fn unknown_lists_remove_everything() {
        let mut query = query();
        query.muted = Lookup::Unknown;
        assert_eq!(
            codes(&SocialGraph, &query, &batch(vec![(1, Some(core(1)))])),
            ["safety_unknown"]
        );
    }

    #[test]
    fn an_unknown_person_in_a_card_is_closed_unless_nobody_is_on_any_list() {
        let rows = vec![(1, card(inside(Relation::Quoted, 5, None)))];
        assert_eq!(codes(&SocialGraph, &query(), &batch(rows.clone())), [""]);
        let mut blocking = query();
        blocking.blocked = Lookup::Known(HashSet::from([Id(7)]));
        assert_eq!(
            codes(&SocialGraph, &blocking, &batch(rows)),
            ["related_unknown"]
        );
    }
}
