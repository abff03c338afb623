//! What a history is called.

use crate::error::{Error, ErrorKind, Result};

/// File systems take no longer names; some letters are left for what is written beside.
const LONGEST: usize = 200;

/// Whether `key` can be one: the name of a folder everywhere.
///
/// # Errors
/// [`ErrorKind::Usage`] with what is wrong about it.
pub fn check_key(key: &str) -> Result<()> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-+=,@".contains(letter);
    let fault = match key {
        "" => "is empty".to_owned(),
        _ if key.len() > LONGEST => format!("is longer than {LONGEST} letters"),
        _ if key.starts_with(['.', '-']) => "begins with a dot or a dash".to_owned(),
        _ => match key.chars().find(|letter| !is_allowed(*letter)) {
            Some(letter) => format!("has a {letter:?} in it"),
            None => return Ok(()),
        },
    };
    let shown: String = key.chars().take(60).collect();
    Err(Error::new(ErrorKind::Usage, format!("the key {shown:?} {fault}"))
        .with_hint("a key is the name of a folder, of letters, digits and . _ - + = , @: --key bench-linux-x86_64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_of_folders() {
        for key in ["bench", "bench-linux.x86_64", "a+b=c,d@e", "1"] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        for key in ["", ".", "..", "../x", "a/b", "/a", "a b", "a\nb", "a\\b", ".hidden", "-k", "é", &"x".repeat(201)]
        {
            assert_eq!(check_key(key).unwrap_err().kind(), ErrorKind::Usage, "{key:?}");
        }
    }
}
