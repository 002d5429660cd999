//! The action table as Python sees it.

use pyo3::prelude::*;
use xfeed_core::action::{ACTIONS, ActionKind, DWELLED_AT_SECS, Origin, Sign};

type Row = (
    &'static str,
    Option<u8>,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// Every action in table order: `(name, published number, kind, sign, origin, meaning)`.
#[pyfunction]
pub(crate) fn actions() -> Vec<Row> {
    ACTIONS
        .iter()
        .map(|action| {
            let kind = match action.kind {
                ActionKind::Discrete => "discrete",
                ActionKind::Continuous => "continuous",
            };
            let sign = match action.sign {
                Sign::Positive => "positive",
                Sign::Negative => "negative",
            };
            let origin = match action.origin {
                Origin::Sent => "sent",
                Origin::SentWithSeconds => "sent with seconds",
                Origin::Derived => "derived",
            };
            (
                action.name,
                action.published_number,
                kind,
                sign,
                origin,
                action.meaning,
            )
        })
        .collect()
}

/// Seconds on a post from which it counts as `dwell`.
#[pyfunction]
pub(crate) fn dwelled_at_secs() -> f32 {
    DWELLED_AT_SECS
}
