//! `--report FILE`, as often as there are reports: each in the format that its name says.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use flameprofile::render::name::printable;
use flameprofile::{Error, ErrorKind, Result};

use super::output::{self, OutputFile};
use super::render::Format;

/// Where else the result goes.
#[derive(Args, Clone, Debug, Default)]
pub struct ReportArgs {
    /// Another file with the result, in the format of its name: .md, .junit.xml, .sarif, .json, .svg, .html, .folded; may be repeated
    #[arg(long = "report", value_name = "FILE", value_parser = report_file, help_heading = "Output")]
    pub reports: Vec<ReportFile>,
}

/// A file, and what is written into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub format: Format,
}

/// The formats that a report has.
const FORMATS: [Format; 7] =
    [Format::Md, Format::Junit, Format::Sarif, Format::Json, Format::Svg, Format::Html, Format::Folded];

fn report_file(text: &str) -> std::result::Result<ReportFile, String> {
    let path = PathBuf::from(text);
    if output::is_stdout(&path) {
        return Err("a report is a file: standard output is for the result (-o)".to_owned());
    }
    match Format::of_path(&path) {
        Some(format) if FORMATS.contains(&format) => Ok(ReportFile { path, format }),
        _ => {
            Err("its name says no format of a report: .md, .junit.xml, .sarif, .json, .svg, .html or .folded"
                .to_owned())
        }
    }
}

/// Files that are open to be written.
#[derive(Debug)]
pub struct ReportFiles {
    files: Vec<(Format, OutputFile)>,
}

impl ReportFiles {
    /// Opens all of them, before there is anything to be written: a folder that is not there is known early.
    ///
    /// # Errors
    ///
    /// If one is named twice, is among `others` (what else is written, and what is read), or cannot be written.
    pub fn open(args: &ReportArgs, others: &[&Path]) -> Result<ReportFiles> {
        let mut seen: Vec<&Path> = others.to_vec();
        let mut files = Vec::new();
        for report in &args.reports {
            if seen.iter().any(|other| output::is_same_file(other, &report.path)) {
                let message =
                    format!("--report {} names a file that is read or written already", report.path.display());
                return Err(Error::new(ErrorKind::Usage, message).with_hint("give each report a name of its own"));
            }
            seen.push(&report.path);
            files.push((report.format, OutputFile::create(&report.path)?));
        }
        Ok(ReportFiles { files })
    }

    /// The formats that are asked for.
    pub fn formats(&self) -> impl Iterator<Item = Format> {
        self.files.iter().map(|(format, _)| *format)
    }

    /// Writes each by `render`; returns what is to be said, a line for each. One that fails does not keep the others from being written.
    pub fn write(self, render: &mut dyn FnMut(Format, &mut dyn Write) -> Result<()>) -> Result<String> {
        let mut said = String::new();
        let mut failed = Ok(());
        for (format, file) in self.files {
            let path = file.path().display().to_string();
            match file.finish_with(&mut |out| render(format, out)) {
                Ok(()) => said += &format!("wrote {}\n", printable(&path)),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed.map(|()| said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_formats() {
        let check = |name: &str, expected: Option<Format>| {
            assert_eq!(report_file(name).ok().map(|report| report.format), expected, "{name}");
        };
        check("out/report.md", Some(Format::Md));
        check("report.junit.xml", Some(Format::Junit));
        check("report.sarif", Some(Format::Sarif));
        check("report.json", Some(Format::Json));
        check("report.html", Some(Format::Html));
        check("report.pb.gz", None);
        check("report", None);
        check("-", None);
    }

    #[test]
    fn each_report_is_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let args = |names: &[&str]| {
            let report = |name: &&str| report_file(at(name).to_str().unwrap()).unwrap();
            ReportArgs { reports: names.iter().map(report).collect() }
        };
        assert!(ReportFiles::open(&args(&["a.md", "a.md"]), &[]).is_err());
        assert!(ReportFiles::open(&args(&["a.md"]), &[&at("a.md")]).is_err());
        assert!(ReportFiles::open(&args(&["nowhere/a.md"]), &[]).is_err());
        let files = ReportFiles::open(&args(&["a.md", "a.json"]), &[]).unwrap();
        let mut render = |format: Format, out: &mut dyn Write| {
            write!(out, "{format:?}").map_err(|error| Error::io("cannot write", error))
        };
        assert_eq!(files.write(&mut render).unwrap().lines().count(), 2);
        assert_eq!(std::fs::read_to_string(at("a.json")).unwrap(), "Json");
        // One that fails leaves the others, and what was there before.
        let files = ReportFiles::open(&args(&["a.md", "b.json"]), &[]).unwrap();
        let mut render = |format: Format, _: &mut dyn Write| match format {
            Format::Md => Err(Error::new(ErrorKind::Usage, "no comment")),
            _ => Ok(()),
        };
        assert!(files.write(&mut render).is_err());
        assert_eq!(std::fs::read_to_string(at("a.md")).unwrap(), "Md");
        assert!(at("b.json").exists());
    }
}
