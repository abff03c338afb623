//! A comparison as JUnit XML, as Jenkins, GitLab and Buildkite read it.
//!
//! ```text
//! <testsuites><testsuite name="profile">
//!   <properties>                          settings, the verdict
//!   <testcase classname="profile.total"     name="CPU time per request">      the whole
//!   <testcase classname="profile.rule"      name="profile.toml:12 ..">        one for each rule
//!   <testcase classname="profile.function"  name="crc (self)" file= line=>    one for each regression, suspect and accepted one
//!   <testcase classname="profile.functions" name="no function regressed">     if none did
//! ```
//!
//! A regression is a failure, what is inconclusive, accepted or not gated is skipped. There is no schema that all readers agree on; these are
//! the elements and attributes of Ant's `junitreport`, with `file` and `line`, which GitLab shows.

use std::fmt::Write;

use super::ReportOptions;
use super::source::{in_repository, source_of};
use super::words::{self, PLAIN};
use crate::gate::{Comparison, Fate, Level, Outcome, Part, Row, Scale};
use crate::render::number::utc;
use crate::render::svg::Text;

/// Cases of functions: more than any reader shows.
const CASES: usize = 1_000;

/// The report.
pub fn report(comparison: &Comparison, options: &ReportOptions) -> String {
    let mut cases = vec![total(comparison)];
    cases.extend(rules(comparison));
    cases.extend(functions(comparison, options));
    let count = |pass: fn(&Outcomes) -> bool| cases.iter().filter(|case| pass(&case.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcomes::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcomes::Skipped(_)));
    // Jenkins' schema has no `skipped` for all suites together (junit-10.xsd of jenkinsci/xunit-plugin).
    let of_all = format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" time=\"0\"", cases.len());
    let counts =
        format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\"", cases.len());
    let name = match options.name.as_str() {
        "" => "profile".to_owned(),
        name => format!("profile {}", words::shown(name, 100)),
    };
    let begun = comparison.runs.iter().map(|(_, run)| run.started_unix).max().unwrap_or(0);
    let begun = match begun {
        0 => String::new(),
        unix => format!(" timestamp=\"{}\"", utc(unix).trim_end_matches(" UTC").replace(' ', "T")),
    };
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{0}\" {of_all}>\n<testsuite name=\"{0}\" {counts}{begun}>\n<properties>\n",
        Text(&name)
    );
    for (key, value) in properties(comparison, options) {
        let _ = writeln!(xml, "<property name=\"{key}\" value=\"{}\"/>", Text(&value));
    }
    xml += "</properties>\n";
    cases.iter().for_each(|case| case.write(&mut xml));
    xml + "</testsuite>\n</testsuites>\n"
}

/// What became of a case.
enum Outcomes {
    Passed,
    /// With the reason in a line.
    Failed(String),
    Skipped(String),
}

struct Case {
    class: &'static str,
    name: String,
    /// Attributes ` file=".." line=".."`.
    place: String,
    outcome: Outcomes,
    /// All that is known.
    text: String,
}

impl Case {
    fn write(&self, xml: &mut String) {
        let _ = writeln!(
            xml,
            "<testcase classname=\"profile.{}\" name=\"{}\"{} time=\"0\">",
            self.class,
            Text(&self.name),
            self.place
        );
        match &self.outcome {
            Outcomes::Passed => {}
            Outcomes::Failed(why) => {
                let (why, text) = (Text(why), Text(&self.text));
                let _ = writeln!(xml, "<failure message=\"{why}\" type=\"regression\">{text}</failure>");
            }
            Outcomes::Skipped(why) => {
                let _ = writeln!(xml, "<skipped message=\"{}\"/>", Text(why));
            }
        }
        if !matches!(self.outcome, Outcomes::Failed(_)) && !self.text.is_empty() {
            let _ = writeln!(xml, "<system-out>{}</system-out>", Text(&self.text));
        }
        *xml += "</testcase>\n";
    }
}

fn properties(comparison: &Comparison, options: &ReportOptions) -> Vec<(&'static str, String)> {
    let settings = &comparison.settings;
    let [base, new] = words::counts(comparison);
    vec![
        ("verdict", comparison.verdict.outcome.name().to_owned()),
        ("exit status", options.exit_status.to_string()),
        ("total", words::headline(comparison, PLAIN)),
        ("runs", format!("{base} vs {new}")),
        ("alpha", words::share(settings.alpha)),
        ("scale", settings.scale.name().to_owned()),
        ("method", words::method(&comparison.method)),
        ("could not have been seen", words::visible(comparison, PLAIN)),
        ("command", words::shown(&options.command, 2_000)),
    ]
}

/// The first reason why nothing can be said.
fn inconclusive(comparison: &Comparison) -> Option<Outcomes> {
    let is_inconclusive = comparison.verdict.outcome == Outcome::Inconclusive;
    is_inconclusive.then(|| Outcomes::Skipped(format!("inconclusive{}", words::why(comparison, PLAIN))))
}

fn total(comparison: &Comparison) -> Case {
    let outcome = match comparison.total.fate {
        Fate::Regression => Outcomes::Failed(line(comparison, &comparison.total)),
        _ => inconclusive(comparison).unwrap_or(Outcomes::Passed),
    };
    let mut text = details(comparison, &comparison.total);
    for why in comparison.verdict.missing.iter().take(20) {
        let _ = write!(text, "\ninconclusive: {}", words::shown(why, 240));
    }
    for check in comparison.checks.iter().filter(|check| check.level > Level::Note).take(20) {
        let _ = write!(text, "\n{}", words::check(check, PLAIN));
    }
    let name = words::measure(comparison, PLAIN);
    Case { class: "total", name, place: String::new(), outcome, text }
}

fn rules(comparison: &Comparison) -> impl Iterator<Item = Case> {
    comparison.settings.rules.iter().enumerate().take(CASES).map(|(at, rule)| {
        let rows = || comparison.rows.iter().filter(move |row| row.rule == Some(at));
        let failed: Vec<&Row> = rows().filter(|row| row.fate == Fate::Regression).collect();
        let outcome = match failed.first() {
            Some(first) if failed.len() == 1 => Outcomes::Failed(line(comparison, first)),
            Some(first) => Outcomes::Failed(format!("{} and {} more", line(comparison, first), failed.len() - 1)),
            None if rule.ignore => Outcomes::Skipped("not gated".to_owned()),
            None if rows().next().is_none() => Outcomes::Skipped("no function that was tested matches".to_owned()),
            None => inconclusive(comparison).unwrap_or(Outcomes::Passed),
        };
        let text = failed.iter().take(20).map(|row| line(comparison, row)).collect::<Vec<_>>().join("\n");
        let name = words::rule(comparison, rule, PLAIN);
        Case { class: "rule", name, place: String::new(), outcome, text }
    })
}

fn functions(comparison: &Comparison, options: &ReportOptions) -> Vec<Case> {
    let is_case = |row: &&Row| matches!(row.fate, Fate::Regression | Fate::Suspect | Fate::Allowed(_));
    let rows = comparison.rows.iter().filter(is_case).take(CASES);
    let mut cases: Vec<Case> = rows.map(|row| function(comparison, row, options)).collect();
    if !comparison.rows.iter().any(|row| row.fate == Fate::Regression) {
        cases.push(Case {
            class: "functions",
            name: "no function regressed".to_owned(),
            place: String::new(),
            outcome: inconclusive(comparison).unwrap_or(Outcomes::Passed),
            text: format!("could not have been seen: {}", words::visible(comparison, PLAIN)),
        });
    }
    cases
}

fn function(comparison: &Comparison, row: &Row, options: &ReportOptions) -> Case {
    let place = in_repository(source_of(row, options.workspace.as_deref()), options.workspace.as_deref());
    let place =
        place.map(|place| format!(" file=\"{}\" line=\"{}\"", Text(&words::shown(&place.path, 500)), place.line));
    let outcome = match row.fate {
        Fate::Regression => Outcomes::Failed(line(comparison, row)),
        Fate::Allowed(_) => Outcomes::Skipped(words::fate(comparison, row, PLAIN)),
        _ => Outcomes::Passed,
    };
    Case {
        class: "function",
        name: words::named(row),
        place: place.unwrap_or_default(),
        outcome,
        text: details(comparison, row),
    }
}

/// A row in a line.
fn line(comparison: &Comparison, row: &Row) -> String {
    words::sentence_of(comparison, row)
}

/// All scales of a row, and what became of it.
fn details(comparison: &Comparison, row: &Row) -> String {
    let mut text = format!("{}\n{}", line(comparison, row), words::fate(comparison, row, PLAIN));
    for scale in Scale::ALL {
        let of = row.on(scale);
        let name = words::scale_name(comparison, scale);
        let _ = write!(text, "\n{name}: {}, adjusted p {}", words::with_interval(of), words::chance(of.p));
    }
    if row.part != Part::Everything {
        let place = words::place(row, None, PLAIN);
        let _ = write!(text, "\n{}", if place.is_empty() { "place not known" } else { &place });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::made::{golden, hostile, inconclusive as made_inconclusive, large, no_change, regression};
    use super::*;

    fn options() -> ReportOptions {
        ReportOptions { workspace: Some("/build".to_owned()), exit_status: 1, ..ReportOptions::default() }
    }

    #[test]
    fn a_regression_is_a_failure() {
        let xml = report(&regression(), &options());
        golden("regression.junit.xml", &xml);
        let document = roxmltree::Document::parse(&xml).unwrap();
        let failed: Vec<_> = document.descendants().filter(|node| node.has_tag_name("failure")).collect();
        // Of two functions, and of the rule that holds for one of them.
        assert_eq!(failed.len(), 3);
        let crc = document.descendants().find(|node| node.attribute("name") == Some("crc (self)")).unwrap();
        assert_eq!((crc.attribute("file"), crc.attribute("line")), (Some("src/crc.c"), Some("12")));
    }

    #[test]
    fn inconclusive_is_skipped_and_no_change_passes() {
        let check = |made: &Comparison, expected: [&str; 3]| {
            let xml = report(made, &options());
            let document = roxmltree::Document::parse(&xml).unwrap();
            let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
            let counts = ["tests", "failures", "skipped"].map(|name| suite.attribute(name).unwrap());
            assert_eq!(counts, expected);
            for (count, tag) in expected.iter().zip(["testcase", "failure", "skipped"]) {
                let found = document.descendants().filter(|node| node.has_tag_name(tag)).count();
                assert_eq!(found.to_string(), *count, "{tag}");
            }
        };
        check(&made_inconclusive(), ["2", "0", "2"]);
        check(&no_change(5), ["2", "0", "0"]);
    }

    #[test]
    fn whatever_names_hold_it_is_xml() {
        for made in [hostile(), large()] {
            let xml = report(&made, &options());
            let document = roxmltree::Document::parse(&xml).unwrap();
            let allowed =
                ["testsuites", "testsuite", "testcase", "failure", "skipped", "system-out", "properties", "property"];
            let tags = document.descendants().filter(roxmltree::Node::is_element);
            tags.for_each(|node| assert!(allowed.contains(&node.tag_name().name())));
            assert!(!xml.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
