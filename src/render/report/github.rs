//! Annotations of GitHub Actions: lines on standard output that the runner shows at the source.
//!
//! ```text
//! ::error file=src/crc.c,line=12,title=profile: crc (self) +20.8 %::390 → 471 ms per request, ..
//! ```
//!
//! Ten of each kind are shown of a step; those that matter most come first, and the tenth says how many there are more. A value ends a
//! property at `,` and `:`, a message at a line's end; `%` begins a number (`ActionCommand.cs` of actions/runner).

use super::ReportOptions;
use super::source::{in_repository, source_of};
use super::words::{self, PLAIN};
use crate::gate::{Comparison, Fate, Level, Outcome, Row};
use crate::render::number::grouped;

/// As many of each kind as are shown.
const SHOWN: usize = 10;

/// The lines, none if there is nothing to say.
pub fn annotations(comparison: &Comparison, options: &ReportOptions) -> String {
    let rows = |kind: Kind, pass: fn(&Fate) -> bool| -> Vec<String> {
        words::rows(comparison, pass).map(|row| annotation(kind, comparison, row, options)).collect()
    };
    let errors = words::regressions(comparison).into_iter();
    let errors = errors.map(|row| annotation(Kind::Error, comparison, row, options)).collect();
    let mut warnings = Vec::new();
    if comparison.verdict.outcome == Outcome::Inconclusive {
        let missing = comparison.verdict.missing.iter().take(SHOWN);
        warnings.extend(missing.map(|why| line(Kind::Warning, None, "profile: inconclusive", &words::shown(why, 240))));
    }
    let checks = comparison.checks.iter().filter(|check| check.level > Level::Note).take(SHOWN);
    warnings.extend(checks.map(|of| line(Kind::Warning, None, "profile: comparability", &words::check(of, PLAIN))));
    warnings.extend(rows(Kind::Warning, |fate| *fate == Fate::Suspect));
    let whole = words::whole_too(comparison).map(|_| annotation(Kind::Notice, comparison, &comparison.total, options));
    let notices = rows(Kind::Notice, |fate| matches!(fate, Fate::Allowed(_) | Fate::Moved(_)));
    let notices = whole.into_iter().chain(notices).collect();
    let mut text = String::new();
    for (kind, lines) in [(Kind::Error, errors), (Kind::Warning, warnings), (Kind::Notice, notices)] {
        let shown = if lines.len() > SHOWN { SHOWN - 1 } else { lines.len() };
        lines[..shown].iter().for_each(|line| text += line);
        if lines.len() > shown {
            let more = format!("{} more: see the summary of the job", grouped((lines.len() - shown) as u64));
            text += &line(kind, None, "profile", &more);
        }
    }
    text
}

/// A kind of annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    Warning,
    Notice,
}

fn annotation(kind: Kind, comparison: &Comparison, row: &Row, options: &ReportOptions) -> String {
    let of = row.on(comparison.settings.scale);
    let title = format!("profile: {} {}", words::shown(&words::named(row), 100), words::change(of.change));
    let fate = match row.fate {
        Fate::Regression if kind == Kind::Error => String::new(),
        _ => format!("; {}", words::fate(comparison, row, PLAIN)),
    };
    let place = in_repository(source_of(row, options.workspace.as_deref()), options.workspace.as_deref());
    let place = place.map(|place| (place.path, place.line));
    line(kind, place, &title, &(words::sentence_of(comparison, row) + &fate))
}

fn line(kind: Kind, place: Option<(String, u32)>, title: &str, message: &str) -> String {
    let kind = match kind {
        Kind::Error => "error",
        Kind::Warning => "warning",
        Kind::Notice => "notice",
    };
    let place = place.map(|(path, line)| format!("file={},line={line},", property(&path))).unwrap_or_default();
    format!("::{kind} {place}title={}::{}\n", property(title), data(message))
}

/// A message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::made::{golden, hostile, inconclusive, large, no_change, regression};
    use super::*;

    fn lines(comparison: &Comparison) -> String {
        let options = ReportOptions { workspace: Some("/build".to_owned()), ..ReportOptions::default() };
        annotations(comparison, &options)
    }

    #[test]
    fn regressions_are_errors_at_their_place() {
        golden("annotations.txt", &lines(&regression()));
        assert_eq!(lines(&no_change(5)), "");
        assert!(lines(&inconclusive()).lines().all(|line| line.starts_with("::warning title=profile%3A ")));
    }

    #[test]
    fn no_more_than_are_shown_and_no_command_but_ours() {
        for made in [hostile(), large()] {
            let text = lines(&made);
            for kind in ["::error ", "::warning ", "::notice "] {
                assert_eq!(text.lines().filter(|line| line.starts_with(kind)).count(), SHOWN, "{kind}");
            }
            for line in text.lines() {
                let (properties, message) = line[2..].split_once("::").unwrap();
                let known = |part: &str| ["file", "line", "title"].contains(&part.split('=').next().unwrap());
                assert!(properties.split_once(' ').unwrap().1.split(',').all(known), "{line}");
                assert!(!line.contains("##") && !message.chars().any(char::is_control), "{line}");
            }
        }
        assert!(lines(&large()).contains(" more: see the summary of the job"));
    }

    #[test]
    fn values_end_where_they_are_to() {
        assert_eq!(property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
        assert_eq!(data("a,b:c%\r\n"), "a,b:c%25%0D%0A");
    }
}
