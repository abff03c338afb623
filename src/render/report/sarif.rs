//! A comparison as SARIF 2.1.0, for servers that show findings beside the source.
//!
//! A finding whose place is in the repository is a result. One without a place (the whole program, a function of a library) is a notification
//! of the invocation: GitHub refuses a whole file for one result without a location (github/codeql-action#1738), and reads 5,000 results at
//! most. Paths are relative, without a base: `originalUriBaseIds` is not read there (github/codeql-action#2456).
//!
//! See <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::io::Write;

use serde_json::{Value, json};

use super::ReportOptions;
use super::source::{Place, in_repository, source_of};
use super::words::{self, PLAIN};
use crate::error::{Error, Result};
use crate::gate::{Comparison, Fate, Level, Outcome, Part, Row};

/// As many results as GitHub reads.
const RESULTS: usize = 5_000;
/// As many notifications as anybody reads.
const NOTIFICATIONS: usize = 1_000;

/// What is reported: id, name, level, and what it means.
const RULES: [(&str, &str, &str, &str); 5] = [
    ("profile/regression", "Regression", "error", "A function takes more CPU time than before, and the gate fails"),
    (
        "profile/suspect",
        "Suspect",
        "warning",
        "A function takes more than before at a larger error rate; it fails nothing",
    ),
    (
        "profile/accepted",
        "AcceptedRegression",
        "note",
        "A function takes more than before, and the configuration accepts that for a time",
    ),
    ("profile/moved", "MovedCost", "note", "Cost changed its place within a caller; it fails nothing"),
    ("profile/inconclusive", "Inconclusive", "warning", "There is no verdict, or not enough to rely on it"),
];

/// Writes the findings.
pub fn write(comparison: &Comparison, options: &ReportOptions, out: &mut impl Write) -> Result<()> {
    let written = serde_json::to_writer_pretty(&mut *out, &document(comparison, options)).map_err(std::io::Error::from);
    written
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write SARIF", error))
}

fn document(comparison: &Comparison, options: &ReportOptions) -> Value {
    let mut results: Vec<Value> = Vec::new();
    let mut notifications: Vec<Value> = Vec::new();
    let found = std::iter::once(&comparison.total).chain(&comparison.rows);
    for (row, rule) in found.filter_map(|row| Some((row, rule_of(&row.fate)?))) {
        match in_repository(source_of(row, options.workspace.as_deref()), options.workspace.as_deref()) {
            Some(place) if results.len() < RESULTS => results.push(result(comparison, row, rule, &place)),
            Some(_) => {}
            None if notifications.len() < NOTIFICATIONS => {
                notifications.push(notification(rule, RULES[rule].2, &text(comparison, row)));
            }
            None => {}
        }
    }
    if comparison.verdict.outcome == Outcome::Inconclusive {
        let missing = comparison.verdict.missing.iter().take(20);
        notifications.extend(missing.map(|why| notification(4, "warning", &words::shown(why, 240))));
    }
    let checks = comparison.checks.iter().take(100);
    notifications.extend(checks.map(|check| {
        let level = if check.level == Level::Note { "note" } else { "warning" };
        notification(4, level, &words::check(check, PLAIN))
    }));
    let rules = RULES.iter().map(|(id, name, level, says)| {
        json!({
            "id": id,
            "name": name,
            "shortDescription": {"text": says},
            "fullDescription": {"text": says},
            "help": {"text": "profile diff --explain FUNCTION says everything that is known of a function."},
            "defaultConfiguration": {"level": level},
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "profile",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            // Runs of one commit are told apart by it where there are several comparisons.
            "automationDetails": {"id": format!("profile/{}", if options.name.is_empty() { "gate".into() } else { words::shown(&options.name, 100) })},
            "columnKind": "utf16CodeUnits",
            "invocations": [{
                "executionSuccessful": options.exit_status != 2,
                "exitCode": options.exit_status,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": {
                "verdict": comparison.verdict.outcome.name(),
                "total": words::headline(comparison, PLAIN),
            },
        }],
    })
}

/// The row of [`RULES`] that is about a fate.
fn rule_of(fate: &Fate) -> Option<usize> {
    match fate {
        Fate::Regression => Some(0),
        Fate::Suspect => Some(1),
        Fate::Allowed(_) => Some(2),
        Fate::Moved(_) => Some(3),
        _ => None,
    }
}

fn text(comparison: &Comparison, row: &Row) -> String {
    let fate = match row.fate {
        Fate::Regression => String::new(),
        _ => format!("; {}", words::fate(comparison, row, PLAIN)),
    };
    words::sentence_of(comparison, row) + &fate
}

fn result(comparison: &Comparison, row: &Row, rule: usize, place: &Place) -> Value {
    let name = words::shown(&row.function.name, 1_000);
    let part = match row.part {
        Part::Inclusive => "inclusive",
        _ => "self",
    };
    let mut result = json!({
        "ruleId": RULES[rule].0,
        "ruleIndex": rule,
        "level": RULES[rule].2,
        "message": {"text": literal(&text(comparison, row))},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(&place.path)},
                "region": {"startLine": place.line},
            },
            "logicalLocations": [{"fullyQualifiedName": name, "kind": "function"}],
        }],
        "partialFingerprints": {"function/v1": format!("{}!{name}/{part}", words::shown(&row.function.module, 200))},
    });
    if let Fate::Allowed(at) = row.fate
        && let Some(entry) = comparison.settings.allowed.get(at)
    {
        let reason = words::shown(&entry.reason, 500);
        result["suppressions"] = json!([{"kind": "external", "justification": reason}]);
    }
    result
}

fn notification(rule: usize, level: &str, text: &str) -> Value {
    json!({
        "descriptor": {"id": RULES[rule].0, "index": rule},
        "level": level,
        "message": {"text": literal(text)},
    })
}

/// Text that is no link (`[x](y)`) and has no argument (`{0}`), sections 3.11.5 and 3.11.6.
///
/// Only what would be read as such is escaped: not every reader takes the escapes out again, and most names of closures have braces.
fn literal(text: &str) -> String {
    let text = if text.contains("](") {
        text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
    } else {
        text.to_owned()
    };
    let begins_argument = |(at, _): (usize, &str)| text[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    match text.match_indices('{').any(begins_argument) {
        true => text.replace('{', "{{").replace('}', "}}"),
        false => text,
    }
}

/// A path as a relative reference (RFC 3986, section 4.2): a first part with a colon would be a scheme.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::super::made::{golden, hostile, inconclusive, large, regression, row};
    use super::*;

    fn read(comparison: &Comparison) -> Value {
        let options =
            ReportOptions { workspace: Some("/build".to_owned()), exit_status: 1, ..ReportOptions::default() };
        let mut out = Vec::new();
        write(comparison, &options, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    /// What the schema requires: sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.49, 3.58 of the standard.
    fn check(json: &Value) {
        assert_eq!(json["version"], "2.1.0");
        let run = &json["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert!(run["tool"]["driver"]["name"].is_string());
        assert!(run["invocations"][0]["executionSuccessful"].is_boolean());
        let levels = ["none", "note", "warning", "error"];
        for result in run["results"].as_array().unwrap() {
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            assert!(levels.contains(&result["level"].as_str().unwrap()));
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(result["ruleId"], rules[index]["id"]);
            let place = &result["locations"][0]["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().unwrap();
            assert!(!uri.is_empty() && !uri.starts_with('/') && !uri.contains(':') && !uri.contains(".."), "{uri}");
            assert!(place["region"]["startLine"].as_u64().unwrap() > 0);
        }
        for notification in run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap() {
            assert!(notification["message"]["text"].is_string());
            assert!(levels.contains(&notification["level"].as_str().unwrap()));
        }
    }

    #[test]
    fn findings_have_rule_level_and_place() {
        let json = read(&regression());
        check(&json);
        golden("regression.sarif", &(serde_json::to_string_pretty(&json).unwrap() + "\n"));
        let results = json["runs"][0]["results"].as_array().unwrap();
        let levels: Vec<&str> = results.iter().map(|result| result["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["error", "note", "note", "warning"]);
        // The one without a place.
        let notifications = json["runs"][0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
        assert!(
            notifications
                .iter()
                .any(|of| of["level"] == "error" && of["message"]["text"].as_str().unwrap().contains("decode"))
        );
    }

    #[test]
    fn findings_are_bounded_and_sound_whatever_comes() {
        let mut many = regression();
        many.rows = (0..6_000).map(|at| row(&format!("f{at}"), 10.0, 20.0, 0.001, Fate::Regression, 1)).collect();
        for made in [inconclusive(), hostile(), large(), many] {
            let json = read(&made);
            check(&json);
            assert!(json["runs"][0]["results"].as_array().unwrap().len() <= RESULTS);
        }
    }

    #[test]
    fn paths_and_texts_are_literal() {
        assert_eq!(uri("src/a b%/ü:1.c"), "src/a%20b%25/%C3%BC%3A1.c");
        assert_eq!(literal("[x](y) {0}"), "\\[x\\](y) {{0}}");
        assert_eq!(literal("a::{closure#0} [+1, +2]"), "a::{closure#0} [+1, +2]");
    }
}
