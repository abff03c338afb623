//! Why the kernel refuses, and what to type: one text for errors and for `profile doctor`.
//!
//! The facts are read once. Which of them explains a refusal:
//!
//! ```text
//! EPERM at once, Seccomp: 2            a container's filter       --cap-add PERFMON
//! EACCES, paranoid >= 3                Debian's, Ubuntu's patch   no events at all without CAP_PERFMON
//! EACCES, paranoid 2                   own processes, user side only
//! EACCES, paranoid 1                   own processes, no whole CPUs
//! EACCES, paranoid 0                   no raw tracepoints
//! EACCES on a task                     another user's, or one that hides itself (setuid, not dumpable)
//! EPERM on a process's memory          Yama's ptrace_scope
//! ESRCH, or no /proc/PID               gone; or hidden by hidepid
//! ```
//! The checks are `perf_allow_*`, `perf_check_permission` and `find_lively_task_by_vpid` in the kernel's
//! `kernel/events/core.c`, `yama_ptrace_access_check` in `security/yama/yama_lsm.c` (it asks about attaching to a
//! process only, so it stops reads of memory, but not perf events), and `Documentation/admin-guide/perf-security.rst`.

use std::io;

use crate::error::{Error, ErrorKind};

use super::facts::{Capability, Facts, TargetState};

/// Something that takes permission; each has its own remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Sample one's own processes, user side.
    OwnProcesses,
    /// Sample another user's processes.
    OtherProcesses,
    /// Sample whole CPUs, or a control group.
    SystemWide,
    /// See the kernel's part of samples.
    KernelFrames,
    /// Give names to kernel addresses.
    KernelNames,
    /// Sample tracepoints.
    Tracepoints,
    /// Load BPF programs.
    Bpf,
    /// Read a process's memory.
    Memory,
}

/// What was tried when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Open an event on a task.
    Task(i32),
    /// Open an event on a task that is only of use with the kernel's side.
    TaskKernel(i32),
    /// Open a tracepoint on a task.
    TaskTracepoint(i32),
    /// Open an event on a CPU, or on a control group there.
    Cpu(u32),
    /// Read a file of `/proc/PID`, such as `maps`.
    Process(i32),
    /// Read the memory of a process.
    Memory(i32),
    /// Map a ring of so many pages.
    Ring(usize),
}

const NO_PROCESS: i32 = 3;
const TOO_MANY_FILES: i32 = 24;

impl Facts {
    /// Turns a refusal into an error that says what was tried, why it failed, and what to type.
    pub fn explain(&self, attempt: Attempt, source: io::Error) -> Error {
        let (what, need, task) = match attempt {
            Attempt::Task(task) => (format!("cannot sample task {task}"), Need::OwnProcesses, Some(task)),
            Attempt::TaskKernel(task) => (format!("cannot sample task {task}"), Need::KernelFrames, Some(task)),
            Attempt::TaskTracepoint(task) => (format!("cannot sample task {task}"), Need::Tracepoints, Some(task)),
            Attempt::Cpu(cpu) => (format!("cannot sample all of CPU {cpu}"), Need::SystemWide, None),
            Attempt::Process(process) => (format!("cannot read process {process}"), Need::OwnProcesses, Some(process)),
            Attempt::Memory(process) => {
                (format!("cannot read the memory of process {process}"), Need::Memory, Some(process))
            }
            Attempt::Ring(pages) => return self.explain_ring(pages, source),
        };
        let target = task.map_or(TargetState::Own, |task| self.target(task));
        let need = match target {
            TargetState::OtherUser(_) if need != Need::Memory => Need::OtherProcesses,
            // An own process that is refused at a level that allows it is not dumpable: it changed its user, or asked
            // for that.
            TargetState::Own if need == Need::OwnProcesses && self.level() <= 2 && task != Some(self.own_process) => {
                Need::OtherProcesses
            }
            _ => need,
        };
        let missing = source.raw_os_error() == Some(NO_PROCESS) || source.kind() == io::ErrorKind::NotFound;
        match target {
            TargetState::Zombie => Error::new(ErrorKind::NotFound, format!("{what}: it has ended and is a zombie"))
                .with_source(source)
                .with_hint("only its parent can remove it; name a process that runs"),
            TargetState::Hidden => Error::new(ErrorKind::NotFound, format!("{what}: it is gone, or /proc hides it"))
                .with_source(source)
                .with_hint(self.hidepid_hint()),
            _ if missing => Error::new(ErrorKind::NotFound, format!("{what}: there is no such process"))
                .with_source(source)
                .with_hint("it may have ended; `pgrep -a NAME` lists processes by name"),
            _ if source.raw_os_error() == Some(TOO_MANY_FILES) => self.explain_files(what, source),
            _ if source.kind() == io::ErrorKind::PermissionDenied => {
                // A filter refuses what the kernel's own rules would allow.
                let hint = if self.filtered(&source, need) { self.seccomp_hint() } else { self.remedy(need) };
                Error::new(ErrorKind::Permission, format!("{what}: permission denied"))
                    .with_source(source)
                    .with_hint(hint)
            }
            _ => Error::io(what, source),
        }
    }

    /// Whether a seccomp filter is the likely cause of a refusal: it answers EPERM, where `perf_event_open` itself
    /// lacking a permission answers EACCES.
    pub fn filtered(&self, source: &io::Error, need: Need) -> bool {
        self.seccomp_filter && need != Need::Memory && source.raw_os_error() == Some(1)
    }

    /// What to type to be allowed something; a sentence, to be shown where it is refused.
    pub fn remedy(&self, need: Need) -> String {
        if !self.initial_user_namespace && !matches!(need, Need::OwnProcesses | Need::Memory) {
            return "root of a user namespace has no rights outside it: run on the host, or in a container started by root \
                    with --cap-add PERFMON"
                .to_owned();
        }
        let level = self.level();
        match need {
            Need::OwnProcesses | Need::KernelFrames | Need::SystemWide | Need::Tracepoints if level >= 3 => {
                format!("{}; {}", self.level_text(level), self.lower_level(need))
            }
            Need::OwnProcesses => self.lower_level(need),
            Need::KernelFrames | Need::SystemWide => format!("{}; {}", self.level_text(level), self.lower_level(need)),
            Need::Tracepoints => format!(
                "{}; tracepoints take level -1 and a readable tracefs (`sudo mount -o remount,mode=755 /sys/kernel/tracing`), \
                 or run with sudo",
                self.level_text(level)
            ),
            Need::OtherProcesses => format!(
                "no sysctl allows another user's processes, or those that hide from their own user: {}",
                self.privilege()
            ),
            // See `kallsyms_show_value` in the kernel's `kernel/ksyms_common.c`.
            Need::KernelNames => match self.kptr_restrict.unwrap_or(1) {
                0 => format!(
                    "CAP_SYSLOG is missing, and {}: `sudo sysctl kernel.perf_event_paranoid=1`, or {}",
                    self.level_text(level),
                    self.privilege()
                ),
                1 => format!(
                    "kernel.kptr_restrict is 1 and CAP_SYSLOG is missing: `sudo sysctl kernel.kptr_restrict=0 \
                     kernel.perf_event_paranoid=1`, or {}",
                    self.privilege()
                ),
                level => format!(
                    "kernel.kptr_restrict is {level}, which hides kernel addresses from root too: \
                     `sudo sysctl kernel.kptr_restrict=1`"
                ),
            },
            Need::Bpf if !self.btf => {
                "the kernel has no BTF (/sys/kernel/btf/vmlinux): one built with CONFIG_DEBUG_INFO_BTF=y \
                                       is needed"
                    .to_owned()
            }
            Need::Bpf => format!(
                "kernel.unprivileged_bpf_disabled is {}, and stacks take CAP_BPF and CAP_PERFMON in any case: {}",
                self.unprivileged_bpf_disabled.unwrap_or(2),
                self.privilege()
            ),
            Need::Memory => match self.ptrace_scope {
                Some(3) => {
                    "kernel.yama.ptrace_scope is 3: nobody may read another process's memory until the next boot"
                        .to_owned()
                }
                Some(scope) if scope > 0 => format!(
                    "kernel.yama.ptrace_scope is {scope} (Yama): run with sudo, or `sudo sysctl kernel.yama.ptrace_scope=0`"
                ),
                _ => format!("the process is another user's, or hides its memory: {}", self.privilege()),
            },
        }
    }

    /// The rate that the kernel takes, and what to say if it is less than was asked for.
    pub fn allowed_rate(&self, asked: u64) -> (u64, Option<String>) {
        match self.max_sample_rate {
            Some(most) if most > 0 && asked > most => {
                // More than a timer can do is no advice.
                let allow = match asked {
                    ..=1_000_000 => format!("; `sudo sysctl kernel.perf_event_max_sample_rate={asked}` allows it"),
                    _ => String::new(),
                };
                let note = format!(
                    "rate lowered from {asked} to {most} Hz: kernel.perf_event_max_sample_rate is {most}{allow}"
                );
                (most, Some(note))
            }
            _ => (asked, None),
        }
    }

    /// What to type when the kernel will not lock the memory of a ring.
    pub fn ring_hint(&self) -> String {
        let limit = self.mlock_kib.map_or_else(|| "?".to_owned(), |kib| kib.to_string());
        format!(
            "kernel.perf_event_mlock_kb is {limit} (KiB per CPU and user): `sudo sysctl kernel.perf_event_mlock_kb=8192`, \
             or `ulimit -l unlimited`, or run with sudo"
        )
    }

    /// How many KiB a ring on each CPU may have; `None` without limit.
    ///
    /// The kernel lets a user lock `perf_event_mlock_kb` per CPU, and beyond that counts against the locked-memory
    /// limit; see `perf_mmap` in `kernel/events/core.c`.
    pub fn ring_limit_kib(&self) -> Option<u64> {
        if self.can(Capability::IpcLock) || self.level() < 0 {
            return None;
        }
        let cpus = self.online.as_slice().len().max(1) as u64;
        Some(self.mlock_kib.unwrap_or(0).saturating_add(self.locked_memory? / 1024 / cpus))
    }

    fn explain_ring(&self, pages: usize, source: io::Error) -> Error {
        Error::new(ErrorKind::Permission, format!("cannot map a ring of {pages} pages"))
            .with_source(source)
            .with_hint(self.ring_hint())
    }

    fn explain_files(&self, what: String, source: io::Error) -> Error {
        let limit =
            self.open_files.map_or_else(|| "reached".to_owned(), |(soft, hard)| format!("{soft} (hard: {hard})"));
        Error::new(ErrorKind::Io, format!("{what}: too many open files")).with_source(source).with_hint(format!(
            "the limit is {limit}: `ulimit -n {}`",
            self.open_files.map_or(65_536, |(_, hard)| hard)
        ))
    }

    /// The level, or the kernel's default where it cannot be read.
    fn level(&self) -> i32 {
        self.paranoid.unwrap_or(2)
    }

    fn level_text(&self, level: i32) -> String {
        let means = match level {
            4.. => "Ubuntu's level: no perf events at all without CAP_PERFMON",
            3 => "Debian's level: no perf events at all without CAP_PERFMON",
            2 => "own processes, without the kernel",
            1 => "own processes, no whole CPUs",
            _ => "whole CPUs, no raw tracepoints",
        };
        format!("kernel.perf_event_paranoid is {level} ({means})")
    }

    fn lower_level(&self, need: Need) -> String {
        let enough = match need {
            Need::OwnProcesses => 2,
            Need::KernelFrames => 1,
            Need::SystemWide => 0,
            _ => -1,
        };
        if self.paranoid.is_some_and(|level| level <= enough) {
            return format!("the kernel or a security module forbids it: {}", self.privilege());
        }
        format!("`sudo sysctl kernel.perf_event_paranoid={enough}`, or {}", self.privilege())
    }

    /// How to run with the capabilities that all of this takes; before Linux 5.8 there was only CAP_SYS_ADMIN.
    fn privilege(&self) -> String {
        let names = if self.kernel >= (5, 8) {
            "cap_perfmon,cap_bpf,cap_sys_ptrace,cap_syslog"
        } else {
            "cap_sys_admin,cap_sys_ptrace,cap_syslog"
        };
        format!("run with sudo, or once `sudo setcap {names}+ep $(command -v profile)`")
    }

    fn seccomp_hint(&self) -> String {
        "a seccomp filter (a container's?) forbids perf_event_open: start the container with `--cap-add PERFMON`, or with \
         `--security-opt seccomp=unconfined` or a profile that allows perf_event_open"
            .to_owned()
    }

    /// What to type when `/proc` hides processes.
    pub fn hidepid_hint(&self) -> String {
        format!(
            "/proc is mounted with hidepid={}, which hides other users' processes: run with sudo, or \
             `sudo mount -o remount,hidepid=0 /proc`",
            self.hidepid.as_deref().unwrap_or("?")
        )
    }
}

#[cfg(test)]
mod tests;
