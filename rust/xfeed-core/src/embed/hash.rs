//! The published family of hash functions.
#![expect(
    clippy::inline_always,
    reason = "what `simd_fn!` calls must be inlined, else it keeps narrow instructions"
)]

use crate::error::{Error, Result};

/// Hash functions of one entity: `((id * scale + bias) mod 2^64, as signed) floormod modulus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashFamily {
    functions: Vec<(u64, u64)>,
    modulus: Divisor,
    /// 2^64 modulo the modulus, for numbers that count as negative.
    wrap: u64,
}

impl HashFamily {
    /// Builds a family of `scales.len()` functions.
    ///
    /// # Errors
    /// When there is no function, when the lists differ in length or the modulus is not positive.
    pub fn new(scales: Vec<u64>, biases: Vec<u64>, modulus: i64) -> Result<Self> {
        if scales.is_empty() || scales.len() != biases.len() {
            return Err(Error::config(
                format!("{} scales and {} biases", scales.len(), biases.len()),
                "give one bias per scale and at least one of each",
            ));
        }
        let Some(positive) = u64::try_from(modulus).ok().filter(|modulus| *modulus > 0) else {
            return Err(Error::config(
                format!("hash modulus `{modulus}` is not positive"),
                "use the modulus of the bundle's manifest",
            ));
        };
        Ok(Self {
            functions: scales.into_iter().zip(biases).collect(),
            modulus: Divisor::new(positive),
            wrap: (u64::MAX % positive + 1) % positive,
        })
    }

    /// Number of functions.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Never true: [`HashFamily::new`] refuses an empty family.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// The family for a table of `n_rows` rows.
    pub fn for_table(&self, n_rows: u32) -> TableHash<'_> {
        TableHash {
            family: self,
            rows: (n_rows > 1).then(|| Divisor::new(u64::from(n_rows - 1))),
        }
    }
}

/// The functions of a family, with rows of one table as their results.
#[derive(Debug, Clone, Copy)]
pub struct TableHash<'a> {
    family: &'a HashFamily,
    /// None for a table that has padding only.
    rows: Option<Divisor>,
}

impl<'a> TableHash<'a> {
    /// The row of every id under every function, those of one id side by side: 0 for id 0 (padding),
    /// else `1..n_rows`. Arithmetic wraps; what is 2^63 or more before the modulus counts as negative,
    /// as in the published code.
    #[inline(always)]
    pub fn rows(self, ids: &'a [u64]) -> HashedRows<'a> {
        HashedRows {
            hash: self,
            ids: ids.iter(),
            id: 0,
            functions: [].iter(),
        }
    }

    #[inline(always)]
    #[expect(
        clippy::cast_possible_wrap,
        clippy::cast_possible_truncation,
        reason = "the published formula is defined on wrapped bits; the result is below n_rows"
    )]
    fn row(&self, id: u64, (scale, bias): (u64, u64)) -> u32 {
        let modulus = self.family.modulus;
        let mixed = id.wrapping_mul(scale).wrapping_add(bias);
        let positive = modulus.remainder(mixed);
        let hashed = if (mixed as i64) < 0 {
            // mixed - 2^64, made positive again: both terms are below 2^63
            modulus.remainder(positive + (modulus.value - self.family.wrap))
        } else {
            positive
        };
        match self.rows {
            Some(rows) if id != 0 => rows.remainder(hashed) as u32 + 1,
            _ => 0,
        }
    }
}

/// See [`TableHash::rows`].
#[derive(Debug, Clone)]
pub struct HashedRows<'a> {
    hash: TableHash<'a>,
    ids: std::slice::Iter<'a, u64>,
    id: u64,
    /// Functions that `id` still has to go through.
    functions: std::slice::Iter<'a, (u64, u64)>,
}

impl Iterator for HashedRows<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        if self.functions.as_slice().is_empty() {
            self.id = *self.ids.next()?;
            self.functions = self.hash.family.functions.iter();
        }
        let function = self.functions.next()?;
        Some(self.hash.row(self.id, *function))
    }
}

/// A divisor with its reciprocal: a remainder by two multiplications, several times faster than the
/// division of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Divisor {
    value: u64,
    /// floor((2^64 - 1) / value)
    reciprocal: u64,
}

impl Divisor {
    fn new(value: u64) -> Self {
        Self {
            value,
            reciprocal: u64::MAX / value,
        }
    }

    /// `x mod value`. The quotient by the reciprocal is right or one too small: it falls short of
    /// `x / value` by `x * e / (value * 2^64)` with `e <= value`, which is below 1.
    #[inline(always)]
    fn remainder(self, x: u64) -> u64 {
        let quotient = ((u128::from(x) * u128::from(self.reciprocal)) >> 64) as u64;
        let rest = x - quotient * self.value;
        if rest >= self.value {
            rest - self.value
        } else {
            rest
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn users() -> HashFamily {
        HashFamily::new(
            vec![196_742_702, 1_852_108_266],
            vec![1_935_840_681, 167_407_236],
            2_859_568_897,
        )
        .unwrap()
    }

    fn rows(family: &HashFamily, ids: &[u64], n_rows: u32) -> Vec<u32> {
        family.for_table(n_rows).rows(ids).collect()
    }

    #[test]
    fn id_zero_is_padding_and_no_other_id_is() {
        let family = users();
        assert_eq!(rows(&family, &[0], 1_000), [0, 0]);
        for row in rows(&family, &[1, 2, 1 << 53, u64::MAX, 1 << 63], 1_000) {
            assert!((1..1_000).contains(&row), "row {row}");
        }
    }

    #[test]
    fn small_id_follows_the_formula_by_hand() {
        let expected = (196_742_702_u64 * 7 + 1_935_840_681) % 2_859_568_897 % 999 + 1;
        assert_eq!(u64::from(rows(&users(), &[7], 1_000)[0]), expected);
    }

    #[test]
    fn a_table_of_one_row_is_padding_only() {
        assert_eq!(rows(&users(), &[0, 7], 1), [0; 4]);
    }

    #[test]
    fn unequal_lists_are_refused() {
        assert!(HashFamily::new(vec![1], vec![], 7).is_err());
        assert!(HashFamily::new(vec![1], vec![1], 0).is_err());
    }

    proptest! {
        #[test]
        fn rows_follow_the_formula_in_wider_numbers(
            id in prop_oneof![any::<u64>(), 0_u64..9, Just(u64::MAX), Just(1 << 63)],
            scale in any::<u64>(),
            bias in any::<u64>(),
            modulus in prop_oneof![1..=i64::MAX, 1_i64..9, Just(i64::MAX)],
            n_rows in prop_oneof![1..=u32::MAX, 1_u32..9, Just(u32::MAX)],
        ) {
            let family = HashFamily::new(vec![scale], vec![bias], modulus).unwrap();
            let mixed = (u128::from(id) * u128::from(scale) + u128::from(bias)) % (1 << 64);
            let mixed = i128::try_from(mixed).unwrap();
            let signed = if mixed < 1 << 63 { mixed } else { mixed - (1 << 64) };
            let hashed = signed.rem_euclid(i128::from(modulus));
            let expected = if id == 0 || n_rows == 1 {
                0
            } else {
                hashed % i128::from(n_rows - 1) + 1
            };
            prop_assert_eq!(i128::from(rows(&family, &[id], n_rows)[0]), expected);
        }
    }
}
