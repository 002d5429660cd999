//! Labels that remove posts.

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts when they, their author or a post they show carry one of the `removing` labels.
#[derive(Debug)]
pub struct Labels {
    /// Names of the labels.
    pub removing: Vec<String>,
}

impl Filter for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn apply(&self, _query: &Query, batch: &CandidateBatch, verdicts: &mut Verdicts) {
        for (row, labels) in batch.labels.iter().enumerate() {
            let hit = labels.iter().find(|label| {
                self.removing
                    .iter()
                    .any(|removing| **removing == *label.name)
            });
            if let Some(label) = hit {
                let detail = format!("the {} is labelled `{}`", label.on, label.name);
                verdicts.remove(row, self.name(), Reason::Labelled, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::ActiveLabel;
    use crate::filters::fixture::{batch, codes, core, query};

    #[test]
    fn only_listed_labels_remove() {
        let mut batch = batch(vec![
            (1, Some(core(1))),
            (2, Some(core(1))),
            (3, Some(core(1))),
        ]);
        let label = |name: &str| {
            vec![ActiveLabel {
                name: name.into(),
                on: "author",
            }]
        };
        batch.labels = vec![label("spam"), label("satire"), Vec::new()];
        let filter = Labels {
            removing: vec!["spam".into()],
        };
        assert_eq!(codes(&filter, &query(), &batch), ["labelled", "", ""]);
    }
}
