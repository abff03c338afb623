//! Which source files are the repository's: only those can be pointed at.

use crate::analyze::is_of_library;
use crate::gate::{FunctionFacts, Row};

/// A place in a file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path from the repository's top, without `.` and `..`.
    pub path: String,
    /// The line, from 1.
    pub line: u32,
}

/// The function whose source is shown of a row: where its own is of a library, that of the function into which it was inlined.
pub fn source_of<'a>(row: &'a Row, workspace: Option<&str>) -> &'a FunctionFacts {
    let (own, Some(into)) = (&row.function, &row.inlined_into) else { return &row.function };
    let is_better = match (in_repository(own, workspace), in_repository(into, workspace)) {
        (Some(_), _) => false,
        (None, Some(_)) => true,
        (None, None) => (own.file.is_empty() || is_of_library(&own.file)) && !into.file.is_empty(),
    };
    if is_better { into } else { own }
}

/// Where a function stands, if that is in the repository: a relative path, or an absolute one below `workspace`.
pub fn in_repository(function: &FunctionFacts, workspace: Option<&str>) -> Option<Place> {
    /// As long as a path may be on Linux (`PATH_MAX`).
    const LONGEST: usize = 4_096;
    let file = function.file.as_str();
    // A runner would take `##` for the beginning of a command (see `words::shown`).
    let is_odd = file.len() > LONGEST || file.contains("##") || file.chars().any(char::is_control);
    if file.is_empty() || function.line == 0 || is_odd {
        return None;
    }
    let inside = match file.strip_prefix('/') {
        None => file,
        Some(_) => {
            let top = workspace?.trim_end_matches('/');
            if top.is_empty() {
                return None;
            }
            file.strip_prefix(top)?.strip_prefix('/')?
        }
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in inside.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            // A generated file has no place: `<stdin>`, `<built-in>`.
            part if part.starts_with('<') => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| Place { path: parts.join("/"), line: function.line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_repository_are_pointed_at() {
        let check = |file: &str, workspace: Option<&str>, expected: Option<&str>| {
            let function = FunctionFacts { file: file.to_owned(), line: 7, ..FunctionFacts::default() };
            let found = in_repository(&function, workspace);
            assert_eq!(found.as_ref().map(|place| place.path.as_str()), expected, "{file}");
        };
        check("src/crc.c", None, Some("src/crc.c"));
        check("./a/../src//crc.c", None, Some("src/crc.c"));
        check("../crc.c", None, None);
        check("a/../../crc.c", None, None);
        check("/home/ci/project/src/crc.c", Some("/home/ci/project/"), Some("src/crc.c"));
        check("/home/ci/project2/src/crc.c", Some("/home/ci/project"), None);
        check("/rustc/abc/library/core/src/num.rs", Some("/home/ci/project"), None);
        check("/etc/passwd", Some("/"), None);
        check("/src/crc.c", None, None);
        check("<stdin>", None, None);
        check("a\nb.c", None, None);
        check("a##[b].c", None, None);
        check("", None, None);
        let unknown = FunctionFacts { file: "a.c".to_owned(), ..FunctionFacts::default() };
        assert_eq!(in_repository(&unknown, None), None);
    }
}
