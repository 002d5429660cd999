//! Predictions times weights, summed, then moved so that disliked posts end up below all others.
//!
//! `net = Σ prediction × weight`. With `P` and `N` the sums of the positive and of the negated
//! negative weights of probabilities and `T = P + N`: a net of 0 or more gives `net + offset`, a
//! negative one `(net + N) / T × offset`, which lies in `[0, offset)`. Source: the published value
//! model of August 2026.

use crate::action::{ACTIONS, ActionKind, Sign, idx};
use crate::error::{Error, Result};

/// Weights and switches; Python's presets hold the values.
#[derive(Debug, Clone)]
pub struct WeightedSettings {
    /// One weight per row of [`ACTIONS`].
    pub weights: Vec<f64>,
    /// Added to the reply weight for originals by authors who follow the viewer back.
    pub mutual_reply_boost: f64,
    /// Added to the dwell weight likewise.
    pub mutual_dwell_boost: f64,
    /// A video counts for `video_quality_view` only when it is longer.
    pub min_video_ms: i64,
    /// Viewers with this many followers or more do not count video views.
    pub max_video_viewer_followers: u64,
    /// Whether quoted videos must be longer than `min_video_ms` too.
    pub check_quoted_duration: bool,
    /// Whether seconds in an opened post that few favorite count less.
    pub low_favorite_penalty: bool,
    /// Where the scores of liked posts begin.
    pub offset: f64,
}

/// What decides which weights a row gets.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowFacts {
    /// Whether the author is followed; `None` when unknown.
    pub in_network: Option<bool>,
    /// Whether viewer and author follow each other and the post is neither reply nor repost.
    pub mutual_original: bool,
    /// Length of its video, if it has one.
    pub video_ms: Option<i64>,
    /// Length of the quoted video, if there is one.
    pub quoted_video_ms: Option<i64>,
}

/// The result of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    /// Prediction times weight, per action; 0 where nothing was predicted.
    pub products: Vec<f64>,
    /// Weight that was used, per action.
    pub weights: Vec<f64>,
    /// Sum of the products, positive ones and negative ones added up apart.
    pub net: f64,
    /// The net after the offset step.
    pub score: f64,
}

/// The offset step, apart from the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    /// `P`.
    pub positive_sum: f64,
    /// `N`.
    pub negative_sum: f64,
    /// Where liked posts begin.
    pub offset: f64,
}

impl Offset {
    /// Sums up `weights`; the continuous heads and the boosts do not count.
    pub fn new(weights: &[f64], offset: f64) -> Self {
        let sum = |sign: Sign| -> f64 {
            let counts = |action: &crate::action::ActionSpec| {
                action.kind == ActionKind::Discrete && action.sign == sign
            };
            ACTIONS
                .iter()
                .zip(weights)
                .filter(|(action, _)| counts(action))
                .map(|(_, w)| w)
                .sum()
        };
        Self {
            positive_sum: sum(Sign::Positive),
            negative_sum: -sum(Sign::Negative),
            offset,
        }
    }

    /// The score of `net`.
    pub fn apply(&self, net: f64) -> f64 {
        let total = self.positive_sum + self.negative_sum;
        if total == 0.0 {
            net.max(0.0)
        } else if net < 0.0 {
            (net + self.negative_sum) / total * self.offset
        } else {
            net + self.offset
        }
    }

    /// The net of `score`.
    pub fn invert(&self, score: f64) -> f64 {
        let total = self.positive_sum + self.negative_sum;
        if score < self.offset {
            score / self.offset * total - self.negative_sum
        } else {
            score - self.offset
        }
    }
}

fn weight_of(
    action: usize,
    facts: &RowFacts,
    viewer_followers: Option<u64>,
    predictions: &[f64],
    settings: &WeightedSettings,
) -> f64 {
    let weight = settings.weights[action];
    let long = |video: Option<i64>| video.is_some_and(|ms| ms > settings.min_video_ms);
    match action {
        idx::VIDEO_QUALITY_VIEW => {
            let few = viewer_followers.is_none_or(|n| n < settings.max_video_viewer_followers);
            if few && long(facts.video_ms) {
                weight
            } else {
                0.0
            }
        }
        idx::QUOTED_VIDEO_QUALITY_VIEW if settings.check_quoted_duration => {
            if long(facts.quoted_video_ms) {
                weight
            } else {
                0.0
            }
        }
        idx::REPLY if facts.mutual_original => weight + settings.mutual_reply_boost,
        idx::DWELL if facts.mutual_original => weight + settings.mutual_dwell_boost,
        idx::POST_UNEXPLORED if facts.in_network != Some(true) => 0.0,
        idx::CLICK_DWELL_TIME if settings.low_favorite_penalty => {
            // Published: value × clamp((favorite / 0.01) ^ 0.5, 0.01, 1), if both are predicted.
            let favorite = predictions[idx::FAVORITE];
            if favorite.is_nan() {
                weight
            } else {
                weight * (favorite / 0.01).sqrt().clamp(0.01, 1.0)
            }
        }
        _ => weight,
    }
}

/// Scores rows of predictions, each `ACTIONS.len()` long; a value that is not finite counts as not
/// predicted. `viewer_followers` is `None` when unknown.
///
/// # Errors
/// When the lengths do not fit each other or a weight is not finite.
pub fn weighted_sum(
    predictions: &[f64],
    facts: &[RowFacts],
    viewer_followers: Option<u64>,
    settings: &WeightedSettings,
) -> Result<Vec<Weighted>> {
    let width = ACTIONS.len();
    if settings.weights.len() != width || settings.weights.iter().any(|w| !w.is_finite()) {
        return Err(Error::config(
            format!("{width} weights, all finite, are needed: one per action"),
            "use the weights of a preset, changed by name",
        ));
    }
    if predictions.len() != facts.len() * width {
        return Err(Error::shape(
            format!(
                "{} predictions for {} rows of {width}",
                predictions.len(),
                facts.len()
            ),
            "pass float64 predictions of shape (rows, actions)",
        ));
    }
    let offset = Offset::new(&settings.weights, settings.offset);
    let score_row = |(predictions, facts): (&[f64], &RowFacts)| {
        let weights: Vec<f64> = (0..width)
            .map(|action| weight_of(action, facts, viewer_followers, predictions, settings))
            .collect();
        let products: Vec<f64> = predictions
            .iter()
            .zip(&weights)
            .map(|(p, w)| if p.is_finite() { p * w } else { 0.0 })
            .collect();
        let positive: f64 = products.iter().filter(|product| **product >= 0.0).sum();
        let negative: f64 = -products
            .iter()
            .filter(|product| **product < 0.0)
            .sum::<f64>();
        let net = positive - negative;
        Weighted {
            products,
            weights,
            net,
            score: offset.apply(net),
        }
    };
    Ok(predictions
        .chunks_exact(width)
        .zip(facts)
        .map(score_row)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> WeightedSettings {
        let mut weights = vec![0.0; ACTIONS.len()];
        weights[idx::FAVORITE] = 0.5;
        weights[idx::REPLY] = 5.0;
        weights[idx::BLOCK_AUTHOR] = -31.2;
        weights[idx::VIDEO_QUALITY_VIEW] = 0.05;
        weights[idx::POST_UNEXPLORED] = 0.02;
        WeightedSettings {
            weights,
            mutual_reply_boost: 15.0,
            mutual_dwell_boost: 0.0,
            min_video_ms: 10_000,
            max_video_viewer_followers: 10_000,
            check_quoted_duration: false,
            low_favorite_penalty: false,
            offset: 0.001,
        }
    }

    fn one(set: &[(usize, f64)], facts: RowFacts, followers: Option<u64>) -> Weighted {
        let mut predictions = vec![f64::NAN; ACTIONS.len()];
        for (action, value) in set {
            predictions[*action] = *value;
        }
        weighted_sum(&predictions, &[facts], followers, &settings())
            .unwrap()
            .remove(0)
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn products_sum_to_the_net_and_liked_posts_begin_at_the_offset() {
        let row = one(
            &[(idx::FAVORITE, 0.2), (idx::REPLY, 0.1)],
            RowFacts::default(),
            None,
        );
        assert!(close(row.products.iter().sum::<f64>(), row.net));
        assert!(close(row.score, 0.6 + 0.001));
    }

    #[test]
    fn disliked_posts_stay_below_every_liked_one() {
        let row = one(
            &[(idx::FAVORITE, 0.1), (idx::BLOCK_AUTHOR, 0.9)],
            RowFacts::default(),
            None,
        );
        assert!(row.net < 0.0);
        assert!((0.0..0.001).contains(&row.score));
    }

    #[test]
    fn what_is_not_finite_counts_as_not_predicted() {
        let facts = RowFacts::default();
        let row = one(
            &[(idx::FAVORITE, f64::INFINITY), (idx::REPLY, f64::NAN)],
            facts,
            None,
        );
        assert!(close(row.score, 0.001));
    }

    #[test]
    fn a_video_counts_only_when_long_and_for_viewers_with_few_followers() {
        let score = |video_ms, followers| {
            let facts = RowFacts {
                video_ms,
                ..RowFacts::default()
            };
            one(&[(idx::VIDEO_QUALITY_VIEW, 0.8)], facts, followers).net
        };
        assert!(close(score(Some(10_000), None), 0.0));
        assert!(close(score(Some(10_001), Some(9_999)), 0.04));
        assert!(close(score(Some(10_001), Some(10_000)), 0.0));
        assert!(close(score(None, None), 0.0));
    }

    #[test]
    fn replies_to_mutual_follows_weigh_more_and_unexplored_posts_count_in_network_only() {
        let mutual = RowFacts {
            mutual_original: true,
            ..RowFacts::default()
        };
        assert!(close(one(&[(idx::REPLY, 0.03)], mutual, None).net, 0.6));
        let inside = RowFacts {
            in_network: Some(true),
            ..RowFacts::default()
        };
        assert!(close(
            one(&[(idx::POST_UNEXPLORED, 0.5)], inside, None).net,
            0.01
        ));
        assert!(close(
            one(&[(idx::POST_UNEXPLORED, 0.5)], RowFacts::default(), None).net,
            0.0
        ));
    }

    #[test]
    fn the_offset_step_can_be_inverted_and_copes_without_weights() {
        let offset = Offset {
            positive_sum: 43.24,
            negative_sum: 371.54,
            offset: 0.001,
        };
        for net in [0.25, 0.0, -3.0, -371.54] {
            assert!((offset.invert(offset.apply(net)) - net).abs() < 1e-9);
        }
        let none = Offset {
            positive_sum: 0.0,
            negative_sum: 0.0,
            offset: 0.001,
        };
        assert!(close(none.apply(-0.4), 0.0));
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(weighted_sum(&[0.0; 3], &[RowFacts::default()], None, &settings()).is_err());
        let bad = WeightedSettings {
            weights: vec![1.0],
            ..settings()
        };
        assert!(weighted_sum(&[], &[], None, &bad).is_err());
    }
}
