//! What a comparison of runs found, as text: the comment of a pull request, a table for a terminal, what CI servers read, JSON.
//!
//! Each is made of one [`crate::gate::Comparison`] and nothing else. Names in it come from programs that a stranger's change may have
//! built: in every format they are data (`words::shown`, and the escaping of the format), cut where they are long.

mod explain;
pub mod github;
pub mod json;
pub mod junit;
#[cfg(test)]
mod made;
pub mod md;
mod quote;
pub mod sarif;
pub mod source;
pub mod text;
pub(super) mod words;

pub use explain::explain;

/// What a report says beside the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportOptions {
    /// The command line that makes this comparison again, as it is typed; empty if it is not known.
    pub command: String,
    /// Which of several comparisons it is, if there are several: part of the comment's marker, and of titles.
    pub name: String,
    /// The exit status of the program.
    pub exit_status: u8,
    /// The folder that source files of the repository lie below, `/builds/project`; without it only relative paths are sources.
    pub workspace: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::gate::{Comparison, Fate, FunctionFacts, Part, Row};
    use crate::render::top::TopOptions;

    /// A regression of a function of the standard library, which was inlined into one of the repository.
    fn inlined() -> Comparison {
        let mut made = made::regression();
        let row = &mut made.rows[0];
        row.inlined_into = Some(FunctionFacts { name: "codec::Crc::update".to_owned(), ..row.function.clone() });
        row.function.name = "<u32>::wrapping_mul".to_owned();
        row.function.file = "/rustc/0b1c2d/library/core/src/num/mod.rs".to_owned();
        made
    }

    #[test]
    fn what_is_inlined_is_named_with_what_it_is_in() {
        let comparison = inlined();
        let options = ReportOptions { workspace: Some("/build".to_owned()), ..ReportOptions::default() };
        let written = |write: &dyn Fn(&mut Vec<u8>) -> Result<()>| {
            let mut out = Vec::new();
            write(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let style = TopOptions::default();
        let text = written(&|out| text::write(&comparison, &options, &style, out));
        let row = text.lines().find(|line| line.contains("inlined into")).unwrap();
        assert!(row.contains("  <u32>::wrapping_mul inlined into codec::Crc::update (self)  "), "{row}");
        assert!(row.ends_with("  src/crc.c:12"), "{row}");
        let narrow = TopOptions { width: Some(110), ..TopOptions::default() };
        let text = written(&|out| text::write(&comparison, &options, &narrow, out));
        assert!(text.contains("wrapping_mu… in …update (self)  "), "{text}");
        let md = md::comment(&comparison, &options);
        assert!(md.contains("| `<u32>::wrapping_mul` inlined into `codec::Crc::update` self | 390"), "{md}");
        let json: serde_json::Value =
            serde_json::from_str(&written(&|out| json::write(&comparison, &options, out))).unwrap();
        assert_eq!(json["rows"][0]["function"]["name"], "<u32>::wrapping_mul");
        assert_eq!(json["rows"][0]["inlined_into"]["name"], "codec::Crc::update");
        assert_eq!(json["rows"][1]["inlined_into"], serde_json::Value::Null);
        let says = "<u32>::wrapping_mul inlined into codec::Crc::update (self): 390 → 471 ms";
        let sarif = written(&|out| sarif::write(&comparison, &options, out));
        let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
        let result = &sarif["runs"][0]["results"][0];
        assert!(result["message"]["text"].as_str().unwrap().starts_with(says), "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(
            (&place["artifactLocation"]["uri"], &place["region"]["startLine"]),
            (&"src/crc.c".into(), &12.into())
        );
        let annotations = github::annotations(&comparison, &options);
        let first = annotations.lines().find(|line| line.contains("wrapping_mul")).unwrap();
        assert!(first.starts_with("::error file=src/crc.c,line=12,") && first.contains(says), "{first}");
        let junit = junit::report(&comparison, &options);
        assert!(junit.contains("name=\"&lt;u32&gt;::wrapping_mul (self)\" file=\"src/crc.c\" line=\"12\""), "{junit}");
        assert!(junit.contains("wrapping_mul inlined into codec::Crc::update (self): 390"), "{junit}");
        let explained = explain(&comparison, "wrapping_mul", &options, &style).unwrap();
        assert!(explained.contains("- inlined into: codec::Crc::update\n- where: src/crc.c:12\n"), "{explained}");
    }

    #[test]
    fn sources_of_the_user_are_shown_where_there_are_any() {
        let made = inlined();
        let check = |file: &str, into: &str, workspace: Option<&str>, expected: &str| {
            let mut row = made.rows[0].clone();
            row.function.file = file.to_owned();
            row.inlined_into.as_mut().unwrap().file = into.to_owned();
            assert_eq!(source::source_of(&row, workspace).file, expected, "{file} in {into}");
        };
        check("/rustc/a/num.rs", "/home/me/src/a.rs", None, "/home/me/src/a.rs");
        check("/usr/include/c++/14/bits/stl_vector.h", "src/a.cc", None, "src/a.cc");
        check("/home/me/.cargo/registry/src/x/a.rs", "/home/me/p/a.rs", Some("/home/me/p"), "/home/me/p/a.rs");
        check("/home/me/p/b.rs", "/home/me/p/a.rs", Some("/home/me/p"), "/home/me/p/b.rs");
        check("/home/me/b.rs", "/home/me/a.rs", None, "/home/me/b.rs");
        check("/rustc/a/num.rs", "", None, "/rustc/a/num.rs");
    }

    #[test]
    fn as_many_rows_are_regressions_as_the_verdict_says() {
        let mut comparison = made::regression();
        let options = ReportOptions::default();
        let table = |comparison: &Comparison| {
            let mut out = Vec::new();
            text::write(comparison, &options, &TopOptions::default(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        // Rows of the first table of Markdown; those between its title and the next blank line of text.
        let rows = |comparison: &Comparison| {
            let (text, md) = (table(comparison), md::comment(comparison, &options));
            let below = text.lines().skip_while(|line| *line != "regressions").skip(2);
            let of_text = below.take_while(|line| line.starts_with([' ', '+'])).count();
            let below = md.lines().skip_while(|line| !line.starts_with("| cause")).skip(2);
            let annotations = github::annotations(comparison, &options);
            let errors = annotations.lines().filter(|line| line.starts_with("::error ")).count();
            (of_text, below.take_while(|line| line.starts_with('|')).count(), errors)
        };
        comparison.total.fate = Fate::Regression;
        assert!(table(&comparison).starts_with("2 regressions · "));
        assert_eq!(rows(&comparison), (2, 2, 2));
        let whole = "the whole fails too: +4.8 % [+1.8, +7.8], adjusted p 0.012";
        assert!(table(&comparison).contains(&format!("\n{whole}\n")), "{}", table(&comparison));
        assert!(md::comment(&comparison, &options).contains(&format!("\n\n{whole}\n\n")));
        let annotations = github::annotations(&comparison, &options);
        assert!(annotations.contains("::notice title=profile%3A the whole"), "{annotations}");
        // No function fails: then everything does.
        comparison.rows.retain(|row| row.fate != Fate::Regression);
        assert!(table(&comparison).starts_with("1 regression · "));
        assert_eq!(rows(&comparison), (1, 1, 1));
        assert!(!table(&comparison).contains("the whole fails too"));
    }

    #[test]
    fn suspects_that_others_explain_are_counted() {
        let mut comparison = made::regression();
        let options = ReportOptions::default();
        let suspect = comparison.rows.iter().find(|row| row.fate == Fate::Suspect).unwrap().clone();
        for name in ["serve", "run", "main"] {
            let mut row = Row { is_repeated: true, part: Part::Inclusive, ..suspect.clone() };
            row.function.name = name.to_owned();
            comparison.rows.push(row);
        }
        let check = |comparison: &Comparison, expected: &str| {
            let mut out = Vec::new();
            text::write(comparison, &options, &TopOptions::default(), &mut out).unwrap();
            let (text, md) = (String::from_utf8(out).unwrap(), md::comment(comparison, &options));
            for text in [text, md] {
                assert!(text.contains(&format!("\n{expected}\n\n")), "{text}");
                assert!(!text.contains("serve (with callees)") && !text.contains("`serve` with"), "{text}");
            }
        };
        check(&comparison, "and 3 callers of these");
        (comparison.total.fate, comparison.total.is_repeated) = (Fate::Suspect, true);
        check(&comparison, "and 3 callers of these, and the whole");
        comparison.rows.retain(|row| row.fate != Fate::Suspect || row.is_repeated);
        check(&comparison, "and 3 callers of what fails, and the whole");
        comparison.rows.retain(|row| row.fate != Fate::Suspect);
        check(&comparison, "and the whole, with what fails");
    }
}
