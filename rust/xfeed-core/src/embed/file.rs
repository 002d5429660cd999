//! Tables in files.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use memmap2::Mmap;

use super::cells::Dtype;
use super::map::{Memory, map_file};
use super::safetensors::{TensorInfo, format_name, read_header, write_header};
use super::table::{EmbeddingTable, check_size};
use crate::error::{Error, Result};

/// What comes after the name of an int8 table in the name of its scales.
const SCALE: &str = ".scale";

impl EmbeddingTable {
    /// A tensor of a safetensors file: F32, F16, BF16 or I8 of shape (rows, width); an I8 tensor
    /// `<name>` needs `<name>.scale`, F32 of shape (rows). Nothing but the header is read; rows come from
    /// the file when they are asked for. With `copy` everything is read now, and the table can be
    /// trained.
    ///
    /// # What a map cannot protect from
    ///
    /// Lengths are checked here. When somebody cuts the file later, the next read behind its new end
    /// stops the process (`SIGBUS`); when somebody overwrites it in place, numbers change. Replace
    /// such files by renaming, or use `copy`.
    ///
    /// # Errors
    /// When the file is damaged, has no such tensor, or it cannot be a table.
    pub fn open(mut file: &File, tensor: &str, copy: bool) -> Result<Self> {
        let file_len = file.metadata()?.len();
        file.rewind()?;
        let tensors = read_header(&mut file, file_len)?;
        let cells = find(&tensors, tensor)?;
        let (dtype, n_rows, width) = table_shape(cells)?;
        let (n_rows, cells_len) = check_size(n_rows, width, dtype)?;
        let source = if copy {
            Source::Copy(file)
        } else {
            Source::Map(map_file(file)?)
        };
        let scales = match dtype {
            Dtype::Int8 => Some(source.part(find_scales(&tensors, tensor, n_rows)?)?),
            _ => None,
        };
        let cells = source.part(cells)?;
        if cells.bytes().len() < cells_len {
            return Err(changed(tensor));
        }
        Ok(Self {
            dtype,
            n_rows,
            width,
            cells,
            scales,
        })
    }

    /// The shape of this table in a header, and of its scales if it has them.
    fn entries(&self, name: &str) -> Vec<(String, Dtype, Vec<usize>, usize)> {
        let n_rows = self.n_rows as usize;
        let shape = vec![n_rows, self.width];
        let mut entries = vec![(name.to_owned(), self.dtype, shape, self.cells().len())];
        if let Some(scales) = self.scales() {
            let name = format!("{name}{SCALE}");
            entries.push((name, Dtype::Float32, vec![n_rows], scales.len()));
        }
        entries
    }
}

/// Writes tables as one safetensors file; [`EmbeddingTable::open`] finds them by their names.
///
/// # Errors
/// When two names are the same, or `out` fails.
pub fn write_tables(tables: &[(&str, &EmbeddingTable)], out: &mut impl Write) -> Result<()> {
    // Wider numbers first: every tensor starts at a multiple of the size of its numbers.
    let mut parts: Vec<_> = tables
        .iter()
        .flat_map(|(name, table)| {
            table
                .entries(name)
                .into_iter()
                .zip([Some(table.cells()), table.scales()])
        })
        .collect();
    parts.sort_by_key(|((_, dtype, ..), _)| std::cmp::Reverse(dtype.size()));
    let (entries, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    write_header(&entries, out)?;
    for part in parts.into_iter().flatten() {
        out.write_all(part)?;
    }
    out.flush()?;
    Ok(())
}

enum Source<'a> {
    Copy(&'a File),
    Map(Arc<Mmap>),
}

impl Source<'_> {
    fn part(&self, tensor: &TensorInfo) -> Result<Memory> {
        let too_long = |_| changed(&tensor.name);
        let start = usize::try_from(tensor.bytes.start).map_err(too_long)?;
        let end = usize::try_from(tensor.bytes.end).map_err(too_long)?;
        match self {
            Self::Copy(file) => Memory::read(file, start..end),
            Self::Map(map) if map.len() >= end => Ok(Memory::mapped(map, start..end)),
            Self::Map(_) => Err(changed(&tensor.name)),
        }
    }
}

fn changed(name: &str) -> Error {
    Error::store(
        "bad_tensors",
        format!("the file of tensors changed while `{name}` was opened"),
        "replace files by renaming another one over them, never in place",
    )
}

fn find<'a>(tensors: &'a [TensorInfo], name: &str) -> Result<&'a TensorInfo> {
    tensors
        .iter()
        .find(|tensor| tensor.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = tensors.iter().take(9).map(|it| it.name.as_str()).collect();
            Error::store(
                "no_tensor",
                format!(
                    "there is no tensor `{name}` among the {} of the file",
                    tensors.len()
                ),
                format!("its first are {names:?}"),
            )
        })
}

fn table_shape(tensor: &TensorInfo) -> Result<(Dtype, usize, usize)> {
    let dtype = Dtype::ALL
        .into_iter()
        .find(|dtype| format_name(*dtype) == tensor.dtype);
    let shape: Option<Vec<usize>> = tensor
        .shape
        .iter()
        .map(|n| usize::try_from(*n).ok())
        .collect();
    match (dtype, shape.as_deref()) {
        (Some(dtype), Some(&[n_rows, width])) => Ok((dtype, n_rows, width)),
        _ => Err(Error::store(
            "bad_tensor",
            format!(
                "`{}` is {} of shape {:?}",
                tensor.name, tensor.dtype, tensor.shape
            ),
            "a table is F32, F16, BF16 or I8 and has the shape (rows, width)",
        )),
    }
}

fn find_scales<'a>(tensors: &'a [TensorInfo], name: &str, n_rows: u32) -> Result<&'a TensorInfo> {
    let scales = find(tensors, &format!("{name}{SCALE}"))?;
    if scales.dtype == "F32" && scales.shape == [u64::from(n_rows)] {
        return Ok(scales);
    }
    Err(Error::store(
        "bad_tensor",
        format!(
            "`{}` is {} of shape {:?}",
            scales.name, scales.dtype, scales.shape
        ),
        format!("the scales of `{name}` are F32 of shape ({n_rows})"),
    ))
}
