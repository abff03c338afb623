//! Files that were found where one was looked for, and are not used; and files that are named, and were not found.

use std::fmt;

use crate::model::BuildId;

/// A file that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its path, where it was looked for.
    pub path: String,
    /// What is wrong with it.
    pub why: Refusal,
}

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is of another build.
    BuildId {
        /// That of the program.
        wanted: BuildId,
        /// Its own, if it has one.
        found: Option<BuildId>,
    },
    /// It was changed since it was linked to, or is of another build: its checksum is not that of `.gnu_debuglink`.
    Checksum {
        /// That of the link.
        wanted: u32,
        /// Its own.
        found: u32,
    },
    /// Only a checksum could prove it, and it is larger than a file whose bytes are all read for that.
    TooLarge,
    /// It is a large file with hardly any bytes stored.
    Hollow,
    /// What is packed in it cannot be unpacked.
    Packed(&'static str),
    /// It is not a file that is stored somewhere: what it is.
    NoFile(String),
    /// It may not be opened.
    Denied,
    /// It is no ELF file.
    NoElf,
    /// It ends before the table of its sections.
    Cut,
    /// It has neither symbols nor debug information.
    Bare,
    /// It is not there, and what it has in common with others is missing in the debug information of this program.
    NotFound {
        /// The path of the program.
        wanted_by: String,
    },
}

impl Refusal {
    /// The reason in a word or two, as key in `--stats`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Refusal::BuildId { .. } => "another build id",
            Refusal::Checksum { .. } => "stale",
            Refusal::TooLarge => "too large to prove",
            Refusal::Hollow => "hollow",
            Refusal::Packed(_) => "packed symbols broken",
            Refusal::NoFile(_) => "no regular file",
            Refusal::Denied => "not permitted",
            Refusal::NoElf => "no ELF file",
            Refusal::Cut => "cut",
            Refusal::Bare => "without symbols",
            Refusal::NotFound { .. } => "not found",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Refusal::NotFound { wanted_by } = &self.why {
            return write!(
                f,
                "not found: {}, which has a part of the debug information of {wanted_by} (dwz)",
                self.path
            );
        }
        write!(f, "not used: {}", self.path)?;
        match &self.why {
            Refusal::NotFound { .. } => Ok(()),
            Refusal::NoFile(what) => write!(f, " is {what}"),
            Refusal::Denied => write!(f, " may not be opened"),
            Refusal::NoElf => write!(f, " is no ELF file"),
            Refusal::Cut => write!(f, " is cut short"),
            Refusal::Bare => write!(f, " has neither symbols nor debug information"),
            Refusal::BuildId { wanted, found: Some(found) } => write!(f, " has the build id {found}, not {wanted}"),
            Refusal::BuildId { wanted, found: None } => write!(f, " has no build id, and {wanted} is wanted"),
            Refusal::Checksum { wanted, found } => {
                write!(f, " is stale: its checksum is {found:08x}, that of the link to it {wanted:08x}")
            }
            Refusal::TooLarge => write!(f, " has no build id, and is too large to prove it by its checksum"),
            Refusal::Hollow => write!(f, " is large and holds next to nothing"),
            Refusal::Packed(why) => write!(f, " has symbols in .gnu_debugdata, but {why}"),
        }
    }
}
