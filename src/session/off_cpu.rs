//! Time off the CPU: what is asked of it, and how it is recorded where no BPF program can be.
//!
//! ```text
//! permitted                                   recorded                                      what is lost
//! BPF programs (CAP_BPF, CAP_PERFMON)         waits, added up in the kernel                 nothing
//! the kernel's side of events                 a sample at each switch, SWITCH records       states, wakers; it costs more
//! one's own tasks                             SWITCH records                                stacks too
//! ```

use std::os::fd::AsFd;
use std::time::Duration;

use super::plan::{Plan, Subject};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Unit;
use crate::recorder::{RecordedEvent, WaitOptions};
use crate::sampler::choose::{Choice, Side, Wish, choose};
use crate::sampler::event::{DefaultSampling, EventKind, Precise};
use crate::sampler::facts::Facts;
use crate::sampler::sys::{Linux, Scope};
use crate::sampler::{CpuList, EventSpec, Sampling, Sources, Switches, Target};

/// What of the targets' time is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordedTime {
    /// Time on the CPU, or another event.
    #[default]
    OnCpu,
    /// Time off the CPU.
    OffCpu(OffCpuOptions),
    /// Both, in nanoseconds.
    Wall(OffCpuOptions),
}

impl RecordedTime {
    /// What is asked of time off the CPU, if that is recorded.
    pub fn off_cpu(&self) -> Option<&OffCpuOptions> {
        match self {
            RecordedTime::OnCpu => None,
            RecordedTime::OffCpu(options) | RecordedTime::Wall(options) => Some(options),
        }
    }
}

/// Which time off the CPU is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffCpuOptions {
    /// Shorter waits are left out.
    pub min_block: Duration,
    /// Longer waits are left out.
    pub max_block: Duration,
    /// Waits of these states only.
    pub states: States,
    /// Whether it is recorded who woke a thread.
    pub wakers: bool,
    /// Whether threads of the kernel are recorded where a target holds them.
    pub kernel_threads: bool,
}

impl Default for OffCpuOptions {
    fn default() -> OffCpuOptions {
        OffCpuOptions {
            min_block: Duration::ZERO,
            max_block: Duration::MAX,
            states: States::ALL,
            wakers: false,
            kernel_threads: false,
        }
    }
}

/// States of a task that is off the CPU: bits of `task_struct.__state` (`include/linux/sched.h`), and whether it could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States {
    /// Bits: 1 interruptible, 2 uninterruptible, 4 stopped, 8 traced, 0x40 parked.
    pub bits: u32,
    /// It could run, and waited for a CPU.
    pub runnable: bool,
}

impl States {
    /// All of them.
    pub const ALL: States = States { bits: 0xff, runnable: true };

    /// Reads letters as `ps(1)` has them: `S` sleeps, `D` waits for a disk or the like, `T` stopped, `t` traced, `P` parked, `R` could
    /// run; or a number of bits.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the letters that there are.
    pub fn parse(text: &str) -> Result<States> {
        let mut states = States { bits: 0, runnable: false };
        let number = text.strip_prefix("0x").map(|digits| u32::from_str_radix(digits, 16)).unwrap_or(text.parse());
        if let Ok(bits) = number {
            states = States { bits, runnable: bits == 0 };
        } else {
            for letter in text.chars().filter(|letter| *letter != ',') {
                match letter {
                    'R' => states.runnable = true,
                    'S' => states.bits |= 1,
                    'D' => states.bits |= 2,
                    'T' => states.bits |= 4,
                    't' => states.bits |= 8,
                    'P' => states.bits |= 0x40,
                    letter => {
                        return Err(Error::new(ErrorKind::Usage, format!("{letter} is no state of a task off the CPU"))
                            .with_hint(
                                "letters as ps(1) has them: S (sleeps), D (waits for a disk or the like), T (stopped), t (traced), \
                                 P (parked), R (could run); or a number of bits, as 3 for S and D",
                            ));
                    }
                }
            }
        }
        if states.bits & !States::ALL.bits != 0 || (states.bits == 0 && !states.runnable) {
            return Err(Error::new(ErrorKind::Usage, format!("{text} names no state of a task off the CPU"))
                .with_hint("for example: --state S, --state SD, --state R"));
        }
        Ok(states)
    }
}

/// The name of the event in which time on and off the CPU are together.
const WALL_CLOCK: &str = "wall-clock";

/// The events of a recording of time off the CPU, as the recorder has them; `samples` are also taken on the CPU with wall time.
pub(super) fn events(time: &RecordedTime) -> Option<Vec<RecordedEvent>> {
    let switches = |name: &str| RecordedEvent { is_switch: true, ..RecordedEvent::new(name, Unit::Nanoseconds, None) };
    match time {
        RecordedTime::OnCpu => None,
        RecordedTime::OffCpu(_) => Some(vec![switches(crate::recorder::OFF_CPU)]),
        RecordedTime::Wall(_) => {
            Some(vec![RecordedEvent::new(WALL_CLOCK, Unit::Nanoseconds, None), switches("context-switches")])
        }
    }
}

/// What the recorder is told; `switches` is how the kernel reports them.
pub(super) fn wait_options(time: &RecordedTime, switches: Switches) -> Option<WaitOptions> {
    let options = time.off_cpu()?;
    Some(WaitOptions {
        shortest: options.min_block,
        longest: options.max_block,
        runnable: options.states.runnable,
        beside_on_cpu: matches!(time, RecordedTime::Wall(_)),
        has_switches: switches != Switches::None,
        has_stacks: switches != Switches::Records,
        kernel_threads: options.kernel_threads,
    })
}

/// How task switches are recorded by perf events.
pub(super) fn plan(
    options: &OffCpuOptions,
    target: &Target,
    subject: &Subject,
    cpus: &CpuList,
    facts: &Facts,
) -> Result<Plan> {
    if options.states != States::ALL && options.states != (States { runnable: false, ..States::ALL }) {
        return Err(Error::new(ErrorKind::Unsupported, "the states of tasks are known to BPF programs only")
            .with_hint(
                "leave --state out, or be allowed BPF (CAP_BPF and CAP_PERFMON; `profile doctor` says what is missing)",
            ));
    }
    let sources = Sources::default();
    let cpu = cpus.as_slice().first().copied().unwrap_or(0);
    let task = subject.tids.first().copied();
    let scope = match (&subject.cgroup, target, task) {
        (Some((_, directory)), ..) => Scope::Cgroup(directory.as_fd(), cpu),
        (None, Target::System, _) => Scope::Cpu(cpu),
        (None, _, Some(task)) => Scope::Task(task as i32),
        (None, _, None) => return Err(Error::new(ErrorKind::NotFound, "the target has no threads any more")),
    };
    let per_task = matches!(scope, Scope::Task(_));
    let wish = Wish { scope, cpus: Some(cpus), side: Side::Both, sampling: Some(Sampling::Period(1)) };
    let event = EventSpec::parse("context-switches", &sources)?;
    let mut notes =
        vec!["by perf events, without BPF: which state threads waited in, and who woke them, is not known".to_owned()];
    let switches = match choose(&Linux, &event, &sources, facts, &wish) {
        Ok(_) => Switches::Samples,
        Err(refusal) if refusal.kind() == ErrorKind::Permission && per_task => {
            let plain = EventSpec::parse("dummy", &sources)?;
            let wish = Wish { side: Side::User, sampling: Some(Sampling::Count), ..wish };
            if choose(&Linux, &plain, &sources, facts, &wish).is_err() {
                return Err(refusal);
            }
            let hint = refusal.hint().map(|hint| format!(": {hint}")).unwrap_or_default();
            notes.push(format!("no stacks, only how long each thread waited: they are taken in the kernel, which is not permitted{hint}"));
            Switches::Records
        }
        Err(refusal) => return Err(refusal),
    };
    if options.wakers {
        notes.push("--wakers needs BPF (CAP_BPF and CAP_PERFMON): nobody is named".to_owned());
    }
    let without = without_events();
    Ok(Plan { choice: Choice { notes, ..without.choice }, per_task, switches })
}

/// BPF programs were loaded and could not be attached.
pub(super) fn cannot_attach(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("cannot attach the BPF programs that see task switches: {why}"))
        .with_hint("`profile doctor` says what this machine allows; try once more, or without BPF: --bpf never")
}

/// No samples and no task switches by perf events: only what they tell of processes.
pub(super) fn without_events() -> Plan {
    let spec = EventSpec {
        name: crate::recorder::OFF_CPU.to_owned(),
        unit: Unit::Nanoseconds,
        kind: EventKind::Software,
        attrs: Vec::new(),
        default_sampling: DefaultSampling::Each,
        precise: Precise::Level(0),
    };
    let choice = Choice { spec, exclude_kernel: false, precise: 0, notes: Vec::new() };
    Plan { choice, per_task: false, switches: Switches::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_letters_or_bits() {
        let states = |bits, runnable| States { bits, runnable };
        for (text, expected) in [
            ("S", states(1, false)),
            ("SD", states(3, false)),
            ("S,D", states(3, false)),
            ("RtP", states(0x48, true)),
            ("2", states(2, false)),
            ("0x41", states(0x41, false)),
            ("0", states(0, true)),
        ] {
            assert_eq!(States::parse(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", "Q", "s", "-1", "0x100", ","] {
            assert!(States::parse(wrong).is_err_and(|error| error.hint().is_some()), "{wrong}");
        }
    }
}
