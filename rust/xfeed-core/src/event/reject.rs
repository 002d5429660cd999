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

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let names = || ["post_id", "author_id", "text"].into_iter();
        assert_eq!(nearest("psot_id", names()), Some("post_id"));
        assert_eq!(nearest("authorid", names()), Some("author_id"));
        assert_eq!(nearest("zzz", names()), None);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shorten(&"é".repeat(500)).chars().count(), MAX_SHOWN + 1);
    }
}
