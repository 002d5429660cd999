//! Dot products of rows and queries of small integers.
//!
//! A row's number is a byte of which 128 is taken away, a query's number a signed byte, and the sums
//! are exact, so every way to compute them gives the same. Rows lie in groups of 16 as in
//! `dot.rs`, but four numbers of a row side by side, which is what one instruction (`vpdpbusd`)
//! multiplies and adds at once. That instruction is why this file exists: the compiler does not find
//! it, and it makes a batch of queries several times as fast.

use super::dot::LANES;
use crate::simd::{Level, level, simd_fn};

/// Numbers of a row that lie side by side.
pub(super) const QUAD: usize = 4;

/// What is added to a row's number to make it a byte.
pub(super) const OFFSET: i32 = 128;

type Quads<T> = [[T; QUAD]; LANES];

/// Products of groups of rows with queries, all of the padded width `width`: group `g` and query
/// `q` give `out[q * n_groups + g]`. What the [`OFFSET`] of the rows adds is still in them.
pub(super) fn groups_int8(codes: &[u8], queries: &[i8], width: usize, out: &mut [[i32; LANES]]) {
    let (quads, _) = codes.as_chunks::<QUAD>();
    let (codes, _) = quads.as_chunks::<LANES>();
    let (queries, _) = queries.as_chunks::<QUAD>();
    let steps = width / QUAD;
    debug_assert_eq!(out.len() * steps * steps, codes.len() * queries.len());
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 && wide::is_here() {
        wide::groups(codes, queries, steps, out);
        return;
    }
    plain(codes, queries, steps, out);
}

simd_fn! {
    fn plain(codes: &[Quads<u8>], queries: &[[i8; QUAD]], steps: usize, out: &mut [[i32; LANES]]) {
        let n_groups = codes.len() / steps;
        for (g, group) in codes.chunks_exact(steps).enumerate() {
            for (q, query) in queries.chunks_exact(steps).enumerate() {
                let mut sums = [0_i32; LANES];
                for (quads, wanted) in group.iter().zip(query) {
                    let [w0, w1, w2, w3] = wanted.map(i32::from);
                    for lane in 0..LANES {
                        // Shifts and masks, because these the compiler keeps in wide registers.
                        let word = i32::from_le_bytes(quads[lane]);
                        sums[lane] += ((word & 255) * w0 + ((word >> 8) & 255) * w1)
                            + (((word >> 16) & 255) * w2 + ((word >> 24) & 255) * w3);
                    }
                }
                out[q * n_groups + g] = sums;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "one instruction that the compiler does not find by itself"
)]
mod wide {
    use std::arch::x86_64::{
        __m512i, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_si512, _mm512_storeu_si512,
    };
    use std::sync::OnceLock;

    use super::{LANES, QUAD, Quads};

    /// Queries that share the registers.
    const QUERIES: usize = 4;

    /// Sums that one query alone is split into, so that no addition waits for the one before.
    const CHAINS: usize = 4;

    pub(super) fn is_here() -> bool {
        static IS_HERE: OnceLock<bool> = OnceLock::new();
        *IS_HERE.get_or_init(|| is_x86_feature_detected!("avx512vnni"))
    }

    /// As `plain`, on a machine where [`is_here`].
    pub(super) fn groups(
        codes: &[Quads<u8>],
        queries: &[[i8; QUAD]],
        steps: usize,
        out: &mut [[i32; LANES]],
    ) {
        assert!(is_here());
        // SAFETY: the machine has the instructions.
        unsafe { all(codes, queries, steps, out) }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn all(codes: &[Quads<u8>], queries: &[[i8; QUAD]], steps: usize, out: &mut [[i32; LANES]]) {
        let n_groups = codes.len() / steps;
        let n_queries = queries.len() / steps;
        let query = |q: usize| &queries[q * steps..(q + 1) * steps];
        for (g, group) in codes.chunks_exact(steps).enumerate() {
            let mut q = 0;
            while n_queries - q >= QUERIES {
                let some = [query(q), query(q + 1), query(q + 2), query(q + 3)];
                for (more, found) in together(group, some).into_iter().enumerate() {
                    out[(q + more) * n_groups + g] = found;
                }
                q += QUERIES;
            }
            while q < n_queries {
                out[q * n_groups + g] = alone(group, query(q));
                q += 1;
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn together(group: &[Quads<u8>], queries: [&[[i8; QUAD]]; QUERIES]) -> [[i32; LANES]; QUERIES] {
        let queries = queries.map(|query| &query[..group.len()]);
        let mut sums = [_mm512_setzero_si512(); QUERIES];
        for (step, quads) in group.iter().enumerate() {
            let rows = load(quads);
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = _mm512_dpbusd_epi32(*sum, rows, spread(query[step]));
            }
        }
        let mut found = [[0; LANES]; QUERIES];
        for (found, sum) in found.iter_mut().zip(sums) {
            store(found, sum);
        }
        found
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn alone(group: &[Quads<u8>], query: &[[i8; QUAD]]) -> [i32; LANES] {
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        let (groups, rest) = group.as_chunks::<CHAINS>();
        let (wanted, wanted_rest) = query.as_chunks::<CHAINS>();
        for (quads, wanted) in groups.iter().zip(wanted) {
            for chain in 0..CHAINS {
                let (rows, wanted) = (load(&quads[chain]), spread(wanted[chain]));
                sums[chain] = _mm512_dpbusd_epi32(sums[chain], rows, wanted);
            }
        }
        for (quads, wanted) in rest.iter().zip(wanted_rest) {
            sums[0] = _mm512_dpbusd_epi32(sums[0], load(quads), spread(*wanted));
        }
        let halves = [
            _mm512_add_epi32(sums[0], sums[1]),
            _mm512_add_epi32(sums[2], sums[3]),
        ];
        let mut found = [0; LANES];
        store(&mut found, _mm512_add_epi32(halves[0], halves[1]));
        found
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(quads: &Quads<u8>) -> __m512i {
        // SAFETY: 64 bytes are read, in no alignment.
        unsafe { _mm512_loadu_si512(quads.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(lanes: &mut [i32; LANES], sums: __m512i) {
        // SAFETY: 64 bytes are written, in no alignment.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sums) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn spread(quad: [i8; QUAD]) -> __m512i {
        _mm512_set1_epi32(i32::from_ne_bytes(quad.map(i8::cast_unsigned)))
    }
}
