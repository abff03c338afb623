//! Names as code in GitHub-flavoured Markdown.

use std::fmt::Write;

use super::words::{Quote, shown};

/// How what comes from outside is written in Markdown.
pub(super) const MARKDOWN: Quote = Quote { name: code, sentence };

/// `name` as code that is nothing else, in running text and in the cells of tables, in at most `width` columns.
///
/// A name with signs that could end a span of code or a cell is written as an element with each sign as a number: how `\|` is
/// read in a span of code differs from one reader of Markdown to the next, and `` $` `` begins a formula on GitHub.
pub(super) fn code(name: &str, width: usize) -> String {
    let name = shown(name, width);
    let is_plain = !name.contains(['`', '|', '\\']) && !name.starts_with(['$', ' ']) && !name.ends_with(['$', ' ']);
    match name.as_str() {
        "" => "<code>&nbsp;</code>".to_owned(),
        name if is_plain => format!("`{name}`"),
        name => format!("<code>{}</code>", literal(name)),
    }
}

/// A sentence of ours, as text; one that has a name in it that could be markup, a mention, a reference or a link, as code.
///
/// Numbers in the place of signs would not do here: GitHub looks for mentions and references in what Markdown has become.
pub(super) fn sentence(text: &str, width: usize) -> String {
    let shown = shown(text, width);
    let is_plain = |c: char| c.is_alphanumeric() || " ,.;:/()%+=-'\"…→·".contains(c);
    let lower = shown.to_ascii_lowercase();
    let links = ["://", "www.", "gh-"].iter().any(|link| lower.contains(link));
    match shown.starts_with(char::is_alphanumeric) && shown.chars().all(is_plain) && !links {
        true => shown,
        false => code(text, width),
    }
}

/// Each sign of ASCII that can mean something in Markdown or HTML, as a number (section 2.5 of CommonMark: such are never markup).
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_punctuation() {
            true => {
                let _ = write!(literal, "&#{};", u32::from(c));
            }
            false => literal.push(c),
        }
    }
    literal
}

/// Text as a block of code; no line in it ends the block.
pub(super) fn block(text: &str) -> String {
    let runs = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(runs + 1));
    format!("{fence}text\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_code_and_nothing_else() {
        let check = |name: &str, expected: &str| assert_eq!(code(name, 80), expected);
        check("core::fmt::write<T>", "`core::fmt::write<T>`");
        check("@everyone", "`@everyone`");
        check("a|b", "<code>a&#124;b</code>");
        check("a\\", "<code>a&#92;</code>");
        check("`x` <b>", "<code>&#96;x&#96; &#60;b&#62;</code>");
        check("a\nb", "`a\u{fffd}b`");
        check("$x", "<code>&#36;x</code>");
        check("", "<code>&nbsp;</code>");
    }

    #[test]
    fn sentences_have_no_markup() {
        let check = |text: &str, expected: &str| assert_eq!(sentence(text, 80), expected);
        check("another kernel: 6.1.0-18 and 6.12", "another kernel: 6.1.0-18 and 6.12");
        check("host a vs @b", "`host a vs @b`");
        check("fixes #12", "`fixes #12`");
        check("- item", "`- item`");
        check("see www.evil.example", "`see www.evil.example`");
        check("[x](y) `z`", "<code>&#91;x&#93;&#40;y&#41; &#96;z&#96;</code>");
    }

    #[test]
    fn blocks_are_not_ended_from_inside() {
        assert_eq!(block("a"), "```text\na\n```\n");
        assert_eq!(block("x\n````\ny"), "`````text\nx\n````\ny\n`````\n");
    }
}
