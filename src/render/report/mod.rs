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
