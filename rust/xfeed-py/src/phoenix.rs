//! The transformer of the models without torch.

use numpy::{
    PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyReadonlyArrayDyn, PyReadwriteArray2,
    PyReadwriteArray3, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use xfeed_core::Error;
use xfeed_core::phoenix as core;

use crate::convert::{slice1, slice2, slice2_mut};
use crate::detach::detached;
use crate::error::to_py;

/// Viewers and histories that a `Trunk` has encoded, for all their candidates.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct TrunkContext {
    inner: core::Context,
}

#[pymethods]
impl TrunkContext {
    /// Number of viewers.
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// Memory in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.n_bytes()
    }

    /// Some of the viewers, which are shared and not copied.
    fn take(&self, rows: Vec<usize>) -> PyResult<Self> {
        let inner = self.inner.take(&rows).map_err(to_py)?;
        Ok(Self { inner })
    }

    /// All viewers of all contexts, which are shared and not copied.
    #[staticmethod]
    fn join(contexts: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let contexts: Vec<_> = contexts.iter().map(|context| &context.inner).collect();
        let inner = core::Context::join(&contexts).map_err(to_py)?;
        Ok(Self { inner })
    }
}

/// The layers of a transformer, packed for this machine.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct Trunk {
    inner: core::Trunk,
}

/// A parameter of a layer, kept alive while it is read.
struct Parameters<'py> {
    arrays: Vec<(&'static str, PyReadonlyArrayDyn<'py, f32>)>,
}

/// Names of a layer's parameters.
const PARAMETERS: [&str; 13] = [
    "attention_norm",
    "attention_out_norm",
    "ffn_norm",
    "ffn_out_norm",
    "query_norm",
    "key_norm",
    "query",
    "key",
    "value",
    "attention_out",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

impl<'py> Parameters<'py> {
    fn of(layer: &Bound<'py, PyDict>) -> PyResult<Self> {
        let mut arrays = Vec::new();
        for name in PARAMETERS {
            if let Some(array) = layer.get_item(name)? {
                arrays.push((name, array.extract()?));
            }
        }
        if arrays.len() == layer.len() {
            return Ok(Self { arrays });
        }
        Err(to_py(Error::config(
            format!("unknown parameter among {}", layer.keys()),
            format!("known are {}", PARAMETERS.join(", ")),
        )))
    }

    fn maybe(&self, name: &str) -> PyResult<Option<&[f32]>> {
        let Some((_, array)) = self.arrays.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        array.as_slice().map(Some).map_err(|_| {
            to_py(Error::shape(
                format!("`{name}` is not C-contiguous"),
                format!("pass np.ascontiguousarray({name})"),
            ))
        })
    }

    fn get(&self, name: &str) -> PyResult<&[f32]> {
        self.maybe(name)?.ok_or_else(|| {
            let hint = "pass every parameter of the layer";
            to_py(Error::config(format!("`{name}` is missing"), hint))
        })
    }

    fn weights(&self) -> PyResult<core::LayerWeights<'_>> {
        Ok(core::LayerWeights {
            attention_norm: self.get("attention_norm")?,
            attention_out_norm: self.maybe("attention_out_norm")?,
            ffn_norm: self.get("ffn_norm")?,
            ffn_out_norm: self.maybe("ffn_out_norm")?,
            query_norm: self.maybe("query_norm")?,
            key_norm: self.maybe("key_norm")?,
            query: self.get("query")?,
            key: self.get("key")?,
            value: self.get("value")?,
            attention_out: self.get("attention_out")?,
            ffn_gate: self.maybe("ffn_gate")?,
            ffn_up: self.get("ffn_up")?,
            ffn_down: self.get("ffn_down")?,
        })
    }
}

/// Bound of query-key products by its name.
fn cap_of(cap: Option<f32>, kind: &str) -> PyResult<core::Cap> {
    match (cap, kind) {
        (None, _) => Ok(core::Cap::None),
        (Some(cap), "tanh") => Ok(core::Cap::Tanh(cap)),
        (Some(cap), "soft_sign") => Ok(core::Cap::SoftSign(cap)),
        _ => Err(to_py(Error::config(
            format!("unknown `cap_kind` `{kind}`"),
            "pass `tanh` or `soft_sign`",
        ))),
    }
}

/// Numbers to multiply matrices in, by their name.
fn numbers_of(dtype: &str) -> PyResult<core::Numbers> {
    match dtype {
        "float32" => Ok(core::Numbers::Float32),
        "bfloat16" => Ok(core::Numbers::Bfloat16),
        "int8" => Ok(core::Numbers::Int8),
        _ => Err(to_py(Error::config(
            format!("unknown `dtype` `{dtype}`"),
            "pass `float32`, `bfloat16` or `int8`",
        ))),
    }
}

/// Tokens of width `width` and their positions.
fn tokens_of<'a>(
    values: &'a PyReadonlyArray3<'_, f32>,
    positions: &'a [u32],
    cos: &'a PyReadonlyArray2<'_, f32>,
    sin: &'a PyReadonlyArray2<'_, f32>,
    shape: &core::Shape,
) -> PyResult<core::Tokens<'a>> {
    let (cos, half) = slice2(cos, "cos")?;
    let (sin, half_of_sin) = slice2(sin, "sin")?;
    let (width, half_right) = (shape.width, shape.key_size / 2);
    if values.shape()[2] != width || half != half_right || half_of_sin != half_right {
        return Err(to_py(Error::shape(
            format!(
                "tokens {:?} with rotations of width {half} and {half_of_sin}; \
                 width {width} and {half_right} are needed",
                values.shape()
            ),
            "pass tokens (B, N, D) and tables (positions, K / 2)",
        )));
    }
    let n = values.shape()[1];
    let values = values.as_slice().map_err(|_| {
        let hint = "pass np.ascontiguousarray(tokens)";
        to_py(Error::shape("`tokens` is not C-contiguous", hint))
    })?;
    let table = core::Rotations { cos, sin };
    Ok(core::Tokens {
        values,
        n,
        positions,
        table,
    })
}

/// Whether an array has one entry for each token.
fn same_tokens(shape: &[usize], tokens: &[usize], name: &str) -> PyResult<()> {
    if shape == &tokens[..2] {
        return Ok(());
    }
    Err(to_py(Error::shape(
        format!("`{name}` has the shape {shape:?}, the tokens {tokens:?}"),
        "pass one entry for each token, (viewers, tokens)",
    )))
}

/// Borrows an output of the shape of the tokens.
fn out_of<'a>(
    out: &'a mut PyReadwriteArray3<'_, f32>,
    expected: &[usize],
) -> PyResult<&'a mut [f32]> {
    if out.shape() != expected {
        return Err(to_py(Error::shape(
            format!(
                "`out` has the shape {:?}, {expected:?} is needed",
                out.shape()
            ),
            "allocate it like the tokens",
        )));
    }
    out.as_slice_mut()
        .map_err(|_| to_py(Error::shape("`out` is not C-contiguous", "use np.empty")))
}

#[pymethods]
impl Trunk {
    /// Packs the parameters: one dict of float32 arrays per layer, matrices input x output.
    #[new]
    #[pyo3(signature = (layers, *, width, n_query_heads, n_kv_heads, key_size, ffn_size, multiplier, cap, cap_kind, causal, dtype="float32"))]
    #[expect(clippy::too_many_arguments, reason = "keywords of one description")]
    fn new(
        py: Python<'_>,
        layers: Vec<Bound<'_, PyDict>>,
        width: usize,
        n_query_heads: usize,
        n_kv_heads: usize,
        key_size: usize,
        ffn_size: usize,
        multiplier: f32,
        cap: Option<f32>,
        cap_kind: &str,
        causal: bool,
        dtype: &str,
    ) -> PyResult<Self> {
        let numbers = numbers_of(dtype)?;
        let shape = core::Shape {
            width,
            n_query_heads,
            n_kv_heads,
            key_size,
            ffn_size,
            multiplier,
            cap: cap_of(cap, cap_kind)?,
            causal,
        };
        let layers: Vec<_> = layers.iter().map(Parameters::of).collect::<PyResult<_>>()?;
        let weights: Vec<_> = layers
            .iter()
            .map(Parameters::weights)
            .collect::<PyResult<_>>()?;
        detached(py, || core::Trunk::new(shape, &weights, numbers)).map(|inner| Self { inner })
    }

    /// Memory of the parameters in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.n_bytes()
    }

    /// Encodes viewers and histories.
    ///
    /// `tokens` is float32 `(B, T, D)`, `valid` bool `(B, T)`, `positions` uint32 `(B, T)` into
    /// the tables `cos` and `sin` `(P, K / 2)`; `hidden` takes the output of the last layer. Do not write to
    /// the arrays from another thread during the call.
    #[pyo3(signature = (tokens, valid, positions, cos, sin, *, hidden=None, threads=1))]
    #[expect(clippy::too_many_arguments, reason = "arrays of one batch")]
    fn encode(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray3<'_, f32>,
        valid: PyReadonlyArray2<'_, bool>,
        positions: PyReadonlyArray2<'_, u32>,
        cos: PyReadonlyArray2<'_, f32>,
        sin: PyReadonlyArray2<'_, f32>,
        mut hidden: Option<PyReadwriteArray3<'_, f32>>,
        threads: usize,
    ) -> PyResult<TrunkContext> {
        let expected = tokens.shape().to_vec();
        same_tokens(valid.shape(), &expected, "valid")?;
        same_tokens(positions.shape(), &expected, "positions")?;
        // Copies: what is checked must be what is read.
        let valid = slice2(&valid, "valid")?.0.to_vec();
        let positions = slice2(&positions, "positions")?.0.to_vec();
        let tokens = tokens_of(&tokens, &positions, &cos, &sin, self.inner.shape())?;
        let hidden = hidden
            .as_mut()
            .map(|hidden| out_of(hidden, &expected))
            .transpose()?;
        let encode = || self.inner.encode(&tokens, &valid, hidden, threads);
        detached(py, encode).map(|inner| TrunkContext { inner })
    }

    /// Runs candidates, each alone against its viewer.
    ///
    /// `tokens` is float32 `(B, C, D)`, `positions` uint32 `(C,)`; the rest as in `encode`. `out` has
    /// the shape of `tokens`.
    #[pyo3(signature = (context, tokens, positions, cos, sin, out, *, threads=1))]
    #[expect(clippy::too_many_arguments, reason = "arrays of one batch")]
    fn attend(
        &self,
        py: Python<'_>,
        context: &TrunkContext,
        tokens: PyReadonlyArray3<'_, f32>,
        positions: PyReadonlyArray1<'_, u32>,
        cos: PyReadonlyArray2<'_, f32>,
        sin: PyReadonlyArray2<'_, f32>,
        mut out: PyReadwriteArray3<'_, f32>,
        threads: usize,
    ) -> PyResult<()> {
        let expected = tokens.shape().to_vec();
        let positions = slice1(&positions, "positions")?.to_vec();
        let tokens = tokens_of(&tokens, &positions, &cos, &sin, self.inner.shape())?;
        let out = out_of(&mut out, &expected)?;
        detached(py, || {
            self.inner.attend(&context.inner, &tokens, out, threads)
        })
    }
}

/// A matrix that rows are multiplied with, packed for this machine.
#[pyclass(frozen, module = "xfeed._core")]
pub(crate) struct PackedMatrix {
    inner: core::PackedMatrix,
}

#[pymethods]
impl PackedMatrix {
    /// Packs a float32 matrix (depth, columns); with `norm` (depth,), rows pass a
    /// root-mean-square norm with these scales first.
    #[new]
    #[pyo3(signature = (matrix, *, norm=None))]
    fn new(
        matrix: PyReadonlyArray2<'_, f32>,
        norm: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<Self> {
        let (matrix, columns) = slice2(&matrix, "matrix")?;
        let norm = norm.as_ref().map(|norm| slice1(norm, "norm")).transpose()?;
        let inner = core::PackedMatrix::new(matrix, columns, norm).map_err(to_py)?;
        Ok(Self { inner })
    }

    /// Numbers of a row that is multiplied.
    #[getter]
    fn depth(&self) -> usize {
        self.inner.depth()
    }

    /// Numbers of a product.
    #[getter]
    fn columns(&self) -> usize {
        self.inner.columns()
    }

    /// Memory in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.n_bytes()
    }

    /// Writes products of rows to `out`, float32 (n, columns).
    ///
    /// `parts` are float32 arrays (n, width) that stand side by side; their widths add up to the
    /// depth. A row's product has the same bits whatever the other rows and `threads` are. Do not
    /// write to the arrays from another thread during the call.
    #[pyo3(signature = (parts, out, *, threads=1))]
    fn multiply(
        &self,
        py: Python<'_>,
        parts: Vec<PyReadonlyArray2<'_, f32>>,
        mut out: PyReadwriteArray2<'_, f32>,
        threads: usize,
    ) -> PyResult<()> {
        let n = parts.first().map_or(0, |part| part.shape()[0]);
        let mut slices = Vec::with_capacity(parts.len());
        for part in &parts {
            let (values, width) = slice2(part, "parts")?;
            slices.push(core::Part { values, width });
        }
        let out = slice2_mut(&mut out, "out", (n, self.inner.columns()))?;
        detached(py, || self.inner.multiply(&slices, n, out, threads))
    }
}
