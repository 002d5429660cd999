//! The best k, in one total order.

use crate::ids::Id;

/// Rows by score descending, then id descending; scores that are not finite come last.
pub fn order(scores: &[f64], ids: &[Id]) -> Vec<usize> {
    let key = |row: usize| {
        if scores[row].is_finite() {
            scores[row]
        } else {
            f64::NEG_INFINITY
        }
    };
    let mut rows: Vec<usize> = (0..scores.len()).collect();
    rows.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then_with(|| ids[b].cmp(&ids[a])));
    rows
}

/// The best `k` rows and all others, both in [`order`]. A row whose score is not finite is never
/// selected.
pub fn top_k(scores: &[f64], ids: &[Id], k: usize) -> (Vec<usize>, Vec<usize>) {
    let mut selected = order(scores, ids);
    let n_scored = selected.partition_point(|&row| scores[row].is_finite());
    let not_selected = selected.split_off(k.min(n_scored));
    (selected, not_selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_larger_id_and_the_unscored_are_never_selected() {
        let scores = [0.2, f64::NAN, 0.9, 0.2, f64::INFINITY];
        let ids = [1, 9, 2, 3, 8].map(Id);
        assert_eq!(top_k(&scores, &ids, 2), (vec![2, 3], vec![0, 1, 4]));
        assert_eq!(top_k(&scores, &ids, 99).0, [2, 3, 0]);
    }

    #[test]
    fn zero_and_minus_zero_are_ordered_too() {
        assert_eq!(order(&[-0.0, 0.0], &[Id(2), Id(1)]), [1, 0]);
    }
}
