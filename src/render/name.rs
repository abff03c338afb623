//! Names from outside, made fit to be shown.

use std::borrow::Cow;

/// `text` with U+FFFD in place of every character that acts instead of being seen, or that no XML may hold.
///
/// These are the control characters (escape sequences begin with one), line and paragraph separators, the marks and
/// overrides of text direction (which let a name pose as another), and U+FEFF, U+FFFE, U+FFFF.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(acts) {
        Cow::Owned(text.chars().map(|c| if acts(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// How many columns of a terminal, or of a fixed-width font, `text` takes.
pub fn columns(text: &str) -> usize {
    text.chars().map(column_of).sum()
}

/// How many columns `c` takes: 0 if it is drawn over its neighbour, 2 for the wide scripts of East Asia and for emoji.
///
/// The blocks of Unicode 16 whose characters are `W` or `F` in `EastAsianWidth.txt`, whole blocks only.
pub(crate) fn column_of(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The longest beginning of `text` that takes at most `width` columns.
pub fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += column_of(*c);
        used > width
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// `text` in at most `width` columns, its middle replaced by `…` if need be: both ends of a name tell names apart.
pub fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    // A name can be megabytes long: look only as far as needed.
    if head(text, width).len() == text.len() {
        return Cow::Borrowed(text);
    }
    if width == 0 {
        return Cow::Borrowed("");
    }
    let tail_width = (width - 1) / 2;
    let mut used = 0;
    let tail = text.char_indices().rev().take_while(|(_, c)| {
        used += column_of(*c);
        used <= tail_width
    });
    let tail = tail.last().map_or(text.len(), |(at, _)| at);
    Cow::Owned(format!("{}…{}", head(text, width - 1 - tail_width), &text[tail..]))
}

/// The last part of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_replaced() {
        let check = |text: &str, expected: &str| assert_eq!(printable(text), expected);
        check("core::fmt::write", "core::fmt::write");
        check("a\x1b[31mb\nc\u{9b}d\0", "a\u{fffd}[31mb\u{fffd}c\u{fffd}d\u{fffd}");
        check("a\u{202e}b\u{2066}c\u{2028}\u{ffff}", "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}");
        check("größe 大 🔥", "größe 大 🔥");
    }

    #[test]
    fn names_are_shortened_in_the_middle() {
        let check = |text: &str, width: usize, expected: &str| {
            let short = shorten(text, width);
            assert_eq!(short, expected);
            assert!(columns(&short) <= width);
        };
        check("abcdef", 6, "abcdef");
        check("abcdef", 5, "ab…ef");
        check("abcdef", 4, "ab…f");
        check("abcdef", 1, "…");
        check("abcdef", 0, "");
        check("大大大大", 5, "大…大");
        check("", 0, "");
    }

    #[test]
    fn base_names_of_paths() {
        assert_eq!(base_name("/usr/lib/libc.so.6"), "libc.so.6");
        assert_eq!(base_name("/"), "/");
        assert_eq!(base_name("[vdso]"), "[vdso]");
    }
}
