//! Why an event was refused.

/// A refusal: one event, one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Stable code such as `unknown_field`.
    pub code: &'static str,
    /// The field it is about; empty when it is about the whole line.
    pub field: String,
    /// The value as it was written, shortened.
    pub value: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Longest value that a refusal repeats.
const MAX_SHOWN: usize = 120;

/// Cuts `text` to at most [`MAX_SHOWN`] characters.
pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    short.push('…');
    short
}

impl Reject {
    /// A refusal of the whole line.
    pub(super) fn line(code: &'static str, value: &str, message: String) -> Self {
        Self {
            code,
            field: String::new(),
            value: shorten(value),
            message,
        }
    }

    /// A refusal of one field.
    pub(super) fn field(code: &'static str, field: &str, value: &str, message: &str) -> Self {
        let value = shorten(value);
        let message = format!("`{field}` {message}, got `{value}`");
        Self {
            code,
            field: field.to_owned(),
            value,
            message,
        }
    }

    /// A field that had to be there.
    pub(super) fn missing(field: &str, message: &str) -> Self {
        let message = format!("`{field}` is missing: {message}");
        Self {
            code: "missing_field",
            field: field.to_owned(),
            value: String::new(),
            message,
        }
    }
}

/// The name in `allowed` that is nearest to `name`, if one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, allowed: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.chars().count().max(3) / 3;
    allowed
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let names = || ["post_id", "author_id", "text"].into_iter();
        assert_eq!(nearest("psot_id", names()), Some("post_id"));
        assert_eq!(nearest("authorid", names()), Some("author_id"));
        assert_eq!(nearest("txet", names()), Some("text"));
        assert_eq!(nearest("zzz", names()), None);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shorten(&"é".repeat(500)).chars().count(), MAX_SHOWN + 1);
    }
}
