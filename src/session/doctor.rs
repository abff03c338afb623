//! What this machine and this user allow, found by trying; and what to type to be allowed more.
//!
//! Each ability is tried as a recording would use it; the hints are those of the errors that a recording would give.

use std::io;

use crate::sampler::choose::{Side, Wish, choose_default};
use crate::sampler::event::EventKind;
use crate::sampler::facts::{Capability, Facts};
use crate::sampler::permission::{Attempt, Need};
use crate::sampler::pmu::Sources;
use crate::sampler::probe::{self, Tried};
use crate::sampler::sys::{Linux, OpenEvent, Scope};

/// Whether something can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Yes,
    /// Less than all of it can.
    Partly,
    /// It cannot.
    No,
}

/// Something that a recording may want to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// What it is.
    pub name: &'static str,
    /// Whether it can be done here, by this user.
    pub verdict: Verdict,
    /// How that was found, or what stands in the way.
    pub why: String,
    /// What to type to be allowed (more of) it.
    pub fix: Option<String>,
}

/// The oldest kernel that our BPF programs load on.
const BPF_KERNEL: (u32, u32) = (6, 1);

/// A ring below this loses samples with stack copies at ordinary rates.
const SMALL_RING_KIB: u64 = 512;

/// The highest rate that is ordinarily asked for, in Hz.
const ORDINARY_RATE: u64 = 999;

/// How many processes of others are tried before all count as refused: some refuse even root.
const OTHERS_TRIED: usize = 16;

/// Tries what a recording would do on this machine as this user, and closes all again.
///
/// ```
/// for ability in flameprofile::session::doctor::doctor() {
///     println!("{}: {:?}", ability.name, ability.verdict);
/// }
/// ```
pub fn doctor() -> Vec<Ability> {
    let mut abilities = examine(&Linux, &Sources::default(), &Facts::read());
    abilities.iter_mut().filter(|ability| ability.name == "BPF").for_each(try_bpf);
    abilities
}

/// The same with a kernel and facts of the caller's.
pub fn examine(open: &impl OpenEvent, sources: &Sources, facts: &Facts) -> Vec<Ability> {
    vec![
        own_processes(open, facts),
        other_processes(open, facts),
        other_memory(facts),
        system_wide(open, facts),
        kernel_frames(open, facts),
        kernel_names(facts),
        cycles(open, sources, facts),
        tracepoints(open, sources, facts),
        bpf(facts),
        stack_copies(open, facts),
        rings(facts),
        rate(facts),
    ]
}

fn own_processes(open: &impl OpenEvent, facts: &Facts) -> Ability {
    let name = "own processes";
    match probe::clock(open, Scope::Task(0), Tried::User) {
        Ok(()) => yes(name, "a timer opens on this process"),
        Err(refusal) => refused(name, facts, Attempt::Task(facts.own_process), refusal),
    }
}

fn other_processes(open: &impl OpenEvent, facts: &Facts) -> Ability {
    let name = "other users' processes";
    let others = facts.processes_of_others(OTHERS_TRIED);
    let mut first = None;
    for process in &others {
        match probe::clock(open, Scope::Task(*process), Tried::User) {
            Ok(()) => return yes(name, format!("a timer opens on process {process}")),
            // It has ended meanwhile.
            Err(refusal) if refusal.raw_os_error() == Some(libc::ESRCH) => {}
            Err(refusal) => first = first.or(Some((*process, refusal))),
        }
    }
    match first {
        None if facts.hidepid.is_some() => Ability {
            name,
            verdict: if facts.can(Capability::Perfmon) { Verdict::Partly } else { Verdict::No },
            why: "/proc hides them".to_owned(),
            fix: Some(facts.hidepid_hint()),
        },
        Some((process, refusal)) => refused(name, facts, Attempt::Task(process), refusal),
        None if facts.can(Capability::Perfmon) => yes(name, "CAP_PERFMON allows it (there is none to try it on)"),
        None => no(name, "CAP_PERFMON is missing (there is none to try it on)", facts.remedy(Need::OtherProcesses)),
    }
}

/// Their memory, and their files by the root that they see: both by the same right.
fn other_memory(facts: &Facts) -> Ability {
    let name = "other users' files";
    let mut first = None;
    for process in facts.processes_of_others(OTHERS_TRIED) {
        match facts.open_memory(process) {
            Ok(()) => {
                let kept = "CAP_SYS_PTRACE is kept while recording, for processes that start later";
                return yes(name, format!("the memory and the root of process {process} open; {kept}"));
            }
            Err(refusal) if matches!(refusal.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) => {}
            Err(refusal) => first = first.or(Some((process, refusal))),
        }
    }
    match first {
        None if facts.can(Capability::SysPtrace) => yes(name, "CAP_SYS_PTRACE allows it (there is none to try it on)"),
        None => no(name, "CAP_SYS_PTRACE is missing (there is none to try it on)", facts.remedy(Need::Memory)),
        Some((process, refusal)) => {
            let lost = "files that only they see have no names, threads that wait already no stacks";
            let refused = refused(name, facts, Attempt::Memory(process), refusal);
            Ability { verdict: Verdict::Partly, why: format!("process {process}: {}: {lost}", refused.why), ..refused }
        }
    }
}

fn system_wide(open: &impl OpenEvent, facts: &Facts) -> Ability {
    let name = "system-wide";
    let cpu = facts.online.as_slice().first().copied().unwrap_or(0);
    match probe::clock(open, Scope::Cpu(cpu), Tried::UserAndKernel) {
        Ok(()) => yes(name, format!("a timer opens on all of CPU {cpu}")),
        Err(refusal) => match probe::clock(open, Scope::Cpu(cpu), Tried::User) {
            Ok(()) => {
                let ability = refused(name, facts, Attempt::TaskKernel(facts.own_process), refusal);
                Ability { verdict: Verdict::Partly, why: "user mode only".to_owned(), ..ability }
            }
            Err(refusal) => refused(name, facts, Attempt::Cpu(cpu), refusal),
        },
    }
}

fn kernel_frames(open: &impl OpenEvent, facts: &Facts) -> Ability {
    let name = "kernel frames";
    match probe::clock(open, Scope::Task(0), Tried::UserAndKernel) {
        Ok(()) => yes(name, "a timer opens with the kernel's side"),
        Err(refusal) => refused(name, facts, Attempt::TaskKernel(facts.own_process), refusal),
    }
}

fn kernel_names(facts: &Facts) -> Ability {
    let name = "kernel names";
    if facts.kernel_names {
        return yes(name, "/proc/kallsyms shows addresses");
    }
    no(name, "/proc/kallsyms shows no addresses to this user", facts.remedy(Need::KernelNames))
}

fn cycles(open: &impl OpenEvent, sources: &Sources, facts: &Facts) -> Ability {
    let name = "PMU (cycles)";
    let wish = Wish { scope: Scope::Task(0), cpus: None, side: Side::Both, sampling: None };
    match choose_default(open, sources, facts, &wish) {
        Ok(choice) if choice.spec.kind == EventKind::Hardware => {
            let side = if choice.exclude_kernel { ", user mode only" } else { "" };
            let count = choice.spec.attrs.len();
            let types = if count > 1 { format!(", {count} core types") } else { String::new() };
            yes(name, format!("cycles open with precision {}{types}{side}", choice.precise))
        }
        Ok(choice) => {
            let why = choice.notes.first().cloned().unwrap_or_default();
            no(name, why, "cpu-clock does its work; a virtual machine can be given a virtual PMU by its host")
        }
        Err(error) => Ability {
            name,
            verdict: Verdict::No,
            why: "no event opens, so it was not found".to_owned(),
            fix: error.hint().map(str::to_owned),
        },
    }
}

fn tracepoints(open: &impl OpenEvent, sources: &Sources, facts: &Facts) -> Ability {
    let name = "tracepoints";
    match probe::tracepoint(open, sources) {
        Ok(Ok(())) => yes(name, "sched:sched_switch opens"),
        Ok(Err(refusal)) => refused(name, facts, Attempt::TaskTracepoint(facts.own_process), refusal),
        Err(error) => {
            Ability { name, verdict: Verdict::No, why: error.to_string(), fix: error.hint().map(str::to_owned) }
        }
    }
}

/// Loads all programs, and says what came of it.
#[cfg(feature = "bpf")]
fn try_bpf(ability: &mut Ability) {
    use crate::sampler::bpf::{Bpf, Programs, Request};
    let programs = Programs { on_cpu: true, off_cpu: true };
    match Bpf::load(&Request { programs, wakers: true, ..Request::default() }) {
        Ok(bpf) => {
            let verified: u32 = bpf.programs().values().map(|program| program.verified).sum();
            let why = format!(
                "{} programs load ({verified} instructions verified); CAP_BPF is kept while recording, for new tables",
                bpf.programs().len()
            );
            *ability = yes(ability.name, why);
        }
        // The facts say better what is missing, if anything is.
        Err(error) if ability.verdict == Verdict::Yes => {
            let mut why = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                why = format!("{why}: {source}");
            }
            let fix = error.hint().map_or("all else works without BPF", |hint| hint).to_owned();
            *ability = Ability { name: ability.name, verdict: Verdict::No, why, fix: Some(fix) };
        }
        Err(_) => {}
    }
}

#[cfg(not(feature = "bpf"))]
fn try_bpf(ability: &mut Ability) {
    *ability = no(ability.name, "this program was built without it", "build it with the feature `bpf`");
}

/// What is there for BPF; [`doctor`] tries it besides.
fn bpf(facts: &Facts) -> Ability {
    let name = "BPF";
    let allowed = facts.can(Capability::Bpf) && facts.can(Capability::Perfmon);
    if facts.kernel < BPF_KERNEL {
        let (major, minor) = facts.kernel;
        return no(
            name,
            format!("the kernel is {major}.{minor}"),
            "Linux 6.1 or later is needed; all else works without",
        );
    }
    if facts.lockdown.as_deref() == Some("confidentiality") {
        let fix = "boot without lockdown=confidentiality; all else works without BPF";
        return no(name, "kernel lockdown forbids programs that read memory", fix);
    }
    if !facts.btf {
        return no(name, "the kernel does not describe its types", facts.remedy(Need::Bpf));
    }
    match allowed {
        true => yes(name, "CAP_BPF, CAP_PERFMON and BTF are there (no program was loaded)"),
        false => {
            let needed = [(Capability::Bpf, "CAP_BPF"), (Capability::Perfmon, "CAP_PERFMON")];
            let missing: Vec<_> =
                needed.into_iter().filter(|(need, _)| !facts.can(*need)).map(|(_, name)| name).collect();
            let verb = if missing.len() == 1 { "is" } else { "are" };
            no(name, format!("{} {verb} missing", missing.join(" and ")), facts.remedy(Need::Bpf))
        }
    }
}

fn stack_copies(open: &impl OpenEvent, facts: &Facts) -> Ability {
    let name = "stack copies";
    match probe::clock(open, Scope::Task(0), Tried::StackCopy) {
        Ok(()) => yes(name, "a timer opens with registers and 65,528 bytes of stack"),
        Err(refusal) => refused(name, facts, Attempt::Task(facts.own_process), refusal),
    }
}

fn rings(facts: &Facts) -> Ability {
    let name = "rings";
    match facts.ring_limit_kib() {
        None => yes(name, "no limit on locked memory"),
        Some(limit) if limit >= SMALL_RING_KIB => yes(name, format!("up to {limit} KiB for each CPU")),
        Some(limit) => Ability {
            name,
            verdict: Verdict::Partly,
            why: format!("only {limit} KiB for each CPU: samples may be lost"),
            fix: Some(facts.ring_hint()),
        },
    }
}

fn rate(facts: &Facts) -> Ability {
    let name = "sample rate";
    match facts.max_sample_rate {
        None => yes(name, "no limit is known"),
        Some(most) if most >= ORDINARY_RATE => yes(name, format!("up to {most} Hz")),
        Some(most) => Ability {
            name,
            verdict: Verdict::Partly,
            why: format!("only up to {most} Hz (the kernel lowers it when sampling takes too long)"),
            fix: Some("`sudo sysctl kernel.perf_event_max_sample_rate=100000`".to_owned()),
        },
    }
}

fn yes(name: &'static str, why: impl Into<String>) -> Ability {
    Ability { name, verdict: Verdict::Yes, why: why.into(), fix: None }
}

fn no(name: &'static str, why: impl Into<String>, fix: impl Into<String>) -> Ability {
    Ability { name, verdict: Verdict::No, why: why.into(), fix: Some(fix.into()) }
}

fn refused(name: &'static str, facts: &Facts, attempt: Attempt, refusal: io::Error) -> Ability {
    let why = match refusal.raw_os_error() {
        Some(1) => "permission denied (EPERM)".to_owned(),
        Some(13) => "permission denied (EACCES)".to_owned(),
        _ => refusal.to_string(),
    };
    let fix = facts.explain(attempt, refusal).hint().map(str::to_owned);
    Ability { name, verdict: Verdict::No, why, fix }
}
