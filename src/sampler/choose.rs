//! Which event this kernel really opens: by trying, and by what it answers.
//!
//! ```text
//! cycles, precise 3 -- EOPNOTSUPP, EINVAL, ENOENT --> 2 --> 1 --> 0
//!   any level       -- EACCES, EPERM --> the same without the kernel's side, and said
//!   level 0         -- ENOENT, ENODEV, ENXIO, EOPNOTSUPP, EINVAL, EBUSY --> cpu-clock, and said
//! ```
//! A user without permission hears EACCES before the kernel looks whether there is a PMU, so the second arrow comes
//! before the third. An event that was named is never replaced by another.
//!
//! What is tried is a plain event that every kernel since 4.18 knows; a refusal is thus never about a newer attribute.
//! Those are added, and peeled off where the kernel is too old, once this choice is made (see `peel`).
//!
//! Precision is believed only of a PMU that says it has it: timers and ARM's PMUs accept `precise_ip` and do nothing.
//! On AMD the kernel hands precise cycles to IBS, which takes levels 1 and 2, and no exclusion of a side
//! (`forward_event_to_ibs` in `arch/x86/events/amd/ibs.c`; before Linux 6.2 on whole CPUs only), and answers ENOENT or
//! EINVAL otherwise.

use std::io;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::perf::{AttrFlags, EventAttr, SampleFields, Sampling};

use super::cpus::CpuList;
use super::event::{DefaultSampling, EventKind, EventSpec, Precise, with_precise};
use super::facts::Facts;
use super::names;
use super::permission::{Attempt, Need};
use super::pmu::{Pmu, Sources};
use super::sys::{OpenEvent, Scope};

/// Which side of the system calls is sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// User and kernel; user alone where the kernel is not permitted.
    #[default]
    Both,
    /// User mode only.
    User,
    /// Kernel mode only.
    Kernel,
}

/// What the event is wanted for.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// What to try it on; the CPU is replaced by another where a core type has others.
    pub scope: Scope<'a>,
    /// The CPUs that may be used, if not all.
    pub cpus: Option<&'a CpuList>,
    /// Which side is to be sampled.
    pub side: Side,
    /// The rate or period, if the user gave one; not above `kernel.perf_event_max_sample_rate`.
    pub sampling: Option<Sampling>,
}

/// An event that the kernel opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The event, its attributes complete but for what samples carry: `precise_ip`, exclusions and sampling are set.
    pub spec: EventSpec,
    /// Whether the kernel's side is left out because it is not permitted.
    pub exclude_kernel: bool,
    /// The precision that samples really have (the least over all core types).
    pub precise: u8,
    /// What is other than asked for, in words for the user.
    pub notes: Vec<String>,
}

/// Rate of the events that are opened to try, where the user gave none.
const TRIED_RATE: u64 = 99;

/// Chooses the event to sample where the user named none: cycles as precisely as they can be had, else the CPU clock.
///
/// # Errors
/// `Permission` with what to type, if neither opens for want of it; `NotFound` if the target is gone.
pub fn choose_default(open: &impl OpenEvent, sources: &Sources, facts: &Facts, wish: &Wish<'_>) -> Result<Choice> {
    let chooser = Chooser { open, sources, facts, wish };
    let cycles = EventSpec::cycles(sources);
    let refusal = match chooser.settle(&cycles) {
        Ok(choice) => return Ok(choice),
        Err(refusal) if is_absent(&refusal) => refusal,
        Err(refusal) => return Err(chooser.explain(&cycles, refusal)),
    };
    let clock = EventSpec::cpu_clock();
    let mut choice = chooser.settle(&clock).map_err(|refusal| chooser.explain(&clock, refusal))?;
    let name = Errno::from_io_error(&refusal).map_or("refused", errno_name);
    choice.notes.insert(0, format!("no hardware counter for cycles here ({name}): sampling by cpu-clock"));
    Ok(choice)
}

/// Tries the event that the user named.
///
/// # Errors
/// `Unsupported` where this machine cannot count it, `Permission` with what to type, `NotFound` if the target is gone.
pub fn choose(
    open: &impl OpenEvent,
    spec: &EventSpec,
    sources: &Sources,
    facts: &Facts,
    wish: &Wish<'_>,
) -> Result<Choice> {
    let chooser = Chooser { open, sources, facts, wish };
    chooser.settle(spec).map_err(|refusal| match is_absent(&refusal) {
        true => chooser.unsupported(spec, refusal),
        false => chooser.explain(spec, refusal),
    })
}

struct Chooser<'a, O> {
    open: &'a O,
    sources: &'a Sources,
    facts: &'a Facts,
    wish: &'a Wish<'a>,
}

impl<O: OpenEvent> Chooser<'_, O> {
    /// Opens all attributes of an event, without the kernel's side if that is what it takes.
    fn settle(&self, spec: &EventSpec) -> io::Result<Choice> {
        let excluded = spec.attrs.iter().all(|(attr, _)| attr.flags.has(AttrFlags::EXCLUDE_KERNEL));
        let can_do_without = self.wish.side == Side::Both && !excluded && !spec.is_kernel_only();
        match self.open_all(spec, AttrFlags(0)) {
            Err(refusal) if is_permission(&refusal) && can_do_without => {
                let mut choice = self.open_all(spec, AttrFlags::EXCLUDE_KERNEL)?;
                choice.exclude_kernel = true;
                let why = if self.facts.filtered(&refusal, Need::KernelFrames) {
                    "a seccomp filter forbids it".to_owned()
                } else {
                    self.facts.paranoid.map_or_else(
                        || "not permitted".to_owned(),
                        |level| format!("kernel.perf_event_paranoid is {level}"),
                    )
                };
                choice.notes.push(format!("no kernel side ({why}): user mode only"));
                Ok(choice)
            }
            other => other,
        }
    }

    fn open_all(&self, spec: &EventSpec, exclude: AttrFlags) -> io::Result<Choice> {
        let mut chosen = EventSpec { attrs: Vec::new(), ..spec.clone() };
        let mut notes = Vec::new();
        let mut precise = u8::MAX;
        let mut absent = None;
        for (attr, cpus) in &spec.attrs {
            let Some(scope) = self.scope_on(cpus.as_ref()) else { continue };
            let attr = self.prepare(attr, spec.default_sampling, exclude);
            match self.open_most_precise(spec, &attr, scope) {
                Ok((attr, level)) => {
                    precise = precise.min(level);
                    chosen.attrs.push((attr, cpus.clone()));
                }
                // The cores of one type may be offline, or unknown to the kernel.
                Err(refusal) if is_absent(&refusal) => {
                    if let Some(cpus) = cpus {
                        notes.push(format!("event {} is not sampled on CPUs {cpus}: {refusal}", spec.name));
                    }
                    absent = Some(refusal);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        if chosen.attrs.is_empty() {
            return Err(absent.unwrap_or_else(|| Errno::NODEV.into()));
        }
        if let Precise::Level(level) = spec.precise
            && level > precise
        {
            notes.push(format!("event {}: this PMU does not say that it is precise; addresses may be late", spec.name));
        }
        Ok(Choice { spec: chosen, exclude_kernel: false, precise, notes })
    }

    /// The scope to try an attribute on; `None` where none of its CPUs may be used.
    fn scope_on(&self, cpus: Option<&CpuList>) -> Option<Scope<'_>> {
        let pick = |cpu: u32| {
            let usable = match (cpus, self.wish.cpus) {
                (None, None) => return Some(cpu),
                (Some(list), None) | (None, Some(list)) => list.clone(),
                (Some(list), Some(other)) => list.intersection(other),
            };
            if usable.contains(cpu) { Some(cpu) } else { usable.as_slice().first().copied() }
        };
        Some(match self.wish.scope {
            Scope::Task(task) => Scope::Task(task),
            Scope::TaskOnCpu(task, cpu) => Scope::TaskOnCpu(task, pick(cpu)?),
            Scope::Cpu(cpu) => Scope::Cpu(pick(cpu)?),
            Scope::Cgroup(directory, cpu) => Scope::Cgroup(directory, pick(cpu)?),
        })
    }

    fn prepare(&self, attr: &EventAttr, default: DefaultSampling, exclude: AttrFlags) -> EventAttr {
        let side = match self.wish.side {
            Side::Both => AttrFlags(0),
            Side::User => AttrFlags::EXCLUDE_KERNEL.with(AttrFlags::EXCLUDE_HV),
            Side::Kernel => AttrFlags::EXCLUDE_USER,
        };
        let sampling = self.wish.sampling.unwrap_or(match default {
            DefaultSampling::Rate => Sampling::Frequency(TRIED_RATE),
            DefaultSampling::Every(events) => Sampling::Period(events),
            DefaultSampling::Each => Sampling::Period(1),
            DefaultSampling::Never => Sampling::Count,
        });
        EventAttr { sampling, flags: attr.flags.with(side).with(exclude), ..attr.clone() }
    }

    /// Opens one attribute at the highest level of precision that is wanted; gives the level that can be believed.
    fn open_most_precise(&self, spec: &EventSpec, attr: &EventAttr, scope: Scope<'_>) -> io::Result<(EventAttr, u8)> {
        let believed = if spec.kind == EventKind::Hardware { self.most_precise(attr) } else { 0 };
        let (first, last) = match spec.precise {
            Precise::Highest => (believed, 0),
            Precise::Level(level) => (level, level),
        };
        let mut refusal = None;
        for level in (last..=first).rev() {
            let attr = with_precise(attr, level);
            match self.try_open(&attr, scope) {
                Ok(()) => return Ok((attr, level.min(believed))),
                Err(error) if is_absent(&error) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| Errno::INVAL.into()))
    }

    /// The highest level that the attribute's PMU says it takes.
    fn most_precise(&self, attr: &EventAttr) -> u8 {
        let kind = match (attr.kind, (attr.config >> 32) as u32) {
            (names::HARDWARE | names::HW_CACHE, 0) | (names::RAW, _) => None,
            (names::HARDWARE | names::HW_CACHE, kind) => Some(kind),
            (kind, _) => Some(kind),
        };
        let pmus = self.sources.core_pmus();
        let pmu = pmus.iter().find(|pmu| kind.is_none_or(|kind| pmu.kind == kind));
        match pmu.and_then(Pmu::max_precise) {
            // AMD: `cycles`, and the raw events of cycles and of micro-operations, may go to IBS.
            Some(0) if self.sources.pmu("ibs_op").is_some() => match (attr.kind, attr.config) {
                (names::HARDWARE, 0) | (names::RAW, 0x76 | 0xc1) => 2,
                _ => 0,
            },
            level => level.unwrap_or(0).min(3),
        }
    }

    fn try_open(&self, attr: &EventAttr, scope: Scope<'_>) -> io::Result<()> {
        let fields = SampleFields::IP.with(SampleFields::TID).with(SampleFields::TIME);
        let flags = attr.flags.with(AttrFlags::DISABLED);
        self.open.open(&EventAttr { sample_fields: fields, flags, ..attr.clone() }, scope).map(drop)
    }

    fn unsupported(&self, spec: &EventSpec, refusal: io::Error) -> Error {
        let name = &spec.name;
        let on_tasks = matches!(self.wish.scope, Scope::Task(_) | Scope::TaskOnCpu(..));
        let pmus = self.sources.pmus();
        let beside_cores =
            |attr: &EventAttr| attr.kind > names::RAW && !pmus.iter().any(|pmu| pmu.core && pmu.kind == attr.kind);
        let hint = if let (Precise::Level(1..), true) =
            (spec.precise, errno_is(&refusal, &[Errno::OPNOTSUPP, Errno::INVAL, Errno::NOENT]))
        {
            "the PMU may not be this precise, or not with this side left out: try P in place of p, or leave it out"
        } else if on_tasks && spec.attrs.iter().any(|(attr, _)| beside_cores(attr)) {
            "its PMU is not part of the cores and may count whole CPUs only: try with -a"
        } else if spec.kind == EventKind::Hardware && self.sources.core_pmus().is_empty() {
            "this machine (a virtual one?) has no PMU: use `-e cpu-clock`, or give the guest a virtual PMU"
        } else if spec.kind == EventKind::Hardware {
            "the PMU does not count it: `-e cycles` or `-e cpu-clock` may do"
        } else {
            "this kernel does not have it: use `-e cpu-clock`"
        };
        Error::new(ErrorKind::Unsupported, format!("event {name} cannot be sampled here"))
            .with_source(refusal)
            .with_hint(hint)
    }

    fn explain(&self, spec: &EventSpec, refusal: io::Error) -> Error {
        if errno_is(&refusal, &[Errno::NOSYS]) {
            return Error::new(ErrorKind::Unsupported, "this kernel has no perf events")
                .with_source(refusal)
                .with_hint("it must be built with CONFIG_PERF_EVENTS=y");
        }
        let attempt = match self.wish.scope {
            Scope::Task(task) | Scope::TaskOnCpu(task, _) => match spec.kind {
                EventKind::Tracepoint => Attempt::TaskTracepoint(task),
                _ if spec.is_kernel_only() || self.wish.side == Side::Kernel => Attempt::TaskKernel(task),
                _ => Attempt::Task(task),
            },
            Scope::Cpu(cpu) | Scope::Cgroup(_, cpu) => Attempt::Cpu(cpu),
        };
        let cause = io::Error::new(refusal.kind(), format!("perf_event_open of {} failed: {refusal}", spec.name));
        self.facts.explain(attempt, refusal).with_source(cause)
    }
}

fn errno_is(error: &io::Error, list: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| list.contains(&errno))
}

fn is_permission(error: &io::Error) -> bool {
    errno_is(error, &[Errno::ACCESS, Errno::PERM])
}

/// Whether the machine cannot do it, as opposed to: not for us, not now, not on this target.
fn is_absent(error: &io::Error) -> bool {
    errno_is(error, &[Errno::NOENT, Errno::NODEV, Errno::NXIO, Errno::OPNOTSUPP, Errno::INVAL, Errno::BUSY])
}

fn errno_name(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => "ENOENT",
        Errno::NODEV => "ENODEV",
        Errno::NXIO => "ENXIO",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::INVAL => "EINVAL",
        Errno::BUSY => "EBUSY",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests;
