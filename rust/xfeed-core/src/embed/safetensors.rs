//! The header of safetensors files: what is inside, and where.
//!
//! A file is the length of the header (8 bytes, lowest first), the header (a JSON object: a name of a
//! tensor to its `dtype`, `shape` and `data_offsets` behind the header; `__metadata__` holds texts), and
//! the numbers of all tensors one after another, without holes. A header is believed only when the
//! whole file is as it says: nothing in it can make a reader allocate or read beyond the file.

use std::collections::HashSet;
use std::fmt;
use std::io::{Read, Write};
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::cells::Dtype;
use crate::error::{Error, Result};

/// Longest header: that of the format's own reader.
const MAX_HEADER_LEN: u64 = 100_000_000;

/// Numbers start at a multiple of this, so that rows do not straddle lines of the caches.
const ALIGNMENT: usize = 64;

const METADATA: &str = "__metadata__";

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its dtype by the names of the format, such as `F32`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Where its bytes are in the file.
    pub bytes: Range<u64>,
}

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Entries in their order; a name that comes twice is an error.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Entries, A::Error> {
                let (mut seen, mut entries) = (HashSet::new(), Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` is there twice")));
                    }
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

fn bad(message: impl fmt::Display) -> Error {
    Error::store(
        "bad_tensors",
        format!("the file of tensors is damaged: {message}"),
        "get the file again; nothing of it was used",
    )
}

/// Reads and checks the header of a file of `file_len` bytes; the tensors in the order of their bytes.
///
/// # Errors
/// When the file is not what its header says, with the name of the tensor where one is to blame.
pub fn read_header(file: &mut impl Read, file_len: u64) -> Result<Vec<TensorInfo>> {
    let mut len = [0; 8];
    file.read_exact(&mut len)
        .map_err(|_| bad(format!("{file_len} bytes are too few")))?;
    let len = u64::from_le_bytes(len);
    let Some(data_start) = len.checked_add(8).filter(|end| *end <= file_len) else {
        return Err(bad(format!(
            "a header of {len} bytes in a file of {file_len}"
        )));
    };
    if len > MAX_HEADER_LEN {
        return Err(bad(format!(
            "a header of {len} bytes, at most {MAX_HEADER_LEN} are read"
        )));
    }
    let mut header = Vec::new();
    file.take(len).read_to_end(&mut header)?;
    if header.len() as u64 != len {
        return Err(bad("the header ends early"));
    }
    let entries: Entries = serde_json::from_slice(&header).map_err(bad)?;
    let mut tensors = Vec::with_capacity(entries.0.len());
    for (name, entry) in entries.0 {
        tensors.push(checked(name, entry, data_start)?);
    }
    check_layout(&mut tensors, data_start, file_len)?;
    Ok(tensors)
}

/// The tensor of an entry, when its bytes are as many as its shape needs.
fn checked(name: String, entry: Entry, data_start: u64) -> Result<TensorInfo> {
    let (begin, end) = entry.data_offsets;
    let place = begin
        .checked_add(data_start)
        .zip(end.checked_add(data_start));
    let Some((start, stop)) = place.filter(|(start, stop)| start <= stop) else {
        return Err(bad(format!("`{name}` lies at `{begin}` to `{end}`")));
    };
    if let Some(size) = cell_size(&entry.dtype) {
        let len = entry
            .shape
            .iter()
            .try_fold(size, |len, n| len.checked_mul(*n));
        if len != Some(stop - start) {
            return Err(bad(format!(
                "`{name}` has {} bytes, its shape {:?} of {} needs another number",
                stop - start,
                entry.shape,
                entry.dtype
            )));
        }
    }
    Ok(TensorInfo {
        name,
        dtype: entry.dtype,
        shape: entry.shape,
        bytes: start..stop,
    })
}

/// Bytes of one number; None for dtypes that no table can have.
fn cell_size(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" => Some(1),
        "U16" | "I16" | "F16" | "BF16" => Some(2),
        "U32" | "I32" | "F32" => Some(4),
        "U64" | "I64" | "F64" => Some(8),
        _ => None,
    }
}

/// Sorts by place; the tensors must follow one another from the header to the end of the file.
fn check_layout(tensors: &mut [TensorInfo], data_start: u64, file_len: u64) -> Result<()> {
    tensors.sort_by_key(|tensor| (tensor.bytes.start, tensor.bytes.end));
    let mut end = data_start;
    for tensor in tensors {
        if tensor.bytes.start != end {
            return Err(bad(format!(
                "`{}` starts at byte {}, what is before it ends at {end}",
                tensor.name, tensor.bytes.start
            )));
        }
        end = tensor.bytes.end;
    }
    if end == file_len {
        return Ok(());
    }
    Err(bad(format!(
        "its tensors end at byte {end}, the file has {file_len}"
    )))
}

/// The name of a dtype in the format.
pub(super) fn format_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Float32 => "F32",
        Dtype::Float16 => "F16",
        Dtype::Bfloat16 => "BF16",
        Dtype::Int8 => "I8",
    }
}

/// Writes the header of tensors that follow in this order: name, dtype, shape, bytes.
pub(super) fn write_header(
    tensors: &[(String, Dtype, Vec<usize>, usize)],
    out: &mut impl Write,
) -> Result<()> {
    let (mut header, mut start) = (serde_json::Map::new(), 0);
    for (name, dtype, shape, len) in tensors {
        let entry = serde_json::json!({
            "dtype": format_name(*dtype),
            "shape": shape,
            "data_offsets": [start, start + len],
        });
        if name == METADATA || header.insert(name.clone(), entry).is_some() {
            return Err(Error::config(
                format!("two tensors of one file cannot both be called `{name}`"),
                "give each table a name of its own; an int8 table needs `NAME.scale` too",
            ));
        }
        start += len;
    }
    let mut text = serde_json::to_vec(&header).map_err(bad)?;
    text.resize((text.len() + 8).next_multiple_of(ALIGNMENT) - 8, b' ');
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(&text)?;
    Ok(())
}
