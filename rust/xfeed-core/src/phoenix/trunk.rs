//! The stack of layers: the context once, then candidates in blocks.
//!
//! A block of candidates goes through all layers before the next one starts, so its rows stay in
//! the nearest caches. Blocks share nothing, and a row is computed by the same instructions in any
//! block: neither the other candidates nor the number of threads changes a bit of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::aligned::{Aligned, padded};
use super::attention::{Bounds, Heads, Memory, Seen};
use super::context::{Context, Viewer, candidate_bounds, context_bounds};
use super::gemm::ROWS;
use super::layer::{Layer, Placed};
use super::matrix::Numbers;
use super::rows::Rotations;
use super::scratch::Scratch;
use super::shape::{Shape, Tokens};
use super::weights::{LayerWeights, Sizes};
use super::workers::Workers;
use crate::error::{Error, Result};

/// Rows of a block, when there are enough: few enough for the cache, many enough to read the
/// weights rarely.
const BLOCK: usize = 64;

/// Most positions of a viewer's context.
const MAX_POSITIONS: usize = 1 << 17;

/// The layers, packed.
#[derive(Debug)]
pub struct Trunk {
    shape: Shape,
    sizes: Sizes,
    layers: Vec<Layer>,
    id: u64,
    scratches: Mutex<Vec<Scratch>>,
}

/// A block of candidates and where its result goes.
struct Block<'a> {
    viewer: &'a Viewer,
    tokens: &'a [f32],
    positions: &'a [u32],
    out: &'a mut [f32],
}

impl Trunk {
    /// Packs the parameters of all layers, to be multiplied in these numbers.
    ///
    /// # Errors
    /// Sizes do not fit together, or a parameter has another length than they say.
    pub fn new(shape: Shape, layers: &[LayerWeights<'_>], numbers: Numbers) -> Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        shape.check()?;
        let sizes = Sizes {
            width: shape.width,
            ffn_size: shape.ffn_size,
            heads: Heads {
                n_queries: shape.n_query_heads,
                n_groups: shape.n_kv_heads,
                key_size: shape.key_size,
                multiplier: shape.multiplier,
                cap: shape.cap,
            },
        };
        let layers = layers
            .iter()
            .map(|weights| Layer::new(sizes, weights, numbers));
        Ok(Self {
            shape,
            sizes,
            layers: layers.collect::<Result<_>>()?,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            scratches: Mutex::default(),
        })
    }

    /// Sizes and switches.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Memory of the parameters in bytes.
    pub fn n_bytes(&self) -> usize {
        self.layers.iter().map(Layer::n_bytes).sum()
    }

    /// Encodes viewers and histories: tokens (B, T, D), `valid` (B, T).
    ///
    /// With `hidden` (B, T, D) it also writes the output of the last layer; rows of positions that
    /// are not valid mean nothing.
    ///
    /// # Errors
    /// Lengths do not fit together, or a position is not in the table.
    pub fn encode(
        &self,
        tokens: &Tokens<'_>,
        valid: &[bool],
        hidden: Option<&mut [f32]>,
        n_threads: usize,
    ) -> Result<Context> {
        let n_viewers = tokens.check(&self.shape)?;
        let per_viewer = tokens.n * self.shape.width;
        let hidden_fits = hidden
            .as_ref()
            .is_none_or(|hidden| hidden.len() == tokens.values.len());
        if valid.len() != n_viewers * tokens.n || !hidden_fits || tokens.n == 0 {
            return Err(Error::shape(
                format!(
                    "{} flags for {n_viewers} x {} tokens",
                    valid.len(),
                    tokens.n
                ),
                "pass one flag for each token, and `hidden` of the shape of the tokens",
            ));
        }
        if tokens.n > MAX_POSITIONS {
            return Err(Error::shape(
                format!("{} tokens of a viewer", tokens.n),
                format!("pass at most {MAX_POSITIONS}, the newest ones"),
            ));
        }
        let workers = Workers::new(n_threads)?;
        let mut viewers = Vec::new();
        viewers.resize_with(n_viewers, || None);
        let mut hidden = hidden.map(|hidden| hidden.chunks_mut(per_viewer.max(1)));
        let tasks = viewers
            .iter_mut()
            .enumerate()
            .map(|(i, slot)| (i, slot, hidden.as_mut().and_then(Iterator::next)));
        workers.each(tasks.collect(), |(i, slot, hidden)| {
            let values = &tokens.values[i * per_viewer..][..per_viewer];
            let valid = &valid[i * tokens.n..][..tokens.n];
            let placed = Placed {
                table: tokens.table,
                positions: tokens.positions_of(i),
            };
            *slot = Some(Arc::new(
                self.encode_one(values, valid, placed, hidden, &workers),
            ));
        });
        Ok(Context {
            viewers: viewers.into_iter().flatten().collect(),
            trunk: self.id,
        })
    }

    /// Encodes one viewer, with all threads on the rows of each layer.
    fn encode_one(
        &self,
        values: &[f32],
        valid: &[bool],
        placed: Placed<'_>,
        hidden: Option<&mut [f32]>,
        workers: &Workers,
    ) -> Viewer {
        let n_positions = valid.len();
        let n_rows = n_positions.next_multiple_of(ROWS);
        let (stream, row_width) = (padded(self.shape.width), self.sizes.heads.row_width());
        let mut x = Aligned::zeros(n_rows * stream);
        copy_rows(values, self.shape.width, &mut x, stream);
        let mut qkv = Aligned::zeros(n_rows * row_width);
        let width = padded(n_positions);
        // Where all positions see the same, they share one row.
        let shared = (!self.shape.causal).then(|| context_bounds(valid, width, 0..1, false));
        let block = block_rows(n_rows, workers.n());
        let mut memories = Vec::with_capacity(self.layers.len() * self.shape.n_kv_heads);
        for (depth, layer) in self.layers.iter().enumerate() {
            let rows = x
                .chunks_mut(block * stream)
                .zip(qkv.chunks_mut(block * row_width));
            let tasks = rows.zip(placed.positions.chunks(block)).collect();
            workers.each(tasks, |((x, qkv), positions)| {
                let placed = Placed {
                    table: placed.table,
                    positions,
                };
                self.with_scratch(block, n_positions, |scratch| {
                    layer.project(x, placed, qkv, &mut scratch.split().1);
                });
            });
            let first = memories.len();
            memories.extend(self.remember(&qkv, n_positions));
            if depth + 1 == self.layers.len() && hidden.is_none() {
                break;
            }
            let memories = &memories[first..];
            let rows = x
                .chunks_mut(block * stream)
                .zip(qkv.chunks(block * row_width));
            workers.each(rows.enumerate().collect(), |(i, (x, qkv))| {
                let first = i * block;
                let rows = first..first + x.len() / stream;
                let own = shared.is_none();
                let own = own.then(|| context_bounds(valid, width, rows, true));
                let bounds = Bounds {
                    data: shared
                        .as_ref()
                        .or(own.as_ref())
                        .map_or(&[], |bounds| bounds),
                    stride: if shared.is_some() { 0 } else { width },
                };
                let seen = Seen {
                    memories,
                    to_itself: false,
                    bounds,
                };
                self.with_scratch(block, n_positions, |scratch| {
                    layer.finish(x, qkv, seen, &mut scratch.split().1);
                });
            });
        }
        if let Some(hidden) = hidden {
            copy_rows_out(&x, stream, hidden, self.shape.width);
        }
        Viewer {
            memories,
            bounds: candidate_bounds(valid, padded(n_positions)),
            n_positions,
        }
    }

    /// Packs keys and values of a layer.
    fn remember(&self, qkv: &[f32], n_positions: usize) -> impl Iterator<Item = Memory> {
        let heads = self.sizes.heads;
        (0..heads.n_groups).map(move |group| {
            let key = heads.queries_width() + group * heads.width();
            let value = key + heads.groups_width();
            let (key, value) = (&qkv[key..], &qkv[value..]);
            Memory::pack(n_positions, heads.key_size, key, value, heads.row_width())
        })
    }

    /// Runs candidates (B, C, D) through the layers, each alone against its viewer, into `out`.
    ///
    /// # Errors
    /// Lengths do not fit together, a position is not in the table, or the context is of another
    /// trunk.
    pub fn attend(
        &self,
        context: &Context,
        tokens: &Tokens<'_>,
        out: &mut [f32],
        n_threads: usize,
    ) -> Result<()> {
        tokens.check(&self.shape)?;
        let per_viewer = tokens.n * self.shape.width;
        if context.trunk != self.id {
            return Err(Error::shape(
                "the context was made by another trunk",
                "encode it again with this one",
            ));
        }
        if tokens.values.len() != context.len() * per_viewer || out.len() != tokens.values.len() {
            return Err(Error::shape(
                format!(
                    "{} numbers in and {} out for {} viewers with {} candidates each",
                    tokens.values.len(),
                    out.len(),
                    context.len(),
                    tokens.n
                ),
                "pass tokens and `out` of the shape (viewers, candidates, width)",
            ));
        }
        if out.is_empty() {
            return Ok(());
        }
        let workers = Workers::new(n_threads)?;
        let rows = block_rows(tokens.n, workers.n());
        let numbers = rows * self.shape.width;
        let mut blocks = Vec::new();
        for (i, out) in out.chunks_mut(per_viewer).enumerate() {
            let values = tokens.values[i * per_viewer..][..per_viewer].chunks(numbers);
            let positions = tokens.positions_of(i).chunks(rows);
            for ((out, tokens), positions) in out.chunks_mut(numbers).zip(values).zip(positions) {
                let viewer = &context.viewers[i];
                blocks.push(Block {
                    viewer,
                    tokens,
                    positions,
                    out,
                });
            }
        }
        workers.each(blocks, |block| self.attend_block(block, tokens.table));
        Ok(())
    }

    /// Takes one block through all layers.
    fn attend_block(&self, block: Block<'_>, table: Rotations<'_>) {
        let (width, stream) = (self.shape.width, padded(self.shape.width));
        let n_rows = block.positions.len().next_multiple_of(ROWS);
        let placed = Placed {
            table,
            positions: block.positions,
        };
        let bounds = Bounds {
            data: &block.viewer.bounds,
            stride: 0,
        };
        let n_positions = block.viewer.n_positions;
        self.with_scratch(n_rows, n_positions, |scratch| {
            let mut x = Aligned::zeros(n_rows * stream);
            copy_rows(block.tokens, width, &mut x, stream);
            let memories = block.viewer.memories.chunks(self.shape.n_kv_heads);
            for (layer, memories) in self.layers.iter().zip(memories) {
                let seen = Seen {
                    memories,
                    to_itself: true,
                    bounds,
                };
                layer.run(&mut x, placed, seen, scratch);
            }
            copy_rows_out(&x, stream, block.out, width);
        });
    }

    /// Lends memory that earlier blocks have used.
    fn with_scratch<T>(
        &self,
        n_rows: usize,
        n_positions: usize,
        work: impl FnOnce(&mut Scratch) -> T,
    ) -> T {
        let n_rows = n_rows.max(BLOCK);
        let kept = self.scratches.lock().pop();
        let mut scratch = kept
            .filter(|scratch| scratch.fits(&self.sizes, n_rows, n_positions))
            .unwrap_or_else(|| Scratch::new(&self.sizes, n_rows, n_positions));
        let result = work(&mut scratch);
        self.scratches.lock().push(scratch);
        result
    }
}

/// Rows of a block when `n` rows are shared out evenly; a multiple of eight.
fn block_rows(n: usize, n_threads: usize) -> usize {
    let blocks = n.div_ceil(BLOCK).next_multiple_of(n_threads);
    n.div_ceil(blocks.max(1)).next_multiple_of(ROWS).max(ROWS)
}

/// Copies dense rows to padded ones.
fn copy_rows(from: &[f32], width: usize, to: &mut [f32], stride: usize) {
    for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(stride)) {
        to[..width].copy_from_slice(from);
    }
}

/// Copies padded rows to dense ones.
fn copy_rows_out(from: &[f32], stride: usize, to: &mut [f32], width: usize) {
    for (from, to) in from.chunks_exact(stride).zip(to.chunks_exact_mut(width)) {
        to.copy_from_slice(&from[..width]);
    }
}
