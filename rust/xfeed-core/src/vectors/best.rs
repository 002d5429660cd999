//! The best k of many, without sorting them all.

use std::cmp::Ordering;

/// Entries above twice k that are collected before the worst are dropped; so dropping is rare even
/// for a small k.
const ROOM: usize = 256;

/// Score descending, then id descending: the order of every selection. Scores are finite.
fn order(a: &(f32, u64), b: &(f32, u64)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| b.1.cmp(&a.1))
}

/// The best `k` scores so far. What it holds depends on what it was given, not on the order.
#[derive(Debug)]
pub(super) struct Best {
    k: usize,
    /// A score below this one is not among the best.
    limit: f32,
    found: Vec<(f32, u64)>,
}

impl Best {
    pub(super) fn new(k: usize) -> Self {
        let limit = if k == 0 {
            f32::INFINITY
        } else {
            f32::NEG_INFINITY
        };
        Self {
            k,
            limit,
            found: Vec::new(),
        }
    }

    pub(super) fn limit(&self) -> f32 {
        self.limit
    }

    pub(super) fn push(&mut self, score: f32, id: u64) {
        self.found.push((score, id));
        if self.found.len() >= self.k.saturating_mul(2).saturating_add(ROOM) {
            self.drop_worst();
        }
    }

    fn drop_worst(&mut self) {
        if self.k > 0 && self.found.len() > self.k {
            let (_, last, _) = self.found.select_nth_unstable_by(self.k - 1, order);
            self.limit = last.0;
        }
        self.found.truncate(self.k);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.found.extend(other.found);
    }

    /// The best `k`, best first.
    pub(super) fn into_sorted(mut self) -> Vec<(f32, u64)> {
        self.drop_worst();
        self.found.sort_unstable_by(order);
        self.found
    }
}

/// A row whose score is known up to `bound`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    pub(super) score: f32,
    pub(super) bound: f32,
    pub(super) row: usize,
}

impl Guess {
    fn least(&self) -> f32 {
        self.score - self.bound
    }

    fn most(&self) -> f32 {
        self.score + self.bound
    }
}

/// Every row that may be among the best `k`: `k` rows are certain to score at least `limit`, so one
/// that cannot reach it is out.
#[derive(Debug)]
pub(super) struct Guesses {
    k: usize,
    limit: f32,
    found: Vec<Guess>,
    /// How many are collected before those that are out are dropped.
    room: usize,
}

impl Guesses {
    pub(super) fn new(k: usize) -> Self {
        Self {
            k,
            limit: Best::new(k).limit,
            found: Vec::new(),
            room: k.saturating_mul(2).saturating_add(ROOM),
        }
    }

    pub(super) fn limit(&self) -> f32 {
        self.limit
    }

    pub(super) fn push(&mut self, guess: Guess) {
        if guess.most() >= self.limit {
            self.found.push(guess);
        }
        if self.found.len() >= self.room {
            self.drop_hopeless();
            self.room = (2 * self.found.len()).max(self.room);
        }
    }

    fn drop_hopeless(&mut self) {
        if self.k > 0 && self.found.len() >= self.k {
            let mut least: Vec<f32> = self.found.iter().map(Guess::least).collect();
            let (_, last, _) = least.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
            self.limit = self.limit.max(*last);
        }
        let limit = self.limit;
        self.found.retain(|guess| guess.most() >= limit);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.limit = self.limit.max(other.limit);
        self.found.extend(other.found);
    }

    /// The rows that are left, in no order.
    pub(super) fn into_rows(mut self) -> Vec<usize> {
        self.drop_hopeless();
        self.found.into_iter().map(|guess| guess.row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_larger_id_whatever_the_order() {
        let mut best = Best::new(2);
        for id in (0..2_000).chain([5_000, 4_000]) {
            best.push(1.0, id);
        }
        assert_eq!(best.into_sorted(), [(1.0, 5_000), (1.0, 4_000)]);
    }

    #[test]
    fn a_guess_that_may_be_among_the_best_stays() {
        let mut guesses = Guesses::new(1);
        for (row, score) in [0.5, 0.8, 0.7, 0.1].into_iter().enumerate() {
            let bound = 0.1;
            guesses.push(Guess { score, bound, row });
        }
        let mut rows = guesses.into_rows();
        rows.sort_unstable();
        assert_eq!(
            rows,
            [1, 2],
            "0.7 + 0.1 reaches 0.8 - 0.1, 0.5 + 0.1 does not"
        );
    }

    #[test]
    fn none_are_wanted_and_none_are_given() {
        let mut best = Best::new(0);
        best.push(1.0, 1);
        assert!(best.into_sorted().is_empty());
        let mut guesses = Guesses::new(0);
        guesses.push(Guess {
            score: 1.0,
            bound: 0.0,
            row: 0,
        });
        assert!(guesses.into_rows().is_empty());
    }
}
