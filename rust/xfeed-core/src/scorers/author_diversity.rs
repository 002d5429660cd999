//! Each further post of one author counts less.

use hashbrown::HashMap;

use crate::ids::Id;
use crate::selectors::order;

/// Multiplier per row: `(1 − floor) × decay^k + floor`, with `k` the number of better rows of the
/// same author. Rows without a known author are alone. `scores` that are not finite get 1 and do
/// not count. Order is score descending, then id descending.
pub fn author_diversity(
    scores: &[f64],
    ids: &[Id],
    authors: &[Option<Id>],
    decay: f64,
    floor: f64,
) -> Vec<f64> {
    let mut met: HashMap<Id, i32> = HashMap::new();
    let mut multipliers = vec![1.0; scores.len()];
    for row in order(scores, ids) {
        let Some(author) = authors[row].filter(|_| scores[row].is_finite()) else {
            continue;
        };
        let k = met.entry(author).or_insert(0);
        multipliers[row] = (1.0 - floor) * decay.powi(*k) + floor;
        *k += 1;
    }
    multipliers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_posts_of_an_author_push_down_the_next() {
        let scores = [0.5, 1.0, 0.8, f64::NAN, 0.9];
        let ids = [1, 2, 3, 4, 5].map(Id);
        let authors = [Some(Id(1)), Some(Id(1)), Some(Id(2)), Some(Id(1)), None];
        let got = author_diversity(&scores, &ids, &authors, 0.5, 0.25);
        assert_eq!(got, [0.625, 1.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn equal_scores_are_told_apart_by_id() {
        let authors = [Some(Id(1)); 2];
        let got = author_diversity(&[1.0, 1.0], &[Id(1), Id(2)], &authors, 0.5, 0.25);
        assert_eq!(got, [0.625, 1.0]);
    }
}
