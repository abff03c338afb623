//! A command line in one argument, split into words as a POSIX shell splits it; no shell is run.
//!
//! Quotes and backslashes are as in "Shell Command Language", POSIX.1-2024, section 2.2. Whatever a shell would do beyond that
//! (variables, pipes, file names by pattern) is an error: left as it is, it would be another command than the one that was meant.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use flameprofile::{Error, ErrorKind, Result};

/// Splits a command line.
///
/// # Errors
/// [`ErrorKind::Usage`] if there are no words, a quote is open, or a shell would do more than split.
pub fn split_words(text: &OsStr) -> Result<Vec<OsString>> {
    let mut splitter = Splitter { text, rest: text.as_bytes(), words: Vec::new(), word: None };
    splitter.split()?;
    let Splitter { mut words, word, .. } = splitter;
    words.extend(word);
    let Some(first) = words.first() else {
        return Err(
            Error::new(ErrorKind::Usage, "the command is empty").with_hint("--base './old arg' --new './new arg'")
        );
    };
    if is_assignment(first) {
        let message = format!(
            "{} is no program: no shell is run that would set a variable",
            OsString::from_vec(first.clone()).display()
        );
        return Err(Error::new(ErrorKind::Usage, message).with_hint(format!("env {}", text.display())));
    }
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

struct Splitter<'a> {
    text: &'a OsStr,
    rest: &'a [u8],
    words: Vec<Vec<u8>>,
    /// The word that has begun; it may be empty, by quotes.
    word: Option<Vec<u8>>,
}

impl Splitter<'_> {
    fn split(&mut self) -> Result<()> {
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\t' | b'\n' => self.words.extend(self.word.take()),
                b'\'' => {
                    let Some(end) = self.rest.iter().position(|byte| *byte == b'\'') else {
                        return Err(self.open("'"));
                    };
                    self.word.get_or_insert_default().extend_from_slice(&self.rest[..end]);
                    self.rest = &self.rest[end + 1..];
                }
                b'"' => self.double_quoted()?,
                b'\\' => match self.next() {
                    // The line goes on.
                    Some(b'\n') => {}
                    Some(escaped) => self.push(escaped),
                    None => {
                        return Err(self
                            .fault("nothing stands behind the last backslash", "leave it out, or put it between ' '"));
                    }
                },
                b'$' | b'`' | b';' | b'|' | b'>' | b'<' | b'&' | b'(' | b')' => return Err(self.of_shell(byte)),
                b'*' | b'?' | b'[' => return Err(self.unquoted(byte, "names of files are not looked for")),
                b'~' | b'#' if self.word.is_none() => return Err(self.unquoted(byte, "it means nothing here")),
                other => self.push(other),
            }
        }
        Ok(())
    }

    fn double_quoted(&mut self) -> Result<()> {
        self.word.get_or_insert_default();
        while let Some(byte) = self.next() {
            match (byte, self.rest.first()) {
                (b'"', _) => return Ok(()),
                (b'\\', Some(b'\n')) => {
                    self.next();
                }
                (b'\\', Some(escaped @ (b'$' | b'`' | b'"' | b'\\'))) => {
                    let escaped = *escaped;
                    self.next();
                    self.push(escaped);
                }
                (b'$' | b'`', _) => return Err(self.of_shell(byte)),
                _ => self.push(byte),
            }
        }
        Err(self.open("\""))
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn push(&mut self, byte: u8) {
        self.word.get_or_insert_default().push(byte);
    }

    fn open(&self, quote: &str) -> Error {
        self.fault(&format!("a quote is open: {quote}"), &format!("close it with {quote}"))
    }

    fn of_shell(&self, byte: u8) -> Error {
        let message = format!("no shell is run, and {} is for one", byte as char);
        let quoted = self.text.to_string_lossy().replace('\'', "'\\''");
        let hint = format!(
            "put it between ' ' if the program is to get it; to run a shell: sh -c '{quoted}' (it is measured too)"
        );
        self.fault(&message, &hint)
    }

    fn unquoted(&self, byte: u8, what: &str) -> Error {
        let message = format!("no shell is run, and {} is for one: {what}", byte as char);
        self.fault(&message, "put it between ' ' if the program is to get it as it is")
    }

    fn fault(&self, message: &str, hint: &str) -> Error {
        Error::new(ErrorKind::Usage, format!("{message}: {}", self.text.display())).with_hint(hint)
    }
}

/// Whether a shell would take the first word for a variable that is set: `NAME=value`.
fn is_assignment(word: &[u8]) -> bool {
    let name = word.iter().take_while(|byte| **byte != b'=').count();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    name > 0 && name < word.len() && !word[0].is_ascii_digit() && word[..name].iter().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let words = split_words(text.as_ref()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(words, expected, "{text}");
    }

    fn refused(text: &str) -> Error {
        let error = split_words(text.as_ref()).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Usage);
        error
    }

    #[test]
    fn words_are_as_a_shell_has_them() {
        check("./old", &["./old"]);
        check("  ./old  a\tb\nc ", &["./old", "a", "b", "c"]);
        check("p 'a b' \"c d\" e\\ f", &["p", "a b", "c d", "e f"]);
        check("p a'b'\"c\"d", &["p", "abcd"]);
        check("p '' \"\"", &["p", "", ""]);
        check(r#"p '\n$x;|' "a\"b\\c\d\$e""#, &["p", r"\n$x;|", r#"a"b\c\d$e"#]);
        check(r"p \$x \; \| \' \*", &["p", "$x", ";", "|", "'", "*"]);
        check("p a\\\nb \"c\\\nd\"", &["p", "ab", "cd"]);
        check("p a#b a~ x=1 {a,b} !", &["p", "a#b", "a~", "x=1", "{a,b}", "!"]);
        check("p 'it'\\''s'", &["p", "it's"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let words = split_words(OsStr::from_bytes(b"p '\xff x'")).unwrap();
        assert_eq!(words[1].as_bytes(), b"\xff x");
    }

    #[test]
    fn what_a_shell_would_do_is_refused() {
        for text in
            ["p $HOME", "p `date`", "p; q", "p | q", "p > x", "p < x", "p &", "p && q", "(p)", "p \"$x\"", "p \"`x`\""]
        {
            let error = refused(text);
            assert!(error.to_string().starts_with("no shell is run"), "{text}: {error}");
            assert!(error.hint().unwrap_or_default().contains("sh -c '"), "{text}");
        }
        for text in ["p *.txt", "p a?", "p [ab]", "p ~/x", "~/p", "p #x"] {
            assert!(refused(text).to_string().starts_with("no shell is run"), "{text}");
        }
        let error = refused("A=1 ./p");
        assert_eq!(error.hint(), Some("env A=1 ./p"));
    }

    #[test]
    fn what_is_unfinished_is_refused() {
        for text in ["", "  ", "p 'a", "p \"a", "p \"a\\\"", "p \\"] {
            refused(text);
        }
    }
}
