//! What came of it, in words and counts.

use super::hot::Wanted;
use crate::model::{BuildId, CaptureStats};

/// Why a file did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No server has it.
    NotFound,
    /// No server had it a while ago, as the cache has noted.
    Missed,
    /// Nothing came for as long as a server is waited for, or too little.
    TooSlow,
    /// It took longer than one file may.
    TooLong,
    /// It is larger than one file may be: than so many bytes.
    TooLarge(u64),
    /// What was fetched before it is as much as may be fetched in all.
    TooMuch,
    /// What came is no ELF file, not whole, or of another build.
    WrongFile,
    /// The server answered with this status.
    Status(u16),
    /// The server sent us elsewhere: to another host, to plain HTTP, or round in a circle.
    Redirected,
    /// The server could not be reached.
    Unreachable(String),
    /// The connection ended before all had come.
    BrokeOff(String),
    /// What the server answered is not HTTP.
    NoHttp(String),
    /// The cache could not be written.
    Cache(String),
    /// Fetching it came to an unforeseen end (a panic).
    Broken,
    /// It was told to stop.
    Stopped,
}

impl Failure {
    /// The reason in words; the same for all of a kind.
    pub fn as_str(&self) -> &'static str {
        match self {
            Failure::NotFound => "no server has it",
            Failure::Missed => "no server had it lately",
            Failure::TooSlow => "the server is too slow",
            Failure::TooLong => "it took too long",
            Failure::TooLarge(_) => "it is larger than the limit",
            Failure::TooMuch => "enough was fetched",
            Failure::WrongFile => "the server sent another file",
            Failure::Status(_) => "the server refused",
            Failure::Redirected => "the server sent us elsewhere",
            Failure::Unreachable(_) => "the server cannot be reached",
            Failure::BrokeOff(_) => "the server broke off",
            Failure::NoHttp(_) => "the server's answer is not HTTP",
            Failure::Cache(_) => "the cache cannot be written",
            Failure::Broken => "fetching it failed by a mistake of this program",
            Failure::Stopped => "it was not waited for",
        }
    }

    /// What else is known of it.
    fn detail(&self) -> String {
        match self {
            Failure::Status(status) => format!(" (status {status})"),
            Failure::TooLarge(most) => format!(" of {} (DEBUGINFOD_MAXSIZE)", size(*most)),
            Failure::Unreachable(what) | Failure::BrokeOff(what) | Failure::NoHttp(what) | Failure::Cache(what) => {
                format!(" ({what})")
            }
            _ => String::new(),
        }
    }

    /// Whether it would be no use to ask this server for another file.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Failure::TooSlow | Failure::Unreachable(_) | Failure::BrokeOff(_) | Failure::NoHttp(_))
    }
}

/// A number of bytes, as a limit is best told: in whole units if it is one.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The files that came.
    pub arrived: Vec<Wanted>,
    /// Those that did not, and why.
    pub failed: Vec<(Wanted, Failure)>,
    /// How many bytes were fetched.
    pub bytes: u64,
}

/// So many images are named with their reason.
const NAMED: usize = 5;

impl Report {
    /// The builds of which something came.
    pub fn builds(&self) -> Vec<BuildId> {
        self.arrived.iter().map(|wanted| wanted.build_id).collect()
    }

    /// Writes down in a profile's figures what came and what did not.
    pub fn tell(&self, stats: &mut CaptureStats) {
        let asked = self.arrived.len() + self.failed.len();
        if asked == 0 {
            return;
        }
        let files = if asked == 1 { "file" } else { "files" };
        let mut note = format!("debuginfod: {} of {asked} {files} came", self.arrived.len());
        if self.bytes > 0 {
            note += &format!(", {:.1} MiB", self.bytes as f64 / f64::from(1 << 20));
        }
        for (wanted, failure) in self.failed.iter().take(NAMED) {
            note += &format!("; {}: {}{}", wanted.name, failure.as_str(), failure.detail());
        }
        if self.failed.len() > NAMED {
            note += &format!("; and {} more", self.failed.len() - NAMED);
        }
        stats.notes.push(note);
        for (_, failure) in &self.failed {
            *stats.skipped.entry(format!("debug files: {}", failure.as_str())).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_told_as_it_was_set() {
        for (most, expected) in
            [(1 << 30, "1 GiB"), (20 << 20, "20 MiB"), (20_000_000, "20000000 bytes"), (0, "0 bytes")]
        {
            let failure = Failure::TooLarge(most);
            let told = format!("{}{}", failure.as_str(), failure.detail());
            assert_eq!(told, format!("it is larger than the limit of {expected} (DEBUGINFOD_MAXSIZE)"));
        }
    }
}
