//! The trunk against the same formulas in plain `f64`, and its speed.

use super::attention::{Bounds, Cap, Heads, Memory, Seen, attend_rows};
use super::context::candidate_bounds;
use super::{LayerWeights, Numbers, Rotations, Shape, Tokens, Trunk};

/// Numbers in [-1, 1) that repeat late.
pub(super) fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(i16::try_from(state >> 17).unwrap()) / 16_384.0 - 1.0
        })
        .collect()
}

/// Attention of one head in plain `f64`: (K) from a query, T keys and values, and their bounds.
fn plain_attention(
    query: &[f32],
    keys: &[&[f32]],
    values: &[&[f32]],
    soft: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let logits: Vec<f64> = keys
        .iter()
        .map(|key| {
            let products = query
                .iter()
                .zip(*key)
                .map(|(a, b)| f64::from(*a) * f64::from(*b));
            soft(products.sum())
        })
        .collect();
    let highest = logits.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = logits.iter().map(|x| (x - highest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..query.len())
        .map(|k| {
            let mixed = weights
                .iter()
                .zip(values)
                .map(|(w, value)| w * f64::from(value[k]));
            mixed.sum::<f64>() / sum
        })
        .collect()
}

#[test]
fn attention_equals_plain_arithmetic_for_odd_sizes() {
    for (n_positions, key_size, cap) in [
        (1, 2, Cap::None),
        (13, 8, Cap::Tanh(2.0)),
        (32, 20, Cap::SoftSign(1.5)),
        (45, 32, Cap::Tanh(30.0)),
    ] {
        let heads = Heads {
            n_queries: 4,
            n_groups: 2,
            key_size,
            multiplier: 0.7,
            cap,
        };
        let (width, stride) = (heads.width(), heads.row_width());
        let context = numbers(n_positions * stride, 1);
        let memories: Vec<Memory> = (0..2)
            .map(|group| {
                let key = &context[group * width..];
                let value = &context[(2 + group) * width..];
                Memory::pack(n_positions, key_size, key, value, stride)
            })
            .collect();
        let mut qkv = numbers(8 * stride, 2);
        for head in qkv.chunks_mut(width) {
            head[key_size..].fill(0.0);
        }
        let valid: Vec<bool> = (0..n_positions).map(|i| i % 3 != 1).collect();
        let padded = n_positions.next_multiple_of(16);
        let bounds = candidate_bounds(&valid, padded);
        let mut scores = vec![0.0; 8 * (padded + 16)];
        let mut out = vec![0.0; 8 * heads.queries_width()];
        let shared = Bounds {
            data: &bounds,
            stride: 0,
        };
        let seen = Seen {
            memories: &memories,
            to_itself: true,
            bounds: shared,
        };
        attend_rows(&heads, &qkv, 8, seen, &mut scores, &mut out);
        let soft = |x: f64| {
            let x = x * 0.7;
            match cap {
                Cap::None => x,
                Cap::Tanh(c) => f64::from(c) * (x / f64::from(c)).tanh(),
                Cap::SoftSign(c) => x / (1.0 + x.abs() / f64::from(c)),
            }
        };
        for row in 0..8 {
            for head in 0..4 {
                let own = &qkv[row * stride..][..stride];
                let group = head / 2;
                let at = |base: usize| &own[(base + group) * width..][..key_size];
                let seen = (0..n_positions).filter(|i| valid[*i]);
                let of = |base: usize| {
                    let context = &context;
                    move |i: usize| &context[i * stride + (base + group) * width..][..key_size]
                };
                let mut keys: Vec<&[f32]> = seen.clone().map(of(0)).collect();
                let mut values: Vec<&[f32]> = seen.map(of(2)).collect();
                keys.push(at(4));
                values.push(at(6));
                let right = plain_attention(&own[head * width..][..key_size], &keys, &values, soft);
                let got = &out[(row * 4 + head) * width..][..key_size];
                for (got, right) in got.iter().zip(right) {
                    assert!((f64::from(*got) - right).abs() < 3e-6, "{got} {right}");
                }
            }
        }
    }
}

/// Random parameters of a layer.
struct Random(Vec<Vec<f32>>);

impl Random {
    fn new(shape: &Shape, seed: u32) -> Self {
        let (d, f) = (shape.width, shape.ffn_size);
        let (q, k) = (
            shape.n_query_heads * shape.key_size,
            shape.n_kv_heads * shape.key_size,
        );
        let sizes = [d, d, d, d, d * q, d * k, d * k, q * d, d * f, d * f, f * d];
        let random = sizes.iter().zip(seed..).map(|(n, seed)| {
            let scale = if *n == d { 1.0 } else { 0.15 };
            numbers(*n, seed).iter().map(|x| x * scale).collect()
        });
        Self(random.collect())
    }

    fn weights(&self) -> LayerWeights<'_> {
        LayerWeights {
            attention_norm: &self.0[0],
            attention_out_norm: Some(&self.0[1]),
            ffn_norm: &self.0[2],
            ffn_out_norm: Some(&self.0[3]),
            query_norm: None,
            key_norm: None,
            query: &self.0[4],
            key: &self.0[5],
            value: &self.0[6],
            attention_out: &self.0[7],
            ffn_gate: Some(&self.0[8]),
            ffn_up: &self.0[9],
            ffn_down: &self.0[10],
        }
    }
}

/// The shape of the released mini model.
const MINI: Shape = Shape {
    width: 128,
    n_query_heads: 4,
    n_kv_heads: 4,
    key_size: 32,
    ffn_size: 176,
    multiplier: 0.125,
    cap: Cap::Tanh(30.0),
    causal: true,
};

#[test]
fn wrong_sizes_are_refused() {
    let random = Random::new(&MINI, 1);
    let layers = [random.weights()];
    assert!(
        Trunk::new(
            Shape {
                n_kv_heads: 3,
                ..MINI
            },
            &layers,
            Numbers::Float32
        )
        .is_err()
    );
    assert!(
        Trunk::new(
            Shape {
                key_size: 31,
                ..MINI
            },
            &layers,
            Numbers::Float32
        )
        .is_err()
    );
    assert!(
        Trunk::new(
            Shape {
                ffn_size: 180,
                ..MINI
            },
            &layers,
            Numbers::Float32
        )
        .is_err()
    );
    let trunk = Trunk::new(MINI, &layers, Numbers::Float32).unwrap();
    let table = numbers(2 * 16, 1);
    let table = Rotations {
        cos: &table,
        sin: &table,
    };
    let values = numbers(3 * 128, 5);
    let tokens = Tokens {
        values: &values,
        n: 3,
        positions: &[0, 1, 2],
        table,
    };
    assert!(
        trunk.encode(&tokens, &[true; 3], None, 1).is_err(),
        "no position 2 in the table"
    );
    let tokens = Tokens {
        positions: &[0, 1, 1],
        ..tokens
    };
    assert!(trunk.encode(&tokens, &[true; 2], None, 1).is_err());
    assert!(trunk.encode(&tokens, &[true; 3], None, 0).is_err());
    assert!(trunk.encode(&tokens, &[true; 3], None, 1).is_ok());
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture speed"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn speed() {
    let random: Vec<Random> = (0..4).map(|i| Random::new(&MINI, i * 20)).collect();
    let layers: Vec<_> = random.iter().map(Random::weights).collect();
    let (cos, sin) = (vec![0.8; 2048 * 16], vec![0.6; 2048 * 16]);
    let table = Rotations {
        cos: &cos,
        sin: &sin,
    };
    let positions: Vec<u32> = (0..1500).collect();
    let values = numbers(1500 * 128, 9);
    let history = Tokens {
        values: &values[..128 * 128],
        n: 128,
        positions: &positions[..128],
        table,
    };
    for dtype in [Numbers::Float32, Numbers::Bfloat16, Numbers::Int8] {
        let trunk = Trunk::new(MINI, &layers, dtype).unwrap();
        for (n, n_threads) in [(500, 1), (1500, 1), (1500, 2)] {
            let tokens = Tokens {
                values: &values[..n * 128],
                n,
                positions: &positions[..n],
                table,
            };
            let mut out = vec![0.0; n * 128];
            let mut best = [f64::MAX; 2];
            for _ in 0..60 {
                let start = std::time::Instant::now();
                let context = trunk
                    .encode(&history, &[true; 128], None, n_threads)
                    .unwrap();
                let encoded = start.elapsed().as_secs_f64();
                trunk
                    .attend(&context, &tokens, &mut out, n_threads)
                    .unwrap();
                let all = start.elapsed().as_secs_f64();
                best = [best[0].min(encoded), best[1].min(all - encoded)];
            }
            let [encode, attend] = best.map(|secs| secs * 1e3);
            println!("{dtype:?} {n} candidates {n_threads} threads: {encode:.2} + {attend:.2} ms");
        }
    }
}
