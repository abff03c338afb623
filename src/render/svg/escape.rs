//! Text as XML.

use std::fmt::{self, Write};

use crate::render::name::{printable, shorten};

/// Longest name kept whole, in columns; of longer ones both ends are kept.
const LONGEST_NAME: usize = 1_000;

/// Text that is to stand in an element or a quoted attribute.
#[derive(Clone, Copy, Debug)]
pub(in crate::render) struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// A name from outside: as it is shown, not yet as XML.
pub(super) fn shown(name: &str) -> String {
    shorten(&printable(name), LONGEST_NAME).into_owned()
}

/// A length or place in pixels, with two decimals at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Px(pub f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0 * 100.0).round() as i64;
        if hundredths < 0 {
            f.write_char('-')?;
        }
        let hundredths = hundredths.unsigned_abs();
        write!(f, "{}", hundredths / 100)?;
        match (hundredths % 100 / 10, hundredths % 10) {
            (0, 0) => Ok(()),
            (tenth, 0) => write!(f, ".{tenth}"),
            (tenth, hundredth) => write!(f, ".{tenth}{hundredth}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        let check = |text: &str, expected: &str| assert_eq!(Text(&shown(text)).to_string(), expected);
        check("a<b>::c", "a&lt;b&gt;::c");
        check("\"]]><script>alert('&')", "&quot;]]&gt;&lt;script&gt;alert(&#39;&amp;&#39;)");
        check("a\0b\u{ffff}\nc", "a\u{fffd}b\u{fffd}\u{fffd}c");
        check("", "");
        assert_eq!(shown(&"x".repeat(1 << 20)).chars().count(), 1_000);
    }

    #[test]
    fn lengths_are_short() {
        let check = |px: f64, expected: &str| assert_eq!(Px(px).to_string(), expected);
        check(0.0, "0");
        check(12.0, "12");
        check(12.5, "12.5");
        check(12.345, "12.35");
        check(0.049, "0.05");
        check(-1.5, "-1.5");
    }
}
