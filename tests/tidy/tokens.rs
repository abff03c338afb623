//! Rust source as words and signs: as much of its grammar as the rules of the house need.

/// A word or a sign, and its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The word or sign.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The words and signs of Rust source, without comments, strings, characters and lifetimes.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut index, mut line) = (Vec::new(), 0, 1);
    while index < chars.len() {
        let begin = index;
        let mut token = None;
        match at(index) {
            '/' if at(index + 1) == '/' => index += chars[index..].iter().take_while(|c| **c != '\n').count(),
            '/' if at(index + 1) == '*' => index = end_of_comment(&chars, index),
            '"' => index = end_of_string(&chars, index),
            // A character, or a lifetime, which has no second quote.
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            '\'' => index += 1 + chars[index + 1..].iter().take_while(|c| is_word(**c)).count(),
            ':' if at(index + 1) == ':' => {
                index += 2;
                token = Some("::".to_owned());
            }
            c if is_word(c) => {
                index += chars[index..].iter().take_while(|c| is_word(**c)).count();
                let word: String = chars[begin..index].iter().collect();
                let hashes = chars[index..].iter().take_while(|c| **c == '#').count();
                let is_prefix = matches!(word.as_str(), "r" | "b" | "c" | "br" | "cr");
                if is_prefix && at(index + hashes) == '"' {
                    // An escape counts only without `r`; with hashes there is no escape either.
                    let is_raw = word.ends_with('r');
                    index += hashes;
                    index =
                        if is_raw { end_of_raw_string(&chars, index, hashes) } else { end_of_string(&chars, index) };
                } else if word == "r" && hashes == 1 && is_word(at(index + 1)) {
                    index += 1; // r#word: the word comes next
                } else if word == "b" && at(index) == '\'' {
                    // b'x': the character comes next
                } else {
                    token = Some(word);
                }
            }
            c => {
                index += 1;
                token = (!c.is_whitespace()).then(|| c.to_string());
            }
        }
        if let Some(text) = token {
            tokens.push(Token { text, line });
        }
        line += chars[begin..index.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut index) = (0, start);
    while index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => (depth, index) = (depth + 1, index + 2),
            ('*', Some('/')) => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut index = quote + 1;
    while index < chars.len() && chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn end_of_raw_string(chars: &[char], quote: usize, hashes: usize) -> usize {
    let mut index = quote + 1;
    while index < chars.len() {
        if chars[index] == '"' && chars[index + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return index + 1 + hashes;
        }
        index += 1;
    }
    index
}

/// The tokens without items under `#[cfg(test)]`.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let is = |index: usize, words: &[&str]| {
        words
            .iter()
            .enumerate()
            .all(|(offset, word)| tokens.get(index + offset).is_some_and(|token| token.text == *word))
    };
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if !is(index, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        }
        // The item ends with its first closed brace, or with a semicolon or comma outside of any bracket.
        let mut depth = 0;
        index += 7;
        while index < tokens.len() {
            match tokens[index].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            let ends = matches!(tokens[index].text.as_str(), "}" | ";" | ",");
            // The item is the last thing of what encloses it.
            if depth < 0 {
                break;
            }
            index += 1;
            if depth == 0 && ends {
                break;
            }
        }
    }
    kept
}
