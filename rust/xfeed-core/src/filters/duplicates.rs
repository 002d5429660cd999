//! Removes the same post from a later source.

use hashbrown::HashSet;

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes rows whose post is in an earlier row: the first source wins.
#[derive(Debug)]
pub struct Duplicates;

impl Filter for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn apply(&self, _query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        let mut met = HashSet::with_capacity(batch.len());
        for (row, post) in batch.post_id.iter().enumerate() {
            if verdicts.is_kept(row) && !met.insert(*post) {
                let source = batch.sources.get(usize::from(batch.source[row]));
                let detail = format!("again from {}", source.map_or("a source", String::as_str));
                verdicts.remove(row, self.name(), Reason::Duplicate, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::fixture::{batch, codes, query};

    #[test]
    fn the_first_row_stays() {
        let rows = [5, 7, 5, 9, 7].map(|id| (id, None)).to_vec();
        let found = codes(&Duplicates, &query(), &batch(rows));
        assert_eq!(found, ["", "", "duplicate", "", "duplicate"]);
    }
}
