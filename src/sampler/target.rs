//! What is to be sampled.

use std::path::PathBuf;

use super::cpus::CpuList;
use crate::error::{Error, ErrorKind, Result};

/// What is to be sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Processes, with the threads and children that they start, and the children that they have.
    Processes(Vec<u32>),
    /// These threads and no others.
    Threads(Vec<u32>),
    /// Everything.
    System,
    /// The processes of a cgroup (version 2), by path or by name below the cgroup file system.
    Cgroup(PathBuf),
    /// A command that is started for it, with what it starts.
    Command(Vec<std::ffi::OsString>),
}

impl Target {
    /// The target in words, for titles: `pid 4121`, `system`, the command.
    pub fn describe(&self) -> String {
        let join = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        match self {
            Target::Processes(pids) => format!("pid {}", join(pids)),
            Target::Threads(tids) => format!("tid {}", join(tids)),
            Target::System => "system".into(),
            Target::Cgroup(path) => format!("cgroup {}", path.display()),
            Target::Command(words) => words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        }
    }
}

/// The CPUs to sample on: `asked`, or all that are online.
///
/// # Errors
/// [`ErrorKind::Usage`] for a CPU that is not online.
pub fn sampled_cpus(asked: Option<&CpuList>) -> Result<CpuList> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online")
        .ok()
        .and_then(|text| CpuList::parse(&text))
        .filter(|cpus| !cpus.is_empty())
        .unwrap_or_else(|| (0..std::thread::available_parallelism().map_or(1, |count| count.get() as u32)).collect());
    let Some(asked) = asked else { return Ok(online) };
    if let Some(absent) = asked.as_slice().iter().find(|cpu| !online.contains(**cpu)) {
        return Err(Error::new(ErrorKind::Usage, format!("CPU {absent} is not online"))
            .with_hint(format!("online are {online}")));
    }
    Ok(asked.clone())
}
