//! A function's name in the space that its frame has.

use std::borrow::Cow;

use super::name::{columns, head};

/// The name in at most `width` columns, or nothing if that would say nothing.
///
/// What tells functions apart is kept longest: first what stands in brackets goes (`Vec<…>::push`), then arguments, then
/// leading parts of the path (`…push`), and only then is the last part cut.
/// The script in the SVG does the same (`label` in `svg/script.js`); the browser test compares the two.
pub fn fit(name: &str, width: usize) -> Option<Cow<'_, str>> {
    if width < 2 {
        return None;
    }
    // The end of a name of megabytes is not worth a look.
    let name = head(name, 2_000);
    if columns(name) <= width {
        return Some(Cow::Borrowed(name));
    }
    // A stand-in such as `[libfoo.so+0x1234]` is no path.
    let folded = if name.starts_with('[') { Cow::Borrowed(name) } else { fold(name) };
    if columns(&folded) <= width {
        return Some(folded);
    }
    let mut rest: &str = &folded;
    if !name.starts_with('[') {
        while let Some(at) = rest.find("::") {
            rest = &rest[at + 2..];
            if columns(rest) < width && !rest.is_empty() {
                return Some(Cow::Owned(format!("…{rest}")));
            }
        }
    }
    if width < 3 {
        return None;
    }
    Some(Cow::Owned(format!("{}…", head(rest, width - 1))))
}

/// The name with `…` for what is in angle brackets, and without its arguments; as it is if brackets do not match.
fn fold(name: &str) -> Cow<'_, str> {
    // `operator<`, `operator->`: these are no brackets.
    if name.contains("operator") {
        return Cow::Borrowed(name);
    }
    let mut folded = String::new();
    let mut depth = 0;
    let mut before = ' ';
    for (at, c) in name.char_indices() {
        match c {
            // `<T as Trait>::method`: what begins a name is kept, else nothing would be left of it.
            '<' if at == 0 => return Cow::Borrowed(name),
            '<' => {
                if depth == 0 {
                    folded.push_str("<…>");
                }
                depth += 1;
            }
            '>' if before == '-' => {}
            '>' if depth == 0 => return Cow::Borrowed(name),
            '>' => depth -= 1,
            '(' if depth == 0
                && at > 0
                && before != ':'
                && !name[at..].contains(")::")
                && !name[at..].contains("const::") =>
            {
                break;
            }
            _ if depth == 0 => folded.push(c),
            _ => {}
        }
        before = c;
    }
    if depth == 0 && !folded.is_empty() { Cow::Owned(folded) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_part_is_kept_longest() {
        let check = |name: &str, width: usize, expected: Option<&str>| {
            assert_eq!(fit(name, width).as_deref(), expected, "{name} in {width}");
            assert!(fit(name, width).is_none_or(|label| columns(&label) <= width));
        };
        check("main", 4, Some("main"));
        check("main", 3, Some("ma…"));
        check("main", 2, None);
        check("alloc::vec::Vec<T, A>::push", 27, Some("alloc::vec::Vec<T, A>::push"));
        check("alloc::vec::Vec<T, A>::push", 24, Some("alloc::vec::Vec<…>::push"));
        check("alloc::vec::Vec<T, A>::push", 20, Some("…vec::Vec<…>::push"));
        check("alloc::vec::Vec<T, A>::push", 5, Some("…push"));
        check("alloc::vec::Vec<T, A>::push", 4, Some("pus…"));
        check("draw(int, std::string const&)", 10, Some("draw"));
        check("(anonymous namespace)::f(int)", 27, Some("(anonymous namespace)::f"));
        check("f(int)::{lambda()#1}", 12, Some("…{lambda"));
        check("operator<(a, b)", 10, Some("operator<…"));
        check("a > b < c", 6, Some("a > b…"));
        check("<T as Trait>::method", 10, Some("…method"));
        check("[libfoo.so+0x1234]", 10, Some("[libfoo.s…"));
        check("a::", 2, None);
        check("", 10, Some(""));
    }
}
