//! Removes what is too old.

use crate::batch::CandidateBatch;
use crate::clock::age_ms;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts older than `max_age_ms`; a post of exactly that age stays. Counts from the post
/// itself: a fresh repost of an old post stays.
#[derive(Debug)]
pub struct Age {
    /// The limit.
    pub max_age_ms: u64,
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn hours(ms: u64) -> String {
    let hours = format!("{:.1}", ms as f64 / 3_600_000.0);
    format!("{} h", hours.strip_suffix(".0").unwrap_or(&hours))
}

impl Filter for Age {
    fn name(&self) -> &'static str {
        "age"
    }

    fn apply(&self, query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        for (row, core) in batch.core.iter().enumerate() {
            let Some(core) = core else { continue };
            match age_ms(query.now_ms, core.created_ms) {
                Some(age) if age > self.max_age_ms => {
                    let detail = format!("{} > {}", hours(age), hours(self.max_age_ms));
                    verdicts.remove(row, self.name(), Reason::TooOld, detail);
                }
                Some(_) => {}
                None => {
                    let detail = format!(
                        "made at {} ms, asked at {} ms",
                        core.created_ms, query.now_ms
                    );
                    verdicts.remove(row, self.name(), Reason::FromTheFuture, detail);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::fixture::{NOW, batch, codes, core, query};

    #[test]
    fn the_limit_is_inclusive_and_the_future_is_out() {
        let at = |created_ms| {
            Some(crate::batch::CoreData {
                created_ms,
                ..core(1)
            })
        };
        let rows = vec![
            (1, at(NOW - 500)),
            (2, at(NOW - 501)),
            (3, at(NOW)),
            (4, at(NOW + 1)),
        ];
        let found = codes(&Age { max_age_ms: 500 }, &query(), &batch(rows));
        assert_eq!(found, ["", "too_old", "", "from_the_future"]);
    }

    #[test]
    fn hours_are_short() {
        assert_eq!(hours(172_800_000), "48 h");
        assert_eq!(hours(184_320_000), "51.2 h");
    }
}
