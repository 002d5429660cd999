//! The published family of hash functions.

use crate::error::{Error, Result};

/// Hash functions of one entity: `((id * scale + bias) mod 2^64, as signed) floormod modulus`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashFamily {
    scales: Vec<u64>,
    biases: Vec<u64>,
    modulus: i64,
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
        if modulus <= 0 {
            return Err(Error::config(
                format!("hash modulus `{modulus}` is not positive"),
                "use the modulus of the bundle's manifest",
            ));
        }
        Ok(Self {
            scales,
            biases,
            modulus,
        })
    }

    /// Number of functions.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Never true: [`HashFamily::new`] refuses an empty family.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Row of `id` under function `function` in a table of `n_rows` rows: 0 for id 0 (padding), else
    /// `1..n_rows`. Arithmetic wraps; ids from 2^63 on count as negative, as in the published code.
    ///
    /// # Panics
    /// When `function >= self.len()`.
    #[expect(
        clippy::cast_possible_wrap,
        clippy::cast_possible_truncation,
        reason = "the published formula is defined on wrapped bits; the result is below n_rows"
    )]
    pub fn row(&self, id: u64, function: usize, n_rows: u32) -> u32 {
        if id == 0 || n_rows < 2 {
            return 0;
        }
        let mixed = id
            .wrapping_mul(self.scales[function])
            .wrapping_add(self.biases[function]);
        let hashed = (mixed as i64).rem_euclid(self.modulus) as u64;
        (hashed % u64::from(n_rows - 1)) as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> HashFamily {
        HashFamily::new(
            vec![196_742_702, 1_852_108_266],
            vec![1_935_840_681, 167_407_236],
            2_859_568_897,
        )
        .unwrap()
    }

    #[test]
    fn id_zero_is_padding_and_no_other_id_is() {
        let family = users();
        assert_eq!(family.row(0, 0, 1_000), 0);
        for id in [1, 2, 1 << 53, u64::MAX, 1 << 63] {
            for function in 0..family.len() {
                let row = family.row(id, function, 1_000);
                assert!((1..1_000).contains(&row), "id {id} went to {row}");
            }
        }
    }

    #[test]
    fn small_id_follows_the_formula_by_hand() {
        let expected = (196_742_702_u64 * 7 + 1_935_840_681) % 2_859_568_897 % 999 + 1;
        assert_eq!(u64::from(users().row(7, 0, 1_000)), expected);
    }

    #[test]
    fn unequal_lists_are_refused() {
        assert!(HashFamily::new(vec![1], vec![], 7).is_err());
        assert!(HashFamily::new(vec![1], vec![1], 0).is_err());
    }
}
