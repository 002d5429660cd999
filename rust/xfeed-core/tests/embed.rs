//! Embedding tables against the plainest model of them: a list of rows.
#![cfg(not(loom))]

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use half::{bf16, f16};
use proptest::prelude::*;
use xfeed_core::embed::{
    Decay, Dtype, EmbeddingTable, HashFamily, RowAdagrad, read_header, write_tables,
};

/// A file of its own, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("xfeed-embed-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[derive(Debug, Clone)]
struct Case {
    dtype: Dtype,
    width: usize,
    values: Vec<f32>,
    ids: Vec<u64>,
    functions: usize,
}

impl Case {
    fn n_rows(&self) -> usize {
        self.values.len() / self.width
    }

    fn family(&self) -> HashFamily {
        let scales = (1..=self.functions as u64)
            .map(|i| i * 0x9e37_79b9)
            .collect();
        HashFamily::new(scales, vec![7; self.functions], 2_147_483_647).unwrap()
    }

    /// What the table should say.
    fn expected(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::Float32 => self.values.clone(),
            Dtype::Float16 => self
                .values
                .iter()
                .map(|x| f16::from_f32(*x).to_f32())
                .collect(),
            Dtype::Bfloat16 => self
                .values
                .iter()
                .map(|x| bf16::from_f32(*x).to_f32())
                .collect(),
            Dtype::Int8 => Vec::new(),
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let dtypes = prop::sample::select(Dtype::ALL.to_vec());
    (dtypes, 1_usize..70, 1_usize..40, 1_usize..5).prop_flat_map(
        |(dtype, width, n_rows, functions)| {
            let number = prop_oneof![-60_000.0..60_000.0_f32, -1e-3..1e-3_f32, Just(0.0)];
            let ids = prop::collection::vec(prop_oneof![Just(0), any::<u64>()], 0..50);
            (prop::collection::vec(number, n_rows * width), ids).prop_map(move |(values, ids)| {
                Case {
                    dtype,
                    width,
                    values,
                    ids,
                    functions,
                }
            })
        },
    )
}

fn all(table: &EmbeddingTable) -> Vec<f32> {
    let mut values = vec![f32::NAN; table.n_rows() as usize * table.width()];
    table.to_f32(&mut values).unwrap();
    values
}

proptest! {
    #[test]
    fn a_table_holds_what_its_dtype_can(case in cases()) {
        let table = EmbeddingTable::from_f32(&case.values, case.width, case.dtype).unwrap();
        let stored = all(&table);
        prop_assert_eq!(table.first_not_finite(), None);
        if case.dtype == Dtype::Int8 {
            for (row, kept) in case.values.chunks(case.width).zip(stored.chunks(case.width)) {
                let largest = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let bound = f64::from(largest) / 127.0 / 2.0 * (1.0 + 1e-5);
                for (x, y) in row.iter().zip(kept) {
                    prop_assert!((f64::from(*x) - f64::from(*y)).abs() <= bound.max(1e-37));
                }
            }
        } else {
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&stored), bits(&case.expected()));
        }
    }

    #[test]
    fn look_ups_copy_and_add_the_rows_of_the_formula(case in cases()) {
        let table = EmbeddingTable::from_f32(&case.values, case.width, case.dtype).unwrap();
        let (stored, width, family) = (all(&table), case.width, case.family());
        let rows: Vec<u32> = family.for_table(table.n_rows()).rows(&case.ids).collect();
        let row = |row: u32| &stored[row as usize * width..][..width];
        let side_by_side: Vec<f32> = rows.iter().flat_map(|it| row(*it).to_vec()).collect();

        let mut out = vec![f32::NAN; side_by_side.len()];
        table.gather(&rows, 1, &mut out).unwrap();
        prop_assert_eq!(&out, &side_by_side);
        out.fill(f32::NAN);
        table.gather_hashed(&family, &case.ids, false, 1, &mut out).unwrap();
        prop_assert_eq!(&out, &side_by_side);

        let mut sums = vec![f32::NAN; case.ids.len() * width];
        table.gather_hashed(&family, &case.ids, true, 1, &mut sums).unwrap();
        for (sum, rows) in sums.chunks(width).zip(rows.chunks(case.functions)) {
            for (i, found) in sum.iter().enumerate() {
                let expected = rows.iter().skip(1).fold(row(rows[0])[i], |a, it| a + row(*it)[i]);
                prop_assert_eq!(*found, expected);
            }
        }
    }

    #[test]
    fn a_file_gives_the_same_numbers_back(case in cases()) {
        let table = EmbeddingTable::from_f32(&case.values, case.width, case.dtype).unwrap();
        let other = EmbeddingTable::from_f32(&[1.5, 2.5], 1, Dtype::Bfloat16).unwrap();
        let scratch = Scratch::new();
        let mut bytes = Vec::new();
        write_tables(&[("table", &table), ("other", &other)], &mut bytes).unwrap();
        fs::write(&scratch.0, bytes).unwrap();
        let file = File::open(&scratch.0).unwrap();
        for copy in [false, true] {
            let read = EmbeddingTable::open(&file, "table", copy).unwrap();
            prop_assert_eq!(read.is_mapped(), !copy);
            prop_assert_eq!((read.dtype(), read.n_rows() as usize), (case.dtype, case.n_rows()));
            prop_assert_eq!(all(&read), all(&table));
        }
    }

    #[test]
    fn damaged_headers_are_refused_or_true(damage in prop::collection::vec(
        (0_usize..400, any::<u8>()), 1..5,
    ), end in prop::option::of(0_usize..400)) {
        let table = EmbeddingTable::from_f32(&[1.0; 12], 3, Dtype::Int8).unwrap();
        let mut bytes = Vec::new();
        write_tables(&[("table", &table)], &mut bytes).unwrap();
        for (place, byte) in damage {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(end.unwrap_or(bytes.len()));
        if let Ok(tensors) = read_header(&mut &*bytes, bytes.len() as u64) {
            let len: u64 = tensors.iter().map(|it| it.bytes.end - it.bytes.start).sum();
            prop_assert!(tensors.iter().all(|it| it.bytes.end <= bytes.len() as u64));
            prop_assert!(len <= bytes.len() as u64);
        }
    }
}

#[test]
fn every_float16_widens_to_its_value() {
    let all: Vec<f16> = (0..=u16::MAX)
        .map(f16::from_bits)
        .filter(|x| !x.is_nan())
        .collect();
    let values: Vec<f32> = all.iter().map(|x| x.to_f32()).collect();
    let table = EmbeddingTable::from_f32(&values, 1, Dtype::Float16).unwrap();
    let mut out = vec![0.0; values.len()];
    table.to_f32(&mut out).unwrap();
    assert!(
        out.iter()
            .zip(&values)
            .all(|(a, b)| a.to_bits() == b.to_bits())
    );
    let first = all.iter().position(|x| x.is_infinite()).unwrap();
    assert_eq!(table.first_not_finite(), u32::try_from(first).ok());
}

#[test]
fn what_cannot_be_held_is_an_error_with_its_row() {
    for (dtype, value) in [
        (Dtype::Float16, 65_520.0),
        (Dtype::Bfloat16, f32::MAX),
        (Dtype::Int8, f32::NAN),
        (Dtype::Int8, f32::INFINITY),
    ] {
        let error = EmbeddingTable::from_f32(&[0.0, 1.0, 0.0, value], 2, dtype).unwrap_err();
        assert_eq!(error.code, "bad_value");
        assert!(error.message.contains("`1`"), "{error}");
    }
    let table = EmbeddingTable::from_f32(&[0.0, f32::NAN], 1, Dtype::Float32).unwrap();
    assert_eq!(table.first_not_finite(), Some(1));
}

#[test]
fn a_long_gather_is_the_same_with_any_number_of_threads() {
    let values: Vec<f32> = (0_u16..6_400).map(f32::from).collect();
    let table = EmbeddingTable::from_f32(&values, 64, Dtype::Float32).unwrap();
    let rows: Vec<u32> = (0..9_001).map(|i| i * 7_919 % 100).collect();
    let mut expected = vec![0.0; rows.len() * 64];
    table.gather(&rows, 1, &mut expected).unwrap();
    assert!(
        rows.iter()
            .zip(expected.chunks(64))
            .all(|(row, out)| out[0] == values[*row as usize * 64])
    );
    for threads in [0, 2, 3, 64] {
        let mut out = vec![f32::NAN; rows.len() * 64];
        table.gather(&rows, threads, &mut out).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn wrong_shapes_are_errors_and_leave_the_output_alone() {
    let table = EmbeddingTable::from_f32(&[1.0; 4], 2, Dtype::Float32).unwrap();
    let mut out = [9.0; 4];
    let error = table.gather(&[1, 2], 1, &mut out).unwrap_err();
    assert!(error.message.contains("`2`"), "{error}");
    assert!(table.gather(&[1], 1, &mut out).is_err());
    assert_eq!(out, [9.0; 4]);
    for (n_rows, width) in [
        (0, 1),
        (1, 0),
        (usize::MAX, 2),
        (1 << 33, 1),
        (1 << 31, 1 << 40),
    ] {
        assert!(EmbeddingTable::zeroed(n_rows, width, Dtype::Int8).is_err());
    }
}

fn header(text: &str, n_data: usize) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len() + n_data, 0);
    bytes
}

#[test]
fn files_that_lie_are_refused() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(read_header(&mut &*header(&one("F32", "[2,1]", "[0,8]"), 8), 9_999).is_err());
    let good = header(&one("F32", "[2,1]", "[0,8]"), 8);
    assert_eq!(
        read_header(&mut &*good, good.len() as u64).unwrap().len(),
        1
    );
    let twice = r#"{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
        "t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    let overlap = r#"{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},
        "b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    let hole = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
        "b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    for text in [
        one("F32", "[2,1]", "[0,4]"),
        one("F32", "[3,1]", "[0,8]"),
        one("F32", "[2,1]", "[8,0]"),
        one("F32", "[2,1]", "[-8,0]"),
        one("F32", "[2,1]", "[4,12]"),
        one("F32", "[4294967296,4294967296]", "[0,8]"),
        one(
            "F32",
            "[2,1]",
            "[18446744073709551608,18446744073709551615]",
        ),
        one("F64", "[2,1]", "[0,8]"),
        twice.to_owned(),
        overlap.to_owned(),
        hole.to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "{\"t\":".to_owned(),
    ] {
        let bytes = header(&text, 8);
        let error = read_header(&mut &*bytes, bytes.len() as u64).unwrap_err();
        assert_eq!(error.code, "bad_tensors", "{text}");
    }
    for len in [u64::MAX, u64::MAX - 7, 1 << 40, 17] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&len.to_le_bytes());
        assert!(read_header(&mut &*bytes, bytes.len() as u64).is_err());
    }
    for end in 0..good.len() {
        assert!(read_header(&mut &good[..end], end as u64).is_err());
    }
}

#[test]
fn tensors_that_are_no_tables_are_refused() {
    let text = r#"{"t":{"dtype":"I8","shape":[2,2],"data_offsets":[0,4]},
        "t.scale":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},
        "flat":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},
        "whole":{"dtype":"I32","shape":[1,1],"data_offsets":[12,16]},
        "none":{"dtype":"F32","shape":[0,4],"data_offsets":[16,16]}}"#;
    let scratch = Scratch::new();
    fs::write(&scratch.0, header(text, 16)).unwrap();
    let file = File::open(&scratch.0).unwrap();
    for name in ["t", "flat", "whole", "none", "missing"] {
        for copy in [false, true] {
            assert!(EmbeddingTable::open(&file, name, copy).is_err(), "{name}");
        }
    }
}

const PLAIN: Decay = Decay {
    half_life_steps: None,
    weight_decay: 0.0,
    is_lazy: false,
};

#[test]
fn training_is_the_same_for_many_rows_and_for_one_at_a_time() {
    let values: Vec<f32> = (0_u16..30_000).map(|i| f32::from(i % 97) / 97.0).collect();
    let rows: Vec<u32> = (0..2_900).collect();
    let gradients: Vec<f32> = (0_u16..29_000)
        .map(|i| f32::from(i % 89) / 89.0 - 0.5)
        .collect();
    let decay = Decay {
        half_life_steps: Some(2.0),
        weight_decay: 0.1,
        is_lazy: true,
    };
    let mut together = EmbeddingTable::from_f32(&values, 10, Dtype::Bfloat16).unwrap();
    let mut state = RowAdagrad::new(3_000, decay).unwrap();
    state
        .step(&mut together, &rows, &gradients, 3, 0.5)
        .unwrap();
    let mut alone = EmbeddingTable::from_f32(&values, 10, Dtype::Bfloat16).unwrap();
    let mut other = RowAdagrad::new(3_000, decay).unwrap();
    for (row, gradient) in rows.chunks(1).zip(gradients.chunks(10)) {
        other.step(&mut alone, row, gradient, 3, 0.5).unwrap();
    }
    assert_eq!(all(&together), all(&alone));
    assert_eq!(state, other);
    let start = EmbeddingTable::from_f32(&values, 10, Dtype::Bfloat16).unwrap();
    let (before, after) = (all(&start), all(&together));
    assert_eq!(before[..10], after[..10], "row 0 is padding");
    assert_eq!(before[29_000..], after[29_000..], "rows that no step used");
    assert!(
        (10..29_000)
            .step_by(10)
            .all(|i| before[i..i + 10] != after[i..i + 10])
    );
}

#[test]
fn rows_that_are_written_are_those_of_a_table_made_at_once() {
    let values: Vec<f32> = (0_u16..80).map(|i| f32::from(i % 13) - 5.0).collect();
    for dtype in Dtype::ALL {
        let whole = EmbeddingTable::from_f32(&values, 4, dtype).unwrap();
        let mut parts = EmbeddingTable::zeroed(20, 4, dtype).unwrap();
        parts.write(12, &values[48..]).unwrap();
        parts.write(20, &[]).unwrap();
        assert!(all(&parts)[..48].iter().all(|value| *value == 0.0));
        parts.write(0, &values[..48]).unwrap();
        assert_eq!(parts.cells(), whole.cells());
        assert_eq!(parts.scales(), whole.scales());
        for (first_row, values) in [(19, &values[..8]), (21, &values[..4]), (0, &values[..3])] {
            assert!(parts.write(first_row, values).is_err());
        }
        assert_eq!(parts.cells(), whole.cells());
    }
}

#[test]
fn a_step_that_cannot_be_taken_changes_nothing() {
    let mut table = EmbeddingTable::from_f32(&[1.0; 8], 2, Dtype::Float32).unwrap();
    let mut state = RowAdagrad::new(4, PLAIN).unwrap();
    for (rows, gradients, rate) in [
        (vec![1, 2], vec![1.0, 1.0, 1.0, f32::NAN], 0.1),
        (vec![1, 2], vec![1.0, 1.0, 1.0, 1e30], 0.1),
        (vec![2, 1], vec![1.0; 4], 0.1),
        (vec![1, 1], vec![1.0; 4], 0.1),
        (vec![1, 4], vec![1.0; 4], 0.1),
        (vec![1, 2], vec![1.0; 3], 0.1),
        (vec![1, 2], vec![1.0; 4], f32::INFINITY),
    ] {
        assert!(state.step(&mut table, &rows, &gradients, 0, rate).is_err());
    }
    assert_eq!(all(&table), [1.0; 8]);
    assert_eq!(state, RowAdagrad::new(4, PLAIN).unwrap());
    for dtype in [Dtype::Float16, Dtype::Int8] {
        let mut table = EmbeddingTable::from_f32(&[1.0; 8], 2, dtype).unwrap();
        assert!(state.step(&mut table, &[1], &[1.0; 2], 0, 0.1).is_err());
    }
    for half_life in [0.0, -1.0, f64::NAN] {
        let decay = Decay {
            half_life_steps: Some(half_life),
            ..PLAIN
        };
        assert!(RowAdagrad::new(4, decay).is_err());
    }
}
