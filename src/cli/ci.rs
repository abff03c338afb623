//! Which CI this runs in, by its environment: where a summary goes, and below which folder the sources lie.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flameprofile::gate::Comparison;
use flameprofile::render::report::{ReportOptions, github, md};
use flameprofile::{Error, ErrorKind, Result};

/// A server that runs jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// GitHub Actions, and what takes its place (Forgejo, Gitea).
    GitHub,
    /// GitLab.
    GitLab,
    /// Buildkite.
    Buildkite,
    /// Jenkins.
    Jenkins,
}

/// What the environment says of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The server, if it is one that is known.
    pub server: Option<Server>,
    /// The folder that the repository was checked out into.
    pub workspace: Option<String>,
    /// The file that the summary of the step is appended to.
    pub summary: Option<PathBuf>,
}

impl Job {
    /// The job of this process.
    pub fn here() -> Job {
        Job::find(&|name| std::env::var_os(name))
    }

    /// The job that `variable` tells of. A variable that is empty is none.
    ///
    /// See the servers' lists of variables: "Default environment variables" (GitHub), "Predefined CI/CD variables" (GitLab), "Environment
    /// variables" (Buildkite), "Using environment variables" (Jenkins).
    pub fn find(variable: &dyn Fn(&str) -> Option<OsString>) -> Job {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        // A runner of GitLab or Buildkite may stand on a machine of Jenkins, and none of them sets the others' own variable.
        let servers = [
            (Server::GitHub, "GITHUB_ACTIONS", "GITHUB_WORKSPACE"),
            (Server::GitLab, "GITLAB_CI", "CI_PROJECT_DIR"),
            (Server::Buildkite, "BUILDKITE", "BUILDKITE_BUILD_CHECKOUT_PATH"),
            (Server::Jenkins, "JENKINS_URL", "WORKSPACE"),
        ];
        let found = servers.into_iter().find(|(_, own, _)| variable(own).is_some_and(|value| value != "false"));
        let Some((server, _, workspace)) = found else { return Job::default() };
        let summary = variable("GITHUB_STEP_SUMMARY").filter(|_| server == Server::GitHub);
        Job {
            server: Some(server),
            workspace: variable(workspace).and_then(|path| path.into_string().ok()),
            summary: summary.map(PathBuf::from),
        }
    }

    /// Tells the server what was found, as far as it has a place for that; returns the lines that standard output is to have for it.
    ///
    /// # Errors
    ///
    /// If the summary cannot be written: to be said as a warning, as the verdict is not changed by it.
    pub fn tell(&self, comparison: &Comparison, options: &ReportOptions) -> (String, Result<()>) {
        let lines = match self.server {
            Some(Server::GitHub) => github::annotations(comparison, options),
            _ => String::new(),
        };
        let summary = self.summary.as_deref();
        let written = summary.map_or(Ok(()), |path| append(path, |room| md::within(comparison, options, room)));
        (lines, written)
    }
}

/// Appends to the summary of a step what `text` makes for the bytes that there is room for.
fn append(path: &Path, text: impl Fn(usize) -> String) -> Result<()> {
    let failed = |error| {
        Error::io(format!("cannot write the summary of this step to {}", path.display()), error).with_hint(
            "GITHUB_STEP_SUMMARY names the file; the report is in what --report names, and the verdict stands",
        )
    };
    let refused = || {
        let message = format!("the summary of this step is no file: {}", path.display());
        Error::new(ErrorKind::Usage, message).with_hint("GITHUB_STEP_SUMMARY is set by the runner; unset it elsewhere")
    };
    // A pipe or a device is not even opened: that may wait for a reader for ever.
    if !path.is_absolute() || fs::symlink_metadata(path).is_ok_and(|facts| !facts.is_file()) {
        return Err(refused());
    }
    let no_follow = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits();
    let mut file: File = File::options()
        .append(true)
        .create(true)
        .custom_flags(i32::try_from(no_follow).unwrap_or_default())
        .open(path)
        .map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(refused());
    }
    let written = usize::try_from(facts.len()).unwrap_or(usize::MAX);
    // Whatever an earlier command of the step has written may end without a line's end.
    let gap = if written > 0 { "\n\n" } else { "" };
    let room = md::STEP_SUMMARY.saturating_sub(written + gap.len());
    let text = text(room);
    if text.len() > room {
        let message = format!("the summary of this step is full: {}", path.display());
        return Err(
            Error::new(ErrorKind::Io, message).with_hint("a summary has 1 MiB; the report is in what --report names")
        );
    }
    file.write_all(format!("{gap}{text}").as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Job {
        Job::find(&|name| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn servers_are_told_by_their_variables() {
        let check = |variables: &[(&str, &str)], expected: Option<Server>| assert_eq!(job(variables).server, expected);
        check(&[], None);
        check(&[("CI", "true")], None);
        check(&[("GITHUB_ACTIONS", "")], None);
        check(&[("GITHUB_ACTIONS", "false")], None);
        check(&[("GITHUB_ACTIONS", "true")], Some(Server::GitHub));
        check(&[("GITLAB_CI", "true"), ("JENKINS_URL", "http://x")], Some(Server::GitLab));
        check(&[("BUILDKITE", "true")], Some(Server::Buildkite));
        check(&[("JENKINS_URL", "http://x")], Some(Server::Jenkins));
        // Of another server's job it means nothing.
        assert_eq!(job(&[("GITHUB_STEP_SUMMARY", "/tmp/x")]), Job::default());
        let github = job(&[("GITHUB_ACTIONS", "true"), ("GITHUB_WORKSPACE", "/w"), ("GITHUB_STEP_SUMMARY", "/tmp/x")]);
        assert_eq!(github.workspace.as_deref(), Some("/w"));
        assert_eq!(github.summary.as_deref(), Some(Path::new("/tmp/x")));
    }

    #[test]
    fn summaries_are_appended_as_far_as_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary");
        append(&path, |_| "one\n".to_owned()).unwrap();
        append(&path, |room| format!("{}\n", md::STEP_SUMMARY - room)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n\n\n6\n");
        fs::write(&path, vec![b'x'; md::STEP_SUMMARY - 3]).unwrap();
        assert!(append(&path, |_| "four".to_owned()).unwrap_err().to_string().contains("is full"));
        assert_eq!(fs::metadata(&path).unwrap().len() as usize, md::STEP_SUMMARY - 3);
    }

    #[test]
    fn only_a_file_is_a_summary() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for path in [folder.path(), &link, Path::new("/dev/null"), Path::new("relative"), Path::new("/nowhere/at/all")]
        {
            assert!(append(path, |_| String::new()).is_err(), "{}", path.display());
        }
    }
}
