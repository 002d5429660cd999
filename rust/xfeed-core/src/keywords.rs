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

/// Characters that are drawn as nothing (format characters and variation selectors) and would split
/// or disguise a word.
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Going up before going down folds letters with several small forms (`ß`, final sigma).
fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|c| !is_combining_mark(*c) && !invisible(*c))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Words by the Unicode rules, split once more at what those keep inside (`don't`, `End.Spoiler`).
fn tokens(text: &str) -> Vec<Token> {
    let folded = fold(text);
    let mut tokens = Vec::new();
    for (start, word) in folded.unicode_word_indices() {
        let mut hashtag = folded[..start].ends_with('#');
        let inner = |c: char| !c.is_alphanumeric() && c != '_';
        for text in word.split(inner).filter(|text| !text.is_empty()) {
            tokens.push(Token {
                text: text.to_owned(),
                hashtag,
            });
            hashtag = false;
        }
    }
    tokens
}

/// A muted word in one spelling, so that muting and unmuting meet whatever the case.
pub fn canonical(word: &str) -> String {
    let spelled = |token: Token| {
        if token.hashtag {
            format!("#{}", token.text)
        } else {
            token.text
        }
    };
    tokens(word)
        .into_iter()
        .map(spelled)
        .collect::<Vec<_>>()
        .join(" ")
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
        for text in [
            "sp\u{2066}am",
            "sp\u{202d}am",
            "sp\u{180e}am",
            "spam's",
            "End.Spam",
        ] {
            assert!(muted("spam", text), "{text}");
        }
        assert!(muted("σοφος", "ΣΟΦΟΣ"));
        assert!(muted("strasse", "Straße"));
        assert!(muted("don't", "don’t"));
    }

    #[test]
    fn one_word_has_one_spelling() {
        assert_eq!(canonical(" Two  WORDS!"), canonical("two words"));
        assert_eq!(canonical("#Tag"), "#tag");
        assert_ne!(canonical("#tag"), canonical("tag"));
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
