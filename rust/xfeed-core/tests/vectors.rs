//! The index against one that is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xfeed_core::ids::Id;
use xfeed_core::vectors::{Dtype, Entry, Found, Search, VectorIndex};

const DTYPES: [Dtype; 3] = [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8];

/// Posts by id.
#[derive(Debug, Default, Clone)]
struct Naive(BTreeMap<u64, (Entry, Vec<f32>)>);

/// The sum in the documented order.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 4];
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        sums[i % 4] += x * y;
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

fn stored(dtype: Dtype, vector: &[f32]) -> Vec<f32> {
    let rounded = |value: &f32| match dtype {
        Dtype::Bfloat16 => half::bf16::from_f32(*value).to_f32(),
        _ => *value,
    };
    vector.iter().map(rounded).collect()
}

impl Naive {
    fn search(&self, search: &Search<'_>, q: usize, dtype: Dtype) -> Found {
        let width = search.vectors.len() / search.times.len();
        let query = &search.vectors[q * width..(q + 1) * width];
        let (since, until) = search.times[q];
        let mut found: Found = self
            .0
            .values()
            .filter(|(entry, _)| (since..=until).contains(&entry.created_ms))
            .filter(|(entry, _)| !search.excluded[q].contains(&entry.author.0))
            .filter(|(entry, _)| search.kinds[q] & (1 << entry.kind) != 0)
            .map(|(entry, vector)| (product(&stored(dtype, vector), query), entry.id.0))
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        found.truncate(search.k);
        found
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Entry, Vec<f32>),
    Remove(u64),
    EraseAuthor(u64),
    Trim(i64),
}

/// Few different numbers, so that ties, zeros and equal vectors are common.
fn vector(width: usize) -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![
        3 => prop::sample::select(vec![0.0_f32, 0.5, -0.5, 1.0]),
        1 => -1.0_f32..1.0,
    ];
    prop::collection::vec(number, width)
}

fn entry() -> impl Strategy<Value = Entry> {
    (0_u64..60, 0_u64..6, 0_i64..20, 0_u8..3).prop_map(|(id, author, created_ms, kind)| Entry {
        id: Id(id),
        author: Id(author),
        created_ms,
        kind,
    })
}

fn step(width: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (entry(), vector(width)).prop_map(|(entry, vector)| Step::Insert(entry, vector)),
        3 => (0_u64..60).prop_map(Step::Remove),
        1 => (0_u64..6).prop_map(Step::EraseAuthor),
        1 => (0_i64..8).prop_map(Step::Trim),
    ]
}

fn asked(width: usize) -> impl Strategy<Value = (Vec<f32>, (i64, i64), Vec<u64>, u64)> {
    let excluded = prop::collection::btree_set(0_u64..6, 0..4);
    (vector(width), (-1_i64..21, -1_i64..21), excluded, 0_u64..8).prop_map(
        |(vector, times, excluded, kinds)| (vector, times, excluded.into_iter().collect(), kinds),
    )
}

fn apply(index: &mut VectorIndex, naive: &mut Naive, step: &Step) {
    match step {
        Step::Insert(entry, vector) => {
            let is_new = index.insert(entry, vector).unwrap();
            let before = naive.0.insert(entry.id.0, (*entry, vector.clone()));
            assert_eq!(is_new, before.is_none());
        }
        Step::Remove(id) => {
            assert_eq!(index.remove(Id(*id)), naive.0.remove(id).is_some());
        }
        Step::EraseAuthor(author) => {
            for post in index.posts_by(Id(*author)) {
                assert!(index.remove(post));
            }
            naive.0.retain(|_, (entry, _)| entry.author.0 != *author);
        }
        Step::Trim(oldest_ms) => {
            for post in index.older_than(*oldest_ms) {
                assert!(index.remove(post));
            }
            naive
                .0
                .retain(|_, (entry, _)| entry.created_ms >= *oldest_ms);
        }
    }
}

type Scenario = (
    usize,
    Vec<Step>,
    Vec<(Vec<f32>, (i64, i64), Vec<u64>, u64)>,
    usize,
);

fn scenario() -> impl Strategy<Value = Scenario> {
    (1_usize..11).prop_flat_map(|width| {
        let steps = prop::collection::vec(step(width), 0..120);
        let queries = prop::collection::vec(asked(width), 0..20);
        (Just(width), steps, queries, 0_usize..70)
    })
}

fn bits(found: &[Found]) -> Vec<Vec<(u32, u64)>> {
    let of_one = |found: &Found| {
        found
            .iter()
            .map(|(score, id)| (score.to_bits(), *id))
            .collect()
    };
    found.iter().map(of_one).collect()
}

proptest! {
    #[test]
    fn it_finds_what_the_simple_one_finds((width, steps, queries, k) in scenario()) {
        for dtype in DTYPES {
            let (mut index, mut naive) = (VectorIndex::new(width, dtype).unwrap(), Naive::default());
            for step in &steps {
                apply(&mut index, &mut naive, step);
            }
            prop_assert_eq!(index.len(), naive.0.len());
            let vectors: Vec<f32> = queries.iter().flat_map(|query| query.0.clone()).collect();
            let times: Vec<_> = queries.iter().map(|query| query.1).collect();
            let excluded: Vec<_> = queries.iter().map(|query| query.2.clone()).collect();
            let kinds: Vec<_> = queries.iter().map(|query| query.3).collect();
            let search = Search {
                vectors: &vectors, k, times: &times, excluded: &excluded, kinds: &kinds, threads: 2,
            };
            let found = index.search(&search).unwrap();
            let expected: Vec<Found> =
                (0..queries.len()).map(|q| naive.search(&search, q, dtype)).collect();
            prop_assert_eq!(bits(&found), bits(&expected));

            let mut bytes = Vec::new();
            index.write(&mut bytes).unwrap();
            let again = VectorIndex::read(&bytes[..]).unwrap();
            prop_assert_eq!(bits(&again.search(&search).unwrap()), bits(&expected));
            let mut written_again = Vec::new();
            again.write(&mut written_again).unwrap();
            prop_assert_eq!(bytes, written_again);
        }
    }
}

/// Numbers that look random, from -1 to 1.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let number = (state >> 40) as f32 / 8_388_608.0;
        number - 1.0
    }
}

fn filled(dtype: Dtype, n: u64, width: usize) -> VectorIndex {
    let (mut index, mut next) = (VectorIndex::new(width, dtype).unwrap(), noise(7));
    for id in 0..n {
        // Every tenth vector is the one before it again.
        let vector: Vec<f32> = (0..width).map(|_| next()).collect();
        let entry = Entry {
            id: Id(id),
            author: Id(id % 97),
            created_ms: i64::try_from(id).unwrap(),
            kind: 0,
        };
        index.insert(&entry, &vector).unwrap();
        if id % 10 == 0 {
            index
                .insert(
                    &Entry {
                        id: Id(id + (1 << 40)),
                        ..entry
                    },
                    &vector,
                )
                .unwrap();
        }
    }
    index
}

#[test]
fn many_blocks_many_queries_and_any_number_of_threads_give_the_same() {
    let (width, n_queries) = (24, 21);
    let mut next = noise(3);
    let vectors: Vec<f32> = (0..width * n_queries).map(|_| next()).collect();
    let excluded: Vec<Vec<u64>> = (0..n_queries as u64).map(|q| (0..q).collect()).collect();
    let times = vec![(100, 50_000); n_queries];
    let kinds = vec![1; n_queries];
    let exact = filled(Dtype::Float32, 60_000, width);
    let mut naive = Naive::default();
    for id in exact.ids() {
        naive.0.insert(id.0, exact.get(id).unwrap());
    }
    let mut search = Search {
        vectors: &vectors,
        k: 50,
        times: &times,
        excluded: &excluded,
        kinds: &kinds,
        threads: 1,
    };
    let expected: Vec<Found> = (0..n_queries)
        .map(|q| naive.search(&search, q, Dtype::Float32))
        .collect();
    for index in [&exact, &filled(Dtype::Int8, 60_000, width)] {
        for threads in [1, 2, 3, 8] {
            search.threads = threads;
            assert_eq!(
                bits(&index.search(&search).unwrap()),
                bits(&expected),
                "{threads}"
            );
        }
    }
}

#[test]
fn memory_is_given_back() {
    for dtype in DTYPES {
        let mut index = filled(dtype, 20_000, 32);
        let full = index.used_bytes();
        for id in index.ids() {
            index.remove(id);
        }
        assert!(index.is_empty());
        assert!(
            index.used_bytes() < full / 4,
            "{} of {full}",
            index.used_bytes()
        );
    }
}

#[test]
fn what_is_not_finite_or_does_not_fit_is_refused_with_its_name() {
    let mut index = VectorIndex::new(2, Dtype::Int8).unwrap();
    let entry = Entry {
        id: Id(77),
        author: Id(1),
        created_ms: 0,
        kind: 0,
    };
    for (vector, code) in [
        (&[f32::NAN, 0.0][..], "not_finite"),
        (&[0.0, f32::NEG_INFINITY][..], "not_finite"),
        (&[3e20, 0.0][..], "too_long"),
        (&[1.0][..], "bad_shape"),
    ] {
        let error = index.insert(&entry, vector).unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains("`77`"), "{error}");
    }
    assert!(
        index
            .insert(&Entry { kind: 64, ..entry }, &[1.0, 0.0])
            .is_err()
    );
    assert!(index.is_empty());
    let ask = |vectors: &[f32]| {
        index.search(&Search {
            vectors,
            k: 1,
            times: &[(0, 1)],
            excluded: &[vec![]],
            kinds: &[1],
            threads: 1,
        })
    };
    assert_eq!(ask(&[f32::NAN, 0.0]).unwrap_err().code, "not_finite");
    assert_eq!(ask(&[1.0]).unwrap_err().code, "bad_shape");
    assert!(ask(&[1.0, 0.0]).unwrap()[0].is_empty());
    assert!(VectorIndex::new(0, Dtype::Float32).is_err());
}

#[test]
fn the_longest_vectors_have_finite_scores() {
    for dtype in DTYPES {
        let mut index = VectorIndex::new(3, dtype).unwrap();
        for (id, sign) in [(1, 1.0), (2, -1.0), (3, 0.0)] {
            let entry = Entry {
                id: Id(id),
                author: Id(1),
                created_ms: 0,
                kind: 0,
            };
            index
                .insert(&entry, &[sign * 9e17, sign * 3e17, 1e-40])
                .unwrap();
        }
        let search = Search {
            vectors: &[9e17, -3e17, 1e-40],
            k: 3,
            times: &[(0, 0)],
            excluded: &[vec![]],
            kinds: &[1],
            threads: 1,
        };
        let found = index.search(&search).unwrap();
        let ids: Vec<u64> = found[0].iter().map(|(_, id)| *id).collect();
        assert_eq!(ids, [1, 3, 2]);
        assert!(found[0].iter().all(|(score, _)| score.is_finite()));
    }
}

#[test]
fn every_damage_to_a_file_is_found() {
    for dtype in DTYPES {
        let mut bytes = Vec::new();
        filled(dtype, 5, 3).write(&mut bytes).unwrap();
        for len in 0..bytes.len() {
            let error = VectorIndex::read(&bytes[..len]).unwrap_err();
            assert_eq!(error.code, "bad_vectors", "cut to {len}");
        }
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                assert!(
                    VectorIndex::read(&changed[..]).is_err(),
                    "byte {place}, bit {bit}"
                );
            }
        }
        bytes.push(0);
        assert!(VectorIndex::read(&bytes[..]).is_err());
    }
}
