//! The filters, one file each. A new one: its file here, a row in
//! [`registry::FILTERS`](crate::registry::FILTERS), a reason in [`verdict`](crate::verdict), golden
//! cases. `CONTRIBUTING.md` walks through it.

mod age;
mod duplicates;
mod labels;
mod missing_core_data;
mod muted_keywords;
mod previously_seen;
mod protected;
mod repost_duplicates;
mod self_post;
mod social_graph;

pub use age::Age;
pub use duplicates::Duplicates;
pub use labels::Labels;
pub use missing_core_data::MissingCoreData;
pub use muted_keywords::MutedKeywords;
pub use previously_seen::PreviouslySeen;
pub use protected::Protected;
pub use repost_duplicates::RepostDuplicates;
pub use self_post::SelfPost;
pub use social_graph::SocialGraph;

#[cfg(test)]
pub(crate) mod fixture;
