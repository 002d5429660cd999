//! The search: every block once for many queries.
//!
//! A thread takes one part of a block after the other and multiplies a few groups of its rows, as many as stay
//! in the first cache, with every query. Most rows are below the worst of the best k so far, and
//! that is one comparison; only the others are asked for their age, kind and author. Threads share
//! nothing but the number of the next block, and their finds are merged in one total order, so their
//! number changes nothing but the time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::best::{Best, Guess, Guesses};
use super::block::{Block, Numbers, PART, ROWS, padded};
use super::codes;
use super::dot::{self, LANES};
use super::index::{VectorIndex, check_vector};
use super::rounded::RoundedQuery;
use crate::clock::UnixMs;
use crate::error::{Error, Result};

/// Queries that read a block together.
const TOGETHER: usize = 16;

/// Bytes of rows that are multiplied with one query after the other.
const TILE_BYTES: usize = 1 << 15;

/// Most groups of them.
const MAX_TILE: usize = 64;

/// Scores that are looked at one by one when one of them may be among the best. A tile has at most
/// as many parts of this length as a mask has bits.
const SPAN: usize = 64;

/// Products of numbers below which another thread costs more than it gains.
const WORTH_A_THREAD: usize = 1 << 21;

/// What is searched for: one entry of each list for every query.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The queries, one after the other.
    pub vectors: &'a [f32],
    /// Most posts for each query.
    pub k: usize,
    /// Posts from this time on, and until this time, both included.
    pub times: &'a [(UnixMs, UnixMs)],
    /// Authors whose posts are left out, ascending.
    pub excluded: &'a [Vec<u64>],
    /// Bit `n` is set when posts of kind `n` are wanted.
    pub kinds: &'a [u64],
    /// Most threads that work on it.
    pub threads: usize,
}

/// Scores and posts of one query, best first.
pub type Found = Vec<(f32, u64)>;

/// One query.
#[derive(Debug)]
struct Asked<'a> {
    times: (UnixMs, UnixMs),
    excluded: &'a [u64],
    kinds: u64,
}

impl Asked<'_> {
    fn may_have(&self, block: &Block, row: usize) -> bool {
        let (since, until) = self.times;
        (since..=until).contains(&block.created_ms[row])
            && self.kinds >> block.kinds[row] & 1 == 1
            && self.excluded.binary_search(&block.authors[row]).is_err()
    }

    fn overlaps(&self, block: &Block) -> bool {
        self.times.0 <= block.times.1 && self.times.1 >= block.times.0
    }
}

/// Queries that are worked on together.
struct Pass<'a> {
    index: &'a VectorIndex,
    asked: Vec<Asked<'a>>,
    /// Queries with padding, one after the other.
    vectors: Vec<f32>,
    k: usize,
    threads: usize,
}

impl VectorIndex {
    /// The posts with the largest dot products, for every query.
    ///
    /// # Errors
    /// When the lists do not have one entry for each query, or a query is refused as a vector is.
    pub fn search(&self, search: &Search<'_>) -> Result<Vec<Found>> {
        let width = self.width();
        let n_queries = search.times.len();
        let fits = search.vectors.len() == n_queries * width;
        if !fits || search.excluded.len() != n_queries || search.kinds.len() != n_queries {
            return Err(Error::shape(
                format!(
                    "{} numbers, {} lists of authors and {} masks do not fit {n_queries} queries of width {width}",
                    search.vectors.len(),
                    search.excluded.len(),
                    search.kinds.len()
                ),
                "pass one of each for every query",
            ));
        }
        for (i, query) in search.vectors.chunks_exact(width).enumerate() {
            check_vector(query, width, || format!("query `{i}`"))?;
        }
        let mut found = Vec::with_capacity(n_queries);
        for first in (0..n_queries).step_by(TOGETHER) {
            let some = first..n_queries.min(first + TOGETHER);
            found.extend(self.pass(search, some).run());
        }
        Ok(found)
    }

    fn pass<'a>(&'a self, search: &Search<'a>, queries: std::ops::Range<usize>) -> Pass<'a> {
        let (width, wide) = (self.width(), padded(self.width()));
        let mut vectors = vec![0.0; queries.len() * wide];
        let given = &search.vectors[queries.start * width..queries.end * width];
        for (target, query) in vectors
            .chunks_exact_mut(wide)
            .zip(given.chunks_exact(width))
        {
            target[..width].copy_from_slice(query);
        }
        let asked = queries.map(|i| Asked {
            times: search.times[i],
            excluded: &search.excluded[i],
            kinds: search.kinds[i],
        });
        let asked: Vec<Asked<'_>> = asked.collect();
        let work = self.len() * wide * asked.len();
        Pass {
            index: self,
            k: search.k.min(self.len()),
            threads: search.threads.clamp(1, 1 + work / WORTH_A_THREAD),
            asked,
            vectors,
        }
    }
}

impl Pass<'_> {
    fn run(&self) -> Vec<Found> {
        if self.k == 0 {
            return self.asked.iter().map(|_| Found::new()).collect();
        }
        match self.index.dtype() {
            super::Dtype::Int8 => self.run_rounded(),
            _ => self.run_exact(),
        }
    }

    fn width(&self) -> usize {
        self.vectors.len() / self.asked.len()
    }

    /// Gives every part of [`PART`] rows of a block that a query may want something of to `scan`, on
    /// all threads, with its first row; returns what the threads collected.
    fn over_blocks<T: Send>(
        &self,
        start: impl Fn() -> T + Sync,
        scan: impl Fn(usize, usize, &mut T) + Sync,
    ) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = start();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let (n_block, first) = (i * PART / ROWS, i * PART % ROWS);
                let Some(block) = self.index.blocks.get(n_block) else {
                    return found;
                };
                let wanted = |asked: &Asked<'_>| asked.overlaps(block);
                if first < block.len() && self.asked.iter().any(wanted) {
                    scan(n_block, first, &mut found);
                }
            }
        };
        on_threads(self.threads, &work)
    }

    fn run_exact(&self) -> Vec<Found> {
        let start = || -> Vec<Best> { self.asked.iter().map(|_| Best::new(self.k)).collect() };
        let mut parts = self
            .over_blocks(start, |n_block, first, best| {
                self.scan_exact(&self.index.blocks[n_block], first, best);
            })
            .into_iter();
        let mut all = parts.next().unwrap_or_else(start);
        for part in parts {
            for (best, more) in all.iter_mut().zip(part) {
                best.merge(more);
            }
        }
        all.into_iter().map(Best::into_sorted).collect()
    }

    fn scan_exact(&self, block: &Block, first: usize, best: &mut [Best]) {
        match &block.numbers {
            Numbers::Float32(rows) => {
                self.scan_floats(block, first, rows.all(), best, dot::groups_f32);
            }
            Numbers::Bfloat16(rows) => {
                self.scan_floats(block, first, rows.all(), best, dot::groups_bf16);
            }
            Numbers::Int8(..) => {}
        }
    }

    fn scan_floats<T>(
        &self,
        block: &Block,
        start: usize,
        rows: &[T],
        best: &mut [Best],
        multiply: impl Fn(&[T], &[f32], usize, &mut [[f32; LANES]]),
    ) {
        let group_len = LANES * self.width();
        let tile = (TILE_BYTES / size_of::<T>() / group_len).clamp(1, MAX_TILE);
        let mut scores = vec![[0.0; LANES]; tile * self.asked.len()];
        let rows = part_of(rows, start, self.width());
        for (i, rows) in rows.chunks(tile * group_len).enumerate() {
            let n_groups = rows.len() / group_len;
            let scores = &mut scores[..n_groups * self.asked.len()];
            multiply(rows, &self.vectors, self.width(), scores);
            let of_queries = scores.chunks_exact(n_groups);
            for ((asked, best), scores) in self.asked.iter().zip(&mut *best).zip(of_queries) {
                let scores = scores.as_flattened();
                for span in dot::bits(dot::reaching(scores, SPAN, best.limit())) {
                    let first = start + i * tile * LANES + span * SPAN;
                    for (row, score) in (first..block.len()).zip(part(scores, span)) {
                        if *score >= best.limit() && asked.may_have(block, row) {
                            best.push(*score, block.ids[row]);
                        }
                    }
                }
            }
        }
    }

    fn run_rounded(&self) -> Vec<Found> {
        let of_vector = |vector: &[f32]| RoundedQuery::new(vector);
        let queries: Vec<RoundedQuery> = self
            .vectors
            .chunks_exact(self.width())
            .map(of_vector)
            .collect();
        let numbers: Vec<i8> = queries
            .iter()
            .flat_map(|query| query.numbers().to_vec())
            .collect();
        let start =
            || -> Vec<Guesses> { self.asked.iter().map(|_| Guesses::new(self.k)).collect() };
        let scan = |n_block: usize, first: usize, guesses: &mut Vec<Guesses>| {
            self.scan_rounded(n_block, first, &queries, &numbers, guesses);
        };
        let mut parts = self.over_blocks(start, scan).into_iter();
        let mut all = parts.next().unwrap_or_else(start);
        for part in parts {
            for (guesses, more) in all.iter_mut().zip(part) {
                guesses.merge(more);
            }
        }
        let rows: Vec<Vec<usize>> = all.into_iter().map(Guesses::into_rows).collect();
        self.scored(&rows)
    }

    fn scan_rounded(
        &self,
        n_block: usize,
        start: usize,
        queries: &[RoundedQuery],
        numbers: &[i8],
        guesses: &mut [Guesses],
    ) {
        let block = &self.index.blocks[n_block];
        let Numbers::Int8(rows, _) = &block.numbers else {
            return;
        };
        let group_len = LANES * self.width();
        let tile = (TILE_BYTES / group_len).clamp(1, MAX_TILE);
        let mut sums = vec![[0; LANES]; tile * queries.len()];
        let mut near = vec![[0.0; LANES]; tile];
        let bounds: Vec<_> = queries.iter().map(|query| query.bounds(rows)).collect();
        let codes = part_of(rows.codes(), start, self.width()).chunks(tile * group_len);
        let tiles = codes.zip(rows.scales()[start / LANES..].chunks(tile));
        for (i, (codes, scales)) in tiles.enumerate() {
            let n_groups = scales.len();
            let sums = &mut sums[..n_groups * queries.len()];
            codes::groups_int8(codes, numbers, self.width(), sums);
            for (q, sums) in sums.chunks_exact(n_groups).enumerate() {
                let (guesses, bounds) = (&mut guesses[q], bounds[q]);
                let near = &mut near[..n_groups];
                let limit = guesses.limit() - bounds.of(rows.max_error());
                queries[q].guess(sums, scales, near);
                let near = near.as_flattened();
                for span in dot::bits(dot::reaching(near, SPAN, limit)) {
                    let first = start + i * tile * LANES + span * SPAN;
                    for (row, score) in (first..block.len()).zip(part(near, span)) {
                        if *score < limit {
                            continue;
                        }
                        let (score, bound) = (*score, bounds.of(rows.error(row)));
                        if score + bound >= guesses.limit() && self.asked[q].may_have(block, row) {
                            let row = n_block * ROWS + row;
                            guesses.push(Guess { score, bound, row });
                        }
                    }
                }
            }
        }
    }

    /// The best of the given rows by their exact scores.
    fn scored(&self, rows: &[Vec<usize>]) -> Vec<Found> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Vec::new();
            loop {
                let q = next.fetch_add(1, Ordering::Relaxed);
                let Some(rows) = rows.get(q) else {
                    return found;
                };
                let query = &self.vectors[q * self.width()..(q + 1) * self.width()];
                let mut best = Best::new(self.k);
                for row in rows {
                    let block = &self.index.blocks[row / ROWS];
                    let row = row % ROWS;
                    if let Numbers::Int8(_, exact) = &block.numbers {
                        let vector = &exact[row * self.width()..(row + 1) * self.width()];
                        let score = dot::dot(vector, query);
                        if score >= best.limit() {
                            best.push(score, block.ids[row]);
                        }
                    }
                }
                found.push((q, best.into_sorted()));
            }
        };
        let mut found: Vec<_> = on_threads(self.threads.min(rows.len()), &work)
            .into_iter()
            .flatten()
            .collect();
        found.sort_unstable_by_key(|(q, _)| *q);
        found.into_iter().map(|(_, found)| found).collect()
    }
}

/// The numbers of [`PART`] rows from `start` on, or of as many as there are.
fn part_of<T>(rows: &[T], start: usize, width: usize) -> &[T] {
    let rows = &rows[start * width..];
    &rows[..rows.len().min(PART * width)]
}

/// The scores of a span.
fn part(scores: &[f32], span: usize) -> &[f32] {
    &scores[span * SPAN..scores.len().min((span + 1) * SPAN)]
}

/// Runs `work` on this thread and on others that live as long as the call: a pool would save the
/// tens of microseconds that starting them takes, but would not survive a fork of the process.
fn on_threads<T: Send>(threads: usize, work: &(impl Fn() -> T + Sync)) -> Vec<T> {
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        // A thread that cannot be had is not needed: the others take its blocks.
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let mut found = vec![work()];
        for other in others {
            match other.join() {
                Ok(part) => found.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    })
}
