//! The table of filters.

use crate::error::{Error, Result};
use crate::filters::{
    Age, Duplicates, Labels, MissingCoreData, MutedKeywords, PreviouslySeen, Protected,
    RepostDuplicates, SelfPost, SocialGraph,
};
use crate::stage::{Filter, FilterSettings};

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct FilterSpec {
    /// Name in config, answers and docs.
    pub name: &'static str,
    /// What it removes, for docs.
    pub removes: &'static str,
    /// Builds it.
    pub build: fn(&FilterSettings) -> Box<dyn Filter>,
}

/// Every filter, in default order: cheap ones first, safety before quality.
pub const FILTERS: &[FilterSpec] = &[
    FilterSpec {
        name: "duplicates",
        removes: "posts that an earlier source brought already",
        build: |_| Box::new(Duplicates),
    },
    FilterSpec {
        name: "missing_core_data",
        removes: "posts that are not in the store, and reposts and quotes of such posts",
        build: |_| Box::new(MissingCoreData),
    },
    FilterSpec {
        name: "age",
        removes: "posts older than the age limit, and posts from the future",
        build: |settings| {
            Box::new(Age {
                max_age_ms: settings.max_age_ms,
            })
        },
    },
    FilterSpec {
        name: "self_post",
        removes: "the viewer's own posts and reposts of them",
        build: |_| Box::new(SelfPost),
    },
    FilterSpec {
        name: "social_graph",
        removes: "posts with anybody in them whom the viewer blocks or mutes, or who blocks the viewer",
        build: |_| Box::new(SocialGraph),
    },
    FilterSpec {
        name: "protected",
        removes: "posts with a protected author in them whom the viewer does not follow",
        build: |_| Box::new(Protected),
    },
    FilterSpec {
        name: "labels",
        removes: "posts with a label that removes posts",
        build: |settings| {
            Box::new(Labels {
                removing: settings.removing_labels.clone(),
            })
        },
    },
    FilterSpec {
        name: "muted_keywords",
        removes: "posts that hold a word the viewer muted",
        build: |_| Box::new(MutedKeywords),
    },
    FilterSpec {
        name: "previously_seen",
        removes: "posts the viewer has seen, also inside a repost or above a reply",
        build: |_| Box::new(PreviouslySeen),
    },
    FilterSpec {
        name: "repost_duplicates",
        removes: "reposts of posts that are there already, and posts whose repost is",
        build: |_| Box::new(RepostDuplicates),
    },
];

/// Builds the filter called `name`.
///
/// # Errors
/// When there is none of that name.
pub fn build_filter(name: &str, settings: &FilterSettings) -> Result<Box<dyn Filter>> {
    match FILTERS.iter().find(|spec| spec.name == name) {
        Some(spec) => Ok((spec.build)(settings)),
        None => {
            let names: Vec<&str> = FILTERS.iter().map(|spec| spec.name).collect();
            let hint = format!("the built-in filters are {}", names.join(", "));
            Err(Error::config(format!("there is no filter `{name}`"), hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_built_under_its_own_name() {
        let settings = FilterSettings {
            max_age_ms: 1,
            removing_labels: Vec::new(),
        };
        for spec in FILTERS {
            assert_eq!(
                build_filter(spec.name, &settings).unwrap().name(),
                spec.name
            );
        }
        assert!(build_filter("aeg", &settings).is_err());
    }
}
