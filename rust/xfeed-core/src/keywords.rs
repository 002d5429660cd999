//! Muted words: whole tokens, whatever the case, the accents and the punctuation.
//!
//! `word` is found in `word`, `#word` and `@word`; `#word` only as a hashtag; a phrase as tokens in
//! a row. Text is decomposed (NFKD), marks and invisible characters are dropped and letters are
//! lowered, so that look-alike spellings of one word are one word.

use hashbrown::HashMap;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// One word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    hashtag: bool,
}

/// Characters that are drawn as nothing and would split or disguise a word.
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|c| !is_combining_mark(*c) && !invisible(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

fn tokens(text: &str) -> Vec<Token> {
    let folded = fold(text);
    folded
        .unicode_word_indices()
        .map(|(start, word)| Token {
            text: word.to_owned(),
            hashtag: folded[..start].ends_with('#'),
        })
        .collect()
}

/// A muted word or phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyword {
    tokens: Vec<Token>,
}

impl Keyword {
    /// Reads what the viewer typed; `None` when there is no letter or digit in it.
    pub fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text);
        (!tokens.is_empty()).then_some(Self { tokens })
    }

    fn starts(&self, text: &[Token]) -> bool {
        self.tokens.len() <= text.len()
            && self
                .tokens
                .iter()
                .zip(text)
                .all(|(own, other)| own.text == other.text && (!own.hashtag || other.hashtag))
    }
}

/// All muted words of one viewer, ready to search many texts.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// First token to the keywords that begin with it, by position in the viewer's list.
    by_first: HashMap<String, Vec<(usize, Keyword)>>,
}

impl Matcher {
    /// Compiles a list of words; those without a letter or digit match nothing.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_first: HashMap<String, Vec<(usize, Keyword)>> = HashMap::new();
        for (position, word) in words.into_iter().enumerate() {
            if let Some(keyword) = Keyword::parse(word) {
                let first = keyword.tokens[0].text.clone();
                by_first.entry(first).or_default().push((position, keyword));
            }
        }
        Self { by_first }
    }

    /// Whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.by_first.is_empty()
    }

    /// Position of the first listed word that occurs in `text`.
    pub fn find(&self, text: &str) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let text = tokens(text);
        (0..text.len())
            .filter_map(|start| {
                self.by_first
                    .get(&text[start].text)
                    .map(|found| (start, found))
            })
            .flat_map(|(start, found)| {
                let rest = &text[start..];
                found
                    .iter()
                    .filter(|(_, keyword)| keyword.starts(rest))
                    .map(|(at, _)| *at)
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn muted(word: &str, text: &str) -> bool {
        Matcher::new([word]).find(text).is_some()
    }

    #[test]
    fn a_word_matches_whole_tokens_tags_and_mentions() {
        for text in [
            "This is spam content",
            "SPAM!!",
            "#spam",
            "@spam hi",
            "spam",
        ] {
            assert!(muted("spam", text), "{text}");
        }
        for text in ["spammers everywhere", "s p a m", ""] {
            assert!(!muted("spam", text), "{text}");
        }
    }

    #[test]
    fn a_hashtag_matches_only_the_hashtag() {
        assert!(muted("#launch", "#LAUNCH day"));
        assert!(!muted("#launch", "support launch movement"));
        assert!(!muted("#launch", "#launchpad"));
    }

    #[test]
    fn a_phrase_matches_tokens_in_a_row() {
        assert!(muted("crypto scam", "crypto, scam"));
        assert!(!muted("crypto scam", "scam crypto"));
    }

    #[test]
    fn accents_case_width_and_invisible_characters_do_not_hide_a_word() {
        assert!(muted("cafe", "CAFÉ"));
        assert!(muted("spam", "ｓｐａｍ"));
        assert!(muted("spam", "sp\u{200b}am"));
        assert!(muted("naïve", "naive"));
    }

    #[test]
    fn the_first_listed_word_is_reported() {
        assert_eq!(
            Matcher::new(["zebra", "!!!", "ant"]).find("ant and zebra"),
            Some(0)
        );
        assert_eq!(Matcher::new(["!!!"]).find("!!!"), None);
    }
}
