//! Which event is sampled: what `-e NAME[:modifiers]` means on this machine.
//!
//! Only files are read here; whether the kernel opens the event is for `choose` to find out.
//!
//! ```text
//! cpu-clock   cycles:P   L1-dcache-load-misses:u   r01c2   cpu/event=0x3c,umask=0x1/pp   sched:sched_switch
//! ```

use crate::error::{Error, ErrorKind, Result};
use crate::model::Unit;
use crate::perf::{AttrFlags, EventAttr};

use super::cpus::CpuList;
use super::names;
use super::pmu::{Pmu, Sources, is_plain, names_in, read_text};

/// How many page faults a sample stands for: a program that starts has hundreds, a busy one a million a second.
const FAULTS: u64 = 32;

/// Where `attr.config` of a generic hardware event carries the PMU (`PERF_PMU_TYPE_SHIFT`, Linux 5.13).
const PMU_SHIFT: u32 = 32;

/// What sort of event it is, as far as sampling differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A timer: `cpu-clock`, `task-clock`. The period is in nanoseconds.
    Clock,
    /// Counted by a PMU.
    Hardware,
    /// Counted by the kernel.
    Software,
    /// A tracepoint of the kernel.
    Tracepoint,
}

/// When samples are taken if the user does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultSampling {
    /// So often a second: for events that happen too often to take each.
    Rate,
    /// At every so many events. The kernel's own adjustment of a rate weighs samples of software events wrongly: while it
    /// looks for a period, the next one is what a sample is said to stand for (measured: page faults 5.7-fold).
    Every(u64),
    /// At each event: the period is 1. Such events are opened per task, or filtered in the kernel, never host-wide.
    Each,
    /// The event never happens by itself (`dummy`).
    Never,
}

/// How exactly the instruction that caused a sample is to be known: `precise_ip` of `perf_event_open(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precise {
    /// As exactly as the PMU can: the highest level that opens, down to 0.
    Highest,
    /// Exactly this level (0 to 3); the event fails where it cannot be had.
    Level(u8),
}

/// An event that can be asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSpec {
    /// Its name, as the user wrote it.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// What sort of event it is.
    pub kind: EventKind,
    /// The attributes to open, with the CPUs that each is for (`None`: all): one, or one per core type on hybrid
    /// machines. Of the flags only those that the modifiers ask for are set, and `sampling` is not set.
    pub attrs: Vec<(EventAttr, Option<CpuList>)>,
    /// When samples are taken if the user does not say.
    pub default_sampling: DefaultSampling,
    /// How exact the samples' addresses are to be.
    pub precise: Precise,
}

impl EventSpec {
    /// Reads what the user wrote after `-e`.
    ///
    /// # Errors
    /// `Usage` for a name, term or modifier that is not known, with what lies near it as a hint; for tracepoints also
    /// `Permission` or `Unsupported` where tracefs cannot be read.
    pub fn parse(text: &str, sources: &Sources) -> Result<EventSpec> {
        let text = text.trim();
        if text.is_empty() {
            return Err(usage("no event is named").with_hint("for example: -e cpu-clock, -e cycles:u"));
        }
        let (mut spec, modifiers) = match split_pmu(text) {
            Some((pmu, terms, modifiers)) => (of_pmu(text, pmu, terms, sources)?, modifiers),
            None => {
                let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
                match (by_name(name, sources)?, rest) {
                    (Some(spec), rest) => (spec, rest.unwrap_or("")),
                    (None, Some(rest)) => {
                        let (event, modifiers) = rest.split_once(':').unwrap_or((rest, ""));
                        (tracepoint(name, event, sources)?, modifiers)
                    }
                    (None, None) => return Err(unknown(name, sources)),
                }
            }
        };
        spec.name = text.to_owned();
        spec.modify(modifiers)?;
        Ok(spec)
    }

    /// The event that is sampled when none is named and the machine has a PMU: `cycles:P`.
    ///
    /// The kernel says when it is opened whether there is a PMU that counts it; see [`crate::sampler::choose`].
    pub fn cycles(sources: &Sources) -> EventSpec {
        let mut spec = hardware("cycles", sources).expect("`cycles` is in the table of names");
        spec.precise = Precise::Highest;
        spec
    }

    /// The event that every kernel has: a timer on each CPU.
    pub fn cpu_clock() -> EventSpec {
        software("cpu-clock").expect("`cpu-clock` is in the table of names")
    }

    fn new(name: &str, kind: EventKind, attrs: Vec<(EventAttr, Option<CpuList>)>) -> EventSpec {
        EventSpec {
            name: name.to_owned(),
            unit: if kind == EventKind::Clock { Unit::Nanoseconds } else { Unit::Count },
            kind,
            attrs,
            default_sampling: DefaultSampling::Rate,
            precise: Precise::Level(0),
        }
    }

    /// Whether the event happens in kernel mode only, so that without the kernel's side there is nothing to sample.
    ///
    /// The scheduler's software events are counted with the kernel's registers (`perf_sw_event_sched`).
    pub fn is_kernel_only(&self) -> bool {
        let scheduler = [names::CONTEXT_SWITCHES, names::CPU_MIGRATIONS, names::CGROUP_SWITCHES];
        match self.kind {
            EventKind::Tracepoint => true,
            EventKind::Software => self.attrs.iter().any(|(attr, _)| scheduler.contains(&attr.config)),
            EventKind::Clock | EventKind::Hardware => false,
        }
    }

    /// Applies the letters after the colon; each of `u`, `k`, `h` leaves in what it names and, if it is the first of
    /// them, takes out the others; `G` and `H` do the same with guests and the host.
    fn modify(&mut self, modifiers: &str) -> Result<()> {
        const SIDES: AttrFlags = AttrFlags::EXCLUDE_USER.with(AttrFlags::EXCLUDE_KERNEL).with(AttrFlags::EXCLUDE_HV);
        const MACHINES: AttrFlags = AttrFlags::EXCLUDE_HOST.with(AttrFlags::EXCLUDE_GUEST);
        let (mut sides, mut machines, mut idle, mut level) = (None, None, AttrFlags(0), 0);
        let keep =
            |all: AttrFlags, flags: &mut Option<AttrFlags>, kept| *flags = Some(flags.unwrap_or(all).without(kept));
        for letter in modifiers.chars() {
            match letter {
                'u' => keep(SIDES, &mut sides, AttrFlags::EXCLUDE_USER),
                'k' => keep(SIDES, &mut sides, AttrFlags::EXCLUDE_KERNEL),
                'h' => keep(SIDES, &mut sides, AttrFlags::EXCLUDE_HV),
                'G' => keep(MACHINES, &mut machines, AttrFlags::EXCLUDE_GUEST),
                'H' => keep(MACHINES, &mut machines, AttrFlags::EXCLUDE_HOST),
                'I' => idle = AttrFlags::EXCLUDE_IDLE,
                'p' if level < 3 => level += 1,
                'p' => return Err(usage(format!("event {:?} asks for a precision above 3", self.name))),
                'P' => self.precise = Precise::Highest,
                _ => {
                    return Err(usage(format!("event {:?} has an unknown modifier {letter:?}", self.name)).with_hint(
                        "modifiers are: u user, k kernel, h hypervisor, p pp ppp P precise, G guest, H host, I not idle",
                    ));
                }
            }
        }
        if level > 0 && self.precise != Precise::Highest {
            self.precise = Precise::Level(level);
        }
        // Software PMUs take `precise_ip` and do nothing with it: cpu-clock:ppp opens and is no more exact.
        if level > 0 && self.kind != EventKind::Hardware {
            return Err(usage(format!("event {:?} cannot be precise: no PMU counts it", self.name))
                .with_hint("leave out the p"));
        }
        for (attr, _) in &mut self.attrs {
            for flags in [sides, machines, Some(idle)].into_iter().flatten() {
                attr.flags = attr.flags.with(flags);
            }
        }
        Ok(())
    }
}

/// Splits `PMU/terms/modifiers`.
fn split_pmu(text: &str) -> Option<(&str, &str, &str)> {
    let (pmu, rest) = text.split_once('/')?;
    let (terms, modifiers) = rest.rsplit_once('/').unwrap_or((rest, ""));
    Some((pmu, terms, modifiers.strip_prefix(':').unwrap_or(modifiers)))
}

fn of_pmu(text: &str, name: &str, terms: &str, sources: &Sources) -> Result<EventSpec> {
    let Some(pmu) = sources.pmu(name) else {
        let known: Vec<String> = sources.pmus().into_iter().map(|pmu| pmu.name).collect();
        let near = names::nearest(name, known.iter().cloned());
        let hint =
            if near.is_empty() { format!("the PMUs here are: {}", known.join(", ")) } else { did_you_mean(&near) };
        return Err(usage(format!("event {text:?} names a PMU that is not here: {name}")).with_hint(hint));
    };
    let attr = pmu.attr(terms)?;
    Ok(EventSpec::new(text, EventKind::Hardware, vec![(attr, pmu.cpus)]))
}

/// An event that has a name of its own: software, hardware, cache, raw, or named by a PMU.
fn by_name(name: &str, sources: &Sources) -> Result<Option<EventSpec>> {
    if let Some(spec) = software(name).or_else(|| hardware(name, sources)) {
        return Ok(Some(spec));
    }
    if let Some(attr) = names::cache(name) {
        return Ok(Some(EventSpec::new(name, EventKind::Hardware, per_core(&attr, &core_types(sources)))));
    }
    if let Some(config) = raw(name) {
        let cores = core_types(sources);
        let attr = |kind| EventAttr::counting(kind, config);
        let attrs = if cores.is_empty() {
            vec![(attr(names::RAW), None)]
        } else {
            cores.into_iter().map(|pmu| (attr(pmu.kind), pmu.cpus)).collect()
        };
        return Ok(Some(EventSpec::new(name, EventKind::Hardware, attrs)));
    }
    let mut pmus: Vec<Pmu> = sources.pmus().into_iter().filter(|pmu| pmu.has_event(name)).collect();
    if pmus.iter().any(|pmu| pmu.core) {
        pmus.retain(|pmu| pmu.core);
    }
    let attrs = pmus.into_iter().map(|pmu| Ok((pmu.attr(name)?, pmu.cpus))).collect::<Result<Vec<_>>>()?;
    Ok((!attrs.is_empty()).then(|| EventSpec::new(name, EventKind::Hardware, attrs)))
}

fn software(name: &str) -> Option<EventSpec> {
    let (attr, canonical) = names::software(name)?;
    let kind = match attr.config {
        names::CPU_CLOCK | names::TASK_CLOCK => EventKind::Clock,
        _ => EventKind::Software,
    };
    let mut spec = EventSpec::new(name, kind, vec![(attr, None)]);
    spec.default_sampling = match canonical {
        "cpu-clock" | "task-clock" => DefaultSampling::Rate,
        "page-faults" | "minor-faults" => DefaultSampling::Every(FAULTS),
        "dummy" => DefaultSampling::Never,
        _ => DefaultSampling::Each,
    };
    Some(spec)
}

fn hardware(name: &str, sources: &Sources) -> Option<EventSpec> {
    let (attr, _, arm_name) = names::hardware(name)?;
    let cores = core_types(sources);
    // Before Linux 6.6 ARM PMUs know no extended type, but each names the architecture's events in sysfs.
    let own = |pmu: &Pmu| (pmu.name.starts_with("arm") && pmu.has_event(arm_name)).then(|| pmu.attr(arm_name).ok());
    let named: Option<Vec<_>> = cores.iter().map(|pmu| Some((own(pmu)??, pmu.cpus.clone()))).collect();
    let attrs = named.filter(|attrs| !attrs.is_empty()).unwrap_or_else(|| per_core(&attr, &cores));
    Some(EventSpec::new(name, EventKind::Hardware, attrs))
}

/// The core PMUs, if there are several types of core: else the kernel finds the one PMU by itself.
fn core_types(sources: &Sources) -> Vec<Pmu> {
    let cores = sources.core_pmus();
    if cores.len() > 1 { cores } else { Vec::new() }
}

/// A generic event for each type of core; `cores` is empty where there is one type only.
fn per_core(attr: &EventAttr, cores: &[Pmu]) -> Vec<(EventAttr, Option<CpuList>)> {
    if cores.is_empty() {
        return vec![(attr.clone(), None)];
    }
    let on = |pmu: &Pmu| EventAttr { config: attr.config | u64::from(pmu.kind) << PMU_SHIFT, ..attr.clone() };
    cores.iter().map(|pmu| (on(pmu), pmu.cpus.clone())).collect()
}

/// Reads `rNNN`, hexadecimal.
fn raw(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('r')?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

fn tracepoint(subsystem: &str, event: &str, sources: &Sources) -> Result<EventSpec> {
    let name = format!("{subsystem}:{event}");
    if !is_plain(subsystem) || !is_plain(event) {
        return Err(unknown(&name, sources));
    }
    let mut denied = None;
    let mut mounted = false;
    for root in &sources.tracefs {
        match read_text(&root.join("events").join(subsystem).join(event).join("id")) {
            Ok(id) => {
                let id = id.trim().parse().map_err(|_| {
                    Error::new(ErrorKind::Malformed, format!("the id of tracepoint {name} is not a number"))
                })?;
                let attr = EventAttr::counting(names::TRACEPOINT, id);
                let mut spec = EventSpec::new(&name, EventKind::Tracepoint, vec![(attr, None)]);
                spec.default_sampling = DefaultSampling::Each;
                return Ok(spec);
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => denied = Some(error),
            Err(_) => mounted |= root.join("events").is_dir(),
        }
    }
    if !mounted && !names::nearest(subsystem, names::all()).is_empty() {
        return Err(unknown(subsystem, sources));
    }
    match denied {
        // Names alone cannot be checked there, so an unknown event gets this answer too.
        Some(error) => Err(Error::new(ErrorKind::Permission, format!("cannot look up tracepoint {name}"))
            .with_source(error)
            .with_hint("tracefs can be read by root only: run with sudo, or `sudo mount -o remount,mode=755 /sys/kernel/tracing`")),
        None if mounted => Err(unknown(&name, sources)),
        None => Err(Error::new(ErrorKind::Unsupported, format!("cannot look up event {name}: tracefs is not mounted"))
            .with_hint(
                "tracepoints take it: `sudo mount -t tracefs tracefs /sys/kernel/tracing` (in a container, on the host)",
            )),
    }
}

/// The error for a name that nothing has, with what may have been meant.
fn unknown(name: &str, sources: &Sources) -> Error {
    let error = usage(format!("unknown event {name:?}"));
    let tracepoints = match name.split_once(':') {
        Some(_) => tracepoints_with(sources, |_, _| true),
        None => tracepoints_with(sources, |_, event| event == name),
    };
    let near = if name.contains(':') || tracepoints.is_empty() {
        let pmu_events = sources.pmus().into_iter().flat_map(|pmu| {
            let names = pmu.event_names();
            names.into_iter().flat_map(move |event| [format!("{}/{event}/", pmu.name), event])
        });
        names::nearest(name, names::all().into_iter().chain(pmu_events).chain(tracepoints))
    } else {
        tracepoints.into_iter().take(3).collect()
    };
    if near.is_empty() {
        return error
            .with_hint("events are named as `perf list` names them: cpu-clock, cycles:u, sched:sched_switch, ...");
    }
    error.with_hint(did_you_mean(&near))
}

fn tracepoints_with(sources: &Sources, wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for root in &sources.tracefs {
        for subsystem in names_in(&root.join("events")) {
            let events = names_in(&root.join("events").join(&subsystem));
            let wanted = events.into_iter().filter(|event| wanted(&subsystem, event));
            found.extend(wanted.map(|event| format!("{subsystem}:{event}")));
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

fn did_you_mean(near: &[String]) -> String {
    format!("did you mean {}?", near.join(", or "))
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

/// `attr` with `precise_ip` set to `level`.
pub(super) fn with_precise(attr: &EventAttr, level: u8) -> EventAttr {
    let mut attr = attr.clone();
    attr.flags = attr.flags.without(AttrFlags::PRECISE_1.with(AttrFlags::PRECISE_2));
    for (bit, flag) in [(1, AttrFlags::PRECISE_1), (2, AttrFlags::PRECISE_2)] {
        if level & bit != 0 {
            attr.flags = attr.flags.with(flag);
        }
    }
    attr
}

#[cfg(test)]
pub(super) mod tests;
