//! What this machine and this process are allowed, as files of `/proc` and `/sys` say; read once, never changed.

use std::fs;
use std::path::{Path, PathBuf};

use super::cpus::CpuList;
use super::pmu::read_text;

/// Where the facts are read; a test gives trees of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted.
    pub sysfs: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { proc: "/proc".into(), sysfs: "/sys".into() }
    }
}

/// A right that the kernel gives by name; numbers are from `include/uapi/linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Lock memory without limit.
    IpcLock = 14,
    /// Read any process as a debugger does.
    SysPtrace = 19,
    /// Nearly everything.
    SysAdmin = 21,
    /// See kernel addresses.
    Syslog = 34,
    /// Open any perf event (Linux 5.8; before it `SysAdmin`).
    Perfmon = 38,
    /// Load BPF programs (Linux 5.8; before it `SysAdmin`).
    Bpf = 39,
}

/// What became of the process that is to be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// It runs, as the same user.
    Own,
    /// It runs, as this user.
    OtherUser(u32),
    /// It has ended, and waits for its parent.
    Zombie,
    /// It is not there.
    Gone,
    /// It is not there, but `/proc` would not show it if it were another user's.
    Hidden,
}

/// What decides about permissions; a fact that cannot be read is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `kernel.perf_event_paranoid`: -1 to 2; Debian knows 3, and Ubuntu 4.
    pub paranoid: Option<i32>,
    /// The effective user.
    pub user: u32,
    /// This process.
    pub own_process: i32,
    /// The effective capabilities, as a set of bits.
    pub capabilities: u64,
    /// Whether user ids mean what they mean on the host; else capabilities are worth nothing to perf.
    pub initial_user_namespace: bool,
    /// Whether a seccomp filter looks at our system calls.
    pub seccomp_filter: bool,
    /// `kernel.yama.ptrace_scope`; `None` without Yama.
    pub ptrace_scope: Option<u8>,
    /// The `hidepid` option that `/proc` is mounted with, if it hides anything.
    pub hidepid: Option<String>,
    /// The kernel's lockdown mode, if it is on: `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// `kernel.perf_event_max_sample_rate`, in Hz.
    pub max_sample_rate: Option<u64>,
    /// `kernel.perf_event_mlock_kb`: what one user's rings may lock per CPU, in KiB.
    pub mlock_kib: Option<u64>,
    /// `kernel.perf_event_max_stack`: most frames of a kernel call chain.
    pub max_stack: Option<u16>,
    /// The soft limit of locked memory in bytes; `None` if unlimited.
    pub locked_memory: Option<u64>,
    /// The soft and hard limit of open files.
    pub open_files: Option<(u64, u64)>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<u8>,
    /// Whether `/proc/kallsyms` shows addresses to us.
    pub kernel_names: bool,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// Whether the kernel describes its types to BPF programs.
    pub btf: bool,
    /// The CPUs that are online; empty if that cannot be read.
    pub online: CpuList,
    /// The kernel's version: major, minor.
    pub kernel: (u32, u32),
    roots: Roots,
}

impl Facts {
    /// Reads the facts of this machine.
    pub fn read() -> Facts {
        Facts::read_from(&Roots::default())
    }

    /// Reads the facts below these roots.
    pub fn read_from(roots: &Roots) -> Facts {
        let proc = |name: &str| read_text(&roots.proc.join(name)).unwrap_or_default();
        let kernel = |name: &str| proc(&format!("sys/kernel/{name}"));
        let status = proc("self/status");
        let limits = proc("self/limits");
        let limit = |name: &str| limit(&limits, name);
        Facts {
            paranoid: number(&kernel("perf_event_paranoid")),
            user: field(&status, "Uid:")
                .and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok())
                .unwrap_or(u32::MAX),
            own_process: field(&status, "Pid:").and_then(number).unwrap_or(0),
            capabilities: field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0),
            initial_user_namespace: is_whole_map(&proc("self/uid_map")),
            seccomp_filter: field(&status, "Seccomp:") == Some("2"),
            ptrace_scope: number(&kernel("yama/ptrace_scope")),
            hidepid: hidepid(&proc("self/mountinfo")),
            lockdown: lockdown(&read_text(&roots.sysfs.join("kernel/security/lockdown")).unwrap_or_default()),
            max_sample_rate: number(&kernel("perf_event_max_sample_rate")),
            mlock_kib: number(&kernel("perf_event_mlock_kb")),
            max_stack: number(&kernel("perf_event_max_stack")),
            locked_memory: limit("Max locked memory").map(|(soft, _)| soft).filter(|soft| *soft != u64::MAX),
            open_files: limit("Max open files"),
            kptr_restrict: number(&kernel("kptr_restrict")),
            kernel_names: shows_addresses(&roots.proc.join("kallsyms")),
            unprivileged_bpf_disabled: number(&kernel("unprivileged_bpf_disabled")),
            btf: roots.sysfs.join("kernel/btf/vmlinux").is_file(),
            online: read_text(&roots.sysfs.join("devices/system/cpu/online"))
                .ok()
                .and_then(|list| CpuList::parse(&list))
                .unwrap_or_default(),
            kernel: version(&kernel("osrelease")),
            roots: roots.clone(),
        }
    }

    /// Whether this process has a capability that the kernel's perf events respect.
    ///
    /// `SysAdmin` stands for `Perfmon` and `Bpf`, as `perfmon_capable()` and `bpf_capable()` have it.
    pub fn can(&self, capability: Capability) -> bool {
        let has = |capability: Capability| self.capabilities >> capability as u32 & 1 == 1;
        let whole = matches!(capability, Capability::Perfmon | Capability::Bpf) && has(Capability::SysAdmin);
        self.initial_user_namespace && (has(capability) || whole)
    }

    /// What became of a process or thread.
    pub fn target(&self, task: i32) -> TargetState {
        let Ok(status) = read_text(&self.roots.proc.join(task.to_string()).join("status")) else {
            return if self.hidepid.is_some() { TargetState::Hidden } else { TargetState::Gone };
        };
        if field(&status, "State:").is_some_and(|state| state.starts_with(['Z', 'X'])) {
            return TargetState::Zombie;
        }
        match field(&status, "Uid:").and_then(|ids| ids.split_whitespace().next()?.parse().ok()) {
            Some(user) if user != self.user => TargetState::OtherUser(user),
            _ => TargetState::Own,
        }
    }

    /// Tries whether the memory of a process opens, and the root that it sees.
    ///
    /// # Errors
    /// As the kernel refuses it.
    pub fn open_memory(&self, task: i32) -> std::io::Result<()> {
        let process = self.roots.proc.join(task.to_string());
        fs::File::open(process.join("mem"))?;
        fs::metadata(process.join("root/")).map(|_| ())
    }

    /// Up to `most` processes of other users, those of the lowest number first.
    pub fn processes_of_others(&self, most: usize) -> Vec<i32> {
        let entries = fs::read_dir(&self.roots.proc).into_iter().flatten().flatten();
        let mut tasks: Vec<i32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        tasks.sort_unstable();
        tasks.into_iter().filter(|task| matches!(self.target(*task), TargetState::OtherUser(_))).take(most).collect()
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

/// The value of a line of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Soft and hard value of a line of `/proc/self/limits`.
fn limit(limits: &str, name: &str) -> Option<(u64, u64)> {
    let mut words = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace();
    let mut value = || match words.next()? {
        "unlimited" => Some(u64::MAX),
        word => word.parse().ok(),
    };
    Some((value()?, value()?))
}

/// Whether a `uid_map` is that of the initial user namespace: all ids, each mapped to itself.
fn is_whole_map(map: &str) -> bool {
    let words: Vec<&str> = map.split_whitespace().collect();
    words.is_empty() || words == ["0", "0", "4294967295"]
}

/// The `hidepid` option of the last mount on `/proc`, unless it hides nothing.
///
/// See `proc(5)`: 0 or `off` hides nothing, 1 `noaccess`, 2 `invisible`, 4 `ptraceable`.
fn hidepid(mountinfo: &str) -> Option<String> {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc"))?;
    let options = line.split(' ').flat_map(|word| word.split(','));
    let value = options.filter_map(|option| option.strip_prefix("hidepid=")).next_back()?;
    (value != "0" && value != "off").then(|| value.to_owned())
}

/// The mode in brackets of `none [integrity] confidentiality`.
fn lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then(|| mode.to_owned())
}

/// Whether any of the first symbols has an address other than zero (`_text` may be 0 on x86's per-CPU symbols).
fn shows_addresses(kallsyms: &Path) -> bool {
    use std::io::Read;
    let mut head = Vec::new();
    let read = fs::File::open(kallsyms).and_then(|file| file.take(16 << 10).read_to_end(&mut head));
    read.is_ok()
        && String::from_utf8_lossy(&head).lines().filter_map(|line| line.split(' ').next()).any(|address| {
            address.len() >= 8 && u64::from_str_radix(address, 16).is_ok_and(|address| address >> 31 != 0)
        })
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
pub(super) mod tests;
