//! The products and the bounds, piece by piece.

use proptest::prelude::*;

use super::best::{Guess, Guesses};
use super::codes::{self, OFFSET, QUAD};
use super::dot::{self, LANES};
use super::rounded::{RoundedQuery, RoundedRows};

/// Rows, one after the other, in the groups that `dot.rs` reads.
fn grouped(rows: &[f32], width: usize) -> Vec<[u8; 4]> {
    let groups = rows.chunks_exact(LANES * width);
    groups
        .flat_map(|group| {
            (0..width).flat_map(move |i| {
                (0..LANES).map(move |lane| group[lane * width + i].to_le_bytes())
            })
        })
        .collect()
}

fn numbers(len: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-2.0_f32..2.0, len)
}

/// A width, the number of groups, the number of queries, and the numbers of rows and queries.
fn shaped() -> impl Strategy<Value = (usize, usize, usize, Vec<f32>, Vec<f32>)> {
    (1_usize..20, 1_usize..4, 1_usize..10).prop_flat_map(|(steps, groups, queries)| {
        let width = 4 * steps;
        let rows = numbers(groups * LANES * width);
        (
            Just(width),
            Just(groups),
            Just(queries),
            rows,
            numbers(queries * width),
        )
    })
}

proptest! {
    #[test]
    fn a_product_is_the_same_in_a_group_and_alone((width, groups, _, rows, queries) in shaped()) {
        let together = grouped(&rows, width);
        let n_queries = queries.len() / width;
        let mut out = vec![[0.0; LANES]; groups * n_queries];
        dot::groups_f32(&together, &queries, width, &mut out);
        for (q, query) in queries.chunks_exact(width).enumerate() {
            for (r, row) in rows.chunks_exact(width).enumerate() {
                let found = out[q * groups + r / LANES][r % LANES];
                prop_assert_eq!(found.to_bits(), dot::dot(row, query).to_bits());
                let exact: f64 = row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                prop_assert!((f64::from(found) - exact).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn sums_of_small_integers_are_exact((width, groups, n_queries, rows, queries) in shaped()) {
        let codes: Vec<u8> = rows.iter().map(|value| value.to_bits().to_le_bytes()[0]).collect();
        let wanted: Vec<i8> = queries.iter().map(|value| value.to_bits().to_le_bytes()[0].cast_signed()).collect();
        let mut out = vec![[0; LANES]; groups * n_queries];
        codes::groups_int8(&codes, &wanted, width, &mut out);
        for (q, query) in wanted.chunks_exact(width).enumerate() {
            for (g, group) in codes.chunks_exact(LANES * width).enumerate() {
                for lane in 0..LANES {
                    let code = |i: usize| group[(i / QUAD * LANES + lane) * QUAD + i % QUAD];
                    let sum: i32 = (0..width).map(|i| i32::from(code(i)) * i32::from(query[i])).sum();
                    prop_assert_eq!(out[q * groups + g][lane], sum);
                }
            }
        }
    }

    #[test]
    fn no_score_is_further_off_than_its_bound(
        (width, groups, _, rows, queries) in shaped(),
        powers in prop::collection::vec(-60_i32..50, 64),
    ) {
        // Lengths from tiny to huge, each row its own.
        let scaled = |numbers: &[f32], which: usize| -> Vec<f32> {
            let factor = 2.0_f32.powi(powers[which % powers.len()]);
            numbers.iter().map(|value| value * factor).collect()
        };
        let mut rounded = RoundedRows::default();
        rounded.reserve(rows.len()).unwrap();
        let rows: Vec<Vec<f32>> = rows.chunks_exact(width).enumerate().map(|(r, row)| scaled(row, r)).collect();
        for (r, row) in rows.iter().enumerate() {
            rounded.set(r, row);
        }
        for (q, query) in queries.chunks_exact(width).enumerate() {
            let vector = scaled(query, 3 * q + 1);
            let query = RoundedQuery::new(&vector);
            let bounds = query.bounds(&rounded);
            let (mut sums, mut near) = (vec![[0; LANES]; groups], vec![[0.0; LANES]; groups]);
            codes::groups_int8(rounded.codes(), query.numbers(), width, &mut sums);
            query.guess(&sums, rounded.scales(), &mut near);
            for (r, row) in rows.iter().enumerate() {
                let (guess, bound) = (near[r / LANES][r % LANES], bounds.of(rounded.error(r)));
                let score = dot::dot(row, &vector);
                prop_assert!(guess - bound <= score && score <= guess + bound, "{guess} {bound} {score}");
                prop_assert!(rounded.error(r) <= rounded.max_error());
            }
        }
    }

    #[test]
    fn what_is_among_the_best_is_among_the_guesses(
        scores in prop::collection::vec((-1.0_f32..1.0, 0.0_f32..0.3, -1.0_f32..1.0), 1..2_000),
        k in 0_usize..40,
    ) {
        let mut parts = [Guesses::new(k), Guesses::new(k)];
        for (row, (score, bound, off)) in scores.iter().enumerate() {
            // The true score is `score`, the guess is off by at most the bound.
            let guess = Guess { score: score + bound * off * 0.999, bound: *bound, row };
            parts[row % 2].push(guess);
        }
        let [mut all, other] = parts;
        all.merge(other);
        let rows = all.into_rows();
        let mut best: Vec<usize> = (0..scores.len()).collect();
        best.sort_by(|a, b| scores[*b].0.total_cmp(&scores[*a].0));
        for row in best.into_iter().take(k) {
            prop_assert!(rows.contains(&row));
        }
    }
}

#[test]
fn bytes_of_rows_stand_for_whole_numbers() {
    let mut rows = RoundedRows::default();
    rows.reserve(4 * LANES).unwrap();
    rows.set(0, &[-1.0, 0.0, 0.5, 1.0]);
    let codes: Vec<i32> = rows.codes()[..4]
        .iter()
        .map(|code| i32::from(*code) - OFFSET)
        .collect();
    assert_eq!(codes, [-127, 0, 64, 127]);
}

#[test]
fn parts_that_reach_a_limit_are_told_one_by_one() {
    let mut scores = vec![-1.0; 64 * 5 - 2];
    for place in [3, 26, 317] {
        scores[place] = 0.5;
    }
    let told = |limit| dot::bits(dot::reaching(&scores, 5, limit)).collect::<Vec<_>>();
    assert_eq!(told(0.5), [0, 5, 63]);
    assert!(told(0.6).is_empty());
    assert_eq!(told(f32::NEG_INFINITY).len(), 64);
}
