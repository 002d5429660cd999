//! Labels that remove posts.

use crate::batch::CandidateBatch;
use crate::query::Query;
use crate::stage::Filter;
use crate::verdict::{Reason, Verdicts};

/// Removes posts when they, their author or a post they show carry one of the `removing` labels, and
/// posts whose labels were not looked up.
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
            let Some(labels) = labels else {
                let detail = "the labels could not be looked up".to_owned();
                verdicts.remove(row, self.name(), Reason::SafetyUnknown, detail);
                continue;
            };
            let removes = |name: &str| {
                self.removing
                    .iter()
                    .any(|removing| removing.eq_ignore_ascii_case(name))
            };
            if let Some(label) = labels.iter().find(|label| removes(&label.name)) {
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
    fn listed_and_unknown_labels_remove() {
        let mut batch = batch((1..=4).map(|id| (id, Some(core(1)))).collect());
        let label = |name: &str| {
            let name = name.into();
            Some(vec![ActiveLabel { name, on: "author" }])
        };
        batch.labels = vec![label("spam"), label("satire"), Some(Vec::new()), None];
        let filter = Labels {
            removing: vec!["spam".into()],
        };
        assert_eq!(
            codes(&filter, &query(), &batch),
            ["labelled", "", "", "safety_unknown"]
        );
    }
}
