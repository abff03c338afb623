//! What a recording is to be: its event, its tasks, and whether per CPU or per task.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::process::{Membership, proc};
use crate::sampler::choose::{Choice, Side, Wish, choose, choose_default};
use crate::sampler::event::{DefaultSampling, EventKind};
use crate::sampler::facts::Facts;
use crate::sampler::permission::Attempt;
use crate::sampler::sys::{Linux, Scope};
use crate::sampler::{CpuList, EventSpec, Sampling, Sources, Switches, Target, Tasks};

use super::tasks::{check_processes, processes_of_threads};

/// The tasks of a target as they are now.
#[derive(Debug)]
pub(super) struct Subject {
    /// Processes that run already.
    pub pids: Vec<u32>,
    /// Their threads, or the threads that were named.
    pub tids: Vec<u32>,
    /// Which samples are to be kept if the kernel brings all.
    pub membership: Membership,
    /// The cgroup's directory.
    pub cgroup: Option<(PathBuf, OwnedFd)>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Finds the tasks of a target; a command has none yet but the child that waits.
pub(super) fn subject(target: &Target, child: Option<u32>) -> Result<Subject> {
    let mut subject =
        Subject { pids: Vec::new(), tids: Vec::new(), membership: Membership::All, cgroup: None, notes: Vec::new() };
    match target {
        Target::Processes(pids) => {
            let pids = &unique(pids);
            check_processes(pids)?;
            subject.pids = proc::descendants(pids);
            let children = subject.pids.len() - pids.len();
            if children > 0 {
                let plural = if children == 1 { "child process" } else { "child processes" };
                subject.notes.push(format!("with {children} {plural} of the target that run already"));
            }
            subject.tids = subject.pids.iter().flat_map(|pid| proc::running_threads(*pid)).collect();
            subject.membership = Membership::Tree;
        }
        Target::Threads(tids) => {
            subject.pids = processes_of_threads(tids)?;
            subject.tids = unique(tids);
            subject.membership = Membership::Threads(tids.clone());
        }
        Target::System => subject.pids = proc::processes().unwrap_or_default(),
        Target::Cgroup(path) => {
            let (directory, descriptor) = open_cgroup(path)?;
            subject.pids = cgroup_processes(&directory);
            subject.cgroup = Some((directory, descriptor));
        }
        Target::Command(_) => {
            subject.pids.extend(child);
            subject.tids.extend(child);
            subject.membership = Membership::Tree;
        }
    }
    Ok(subject)
}

impl Subject {
    /// Finds the processes and threads that have appeared since, and gives the new threads.
    ///
    /// What a task starts once it has events, or once forks are reported, comes by itself; this is for what was started
    /// before.
    pub fn grow(&mut self) -> Vec<u32> {
        if self.membership != Membership::Tree {
            return Vec::new();
        }
        self.pids = proc::descendants(&self.pids);
        let now = self.pids.iter().flat_map(|pid| proc::running_threads(*pid));
        let known: std::collections::BTreeSet<u32> = self.tids.iter().copied().collect();
        let new: Vec<u32> = now.filter(|tid| !known.contains(tid)).collect();
        self.tids.extend(&new);
        new
    }

    /// Reads what is mapped in all processes by `read`, and says how many could not be read.
    pub fn unreadable_note(&self, mut read: impl FnMut(u32) -> bool) -> Option<String> {
        let unreadable: Vec<u32> = self.pids.iter().copied().filter(|pid| !read(*pid)).collect();
        match unreadable.as_slice() {
            [] => None,
            [pid] => Some(format!("the mappings of process {pid} could not be read: its frames have no names")),
            pids => {
                Some(format!("the mappings of {} processes could not be read: no names for their frames", pids.len()))
            }
        }
    }
}

/// The event, and on what it is opened.
#[derive(Debug)]
pub(super) struct Plan {
    pub choice: Choice,
    pub per_task: bool,
    /// What is recorded of task switches.
    pub switches: Switches,
}

impl Plan {
    fn of_cpus(choice: Choice) -> Plan {
        Plan { choice, per_task: false, switches: Switches::None }
    }
}

/// What the user asked of the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub event: Option<&'a str>,
    pub sampling: Option<Sampling>,
    pub side: Side,
    pub cpus: &'a CpuList,
    /// Whether the event is opened on each task even if whole CPUs are permitted.
    pub on_tasks: bool,
}

/// Chooses the event: on whole CPUs wherever that is permitted and fits the event, else on each task.
pub(super) fn plan(asked: &Asked<'_>, target: &Target, subject: &Subject, facts: &Facts) -> Result<Plan> {
    let sources = Sources::default();
    let spec = asked.event.map(|name| EventSpec::parse(name, &sources)).transpose()?;
    let try_on = |scope: Scope<'_>| {
        let wish = Wish { scope, cpus: Some(asked.cpus), side: asked.side, sampling: asked.sampling };
        match &spec {
            Some(spec) => choose(&Linux, spec, &sources, facts, &wish),
            None => choose_default(&Linux, &sources, facts, &wish),
        }
    };
    let cpu = asked.cpus.as_slice().first().copied().unwrap_or(0);
    if let Some((_, directory)) = &subject.cgroup {
        return Ok(Plan::of_cpus(try_on(Scope::Cgroup(directory.as_fd(), cpu))?));
    }
    if *target == Target::System {
        return Ok(Plan::of_cpus(try_on(Scope::Cpu(cpu))?));
    }
    // An event of which each is taken would bring the whole machine's; the kernel filters it by task.
    let by_rate = spec.as_ref().is_none_or(|spec| {
        matches!(spec.kind, EventKind::Clock | EventKind::Hardware) && spec.default_sampling == DefaultSampling::Rate
    });
    if by_rate
        && !asked.on_tasks
        && let Ok(choice) = try_on(Scope::Cpu(cpu))
    {
        return Ok(Plan::of_cpus(choice));
    }
    let Some(task) = subject.tids.first() else {
        return Err(Error::new(ErrorKind::NotFound, "the target has no threads any more"));
    };
    Ok(Plan { per_task: true, ..Plan::of_cpus(try_on(Scope::Task(*task as i32))?) })
}

/// How the events are opened: for each task on each CPU only as many tasks as there may be descriptors.
pub(super) fn tasks(subject: &mut Subject, plan: &Plan, child: Option<u32>, cpus: usize) -> Result<Tasks> {
    if let Some((_, descriptor)) = &subject.cgroup {
        return Ok(Tasks::Cgroup(
            descriptor.try_clone().map_err(|error| Error::io("cannot keep the cgroup open", error))?,
        ));
    }
    if !plan.per_task {
        return Ok(Tasks::All);
    }
    if let Some(pid) = child {
        return Ok(Tasks::Child(pid));
    }
    // Some descriptors are needed for files, rings and counters.
    // Timers are two on each CPU.
    let events = (plan.choice.spec.attrs.len() * 2 + usize::from(plan.switches != Switches::None)) * cpus;
    let most = (raise_open_files().saturating_sub(64) as usize / (events + 1)).max(1);
    let mut tids = subject.tids.clone();
    if tids.len() > most {
        tids.sort_by_key(|tid| std::cmp::Reverse(proc::cpu_ticks(*tid).map_or(0, |(user, kernel)| user + kernel)));
        tids.truncate(most);
        subject.notes.push(format!(
            "only {most} of {} threads are sampled, those with the most CPU time so far: the limit of open files \
             (ulimit -Hn) allows no more",
            subject.tids.len()
        ));
    }
    Ok(Tasks::Threads(tids))
}

/// Raises the soft limit of open files to the hard one, and says what it is.
pub(super) fn raise_open_files() -> u64 {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).is_ok() {
            limit.current = limit.maximum;
        }
    }
    limit.current.unwrap_or(u64::from(u32::MAX))
}

/// What is being tried when events are opened, for the explanation if that fails.
pub(super) fn attempt(plan: &Plan, subject: &Subject) -> Attempt {
    match subject.tids.first() {
        Some(task) if plan.per_task => match plan.choice.spec.kind {
            EventKind::Tracepoint => Attempt::TaskTracepoint(*task as i32),
            _ if plan.choice.spec.is_kernel_only() => Attempt::TaskKernel(*task as i32),
            _ => Attempt::Task(*task as i32),
        },
        _ => Attempt::Cpu(0),
    }
}

/// The ids, each once.
fn unique(ids: &[u32]) -> Vec<u32> {
    let mut seen = std::collections::BTreeSet::new();
    ids.iter().copied().filter(|id| seen.insert(*id)).collect()
}

/// Opens a cgroup's directory: a path, or a name below the cgroup2 file system.
fn open_cgroup(path: &Path) -> Result<(PathBuf, OwnedFd)> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // `proc_pid_mountinfo(5)`: the file system's type follows the separator "-".
    let root = mounts.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        rest.starts_with("cgroup2 ").then(|| fields.split(' ').nth(4)).flatten().map(PathBuf::from)
    });
    let Some(root) = root else {
        return Err(Error::new(ErrorKind::Unsupported, "there is no cgroup2 file system here")
            .with_hint("sample by process with -p, or mount one: `mount -t cgroup2 none /sys/fs/cgroup`"));
    };
    // As `/proc/PID/cgroup` names it, from the root of the cgroup file system; else as a path of this machine.
    let below = root.join(path.strip_prefix("/").unwrap_or(path));
    let directory = if below.join("cgroup.procs").exists() { below } else { path.to_owned() };
    let hint =
        format!("cgroups are the folders below {}; `cat /proc/PID/cgroup` names that of a process", root.display());
    if !directory.join("cgroup.procs").exists() {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no cgroup {}", path.display())).with_hint(hint));
    }
    match File::open(&directory) {
        Ok(file) => Ok((directory, file.into())),
        Err(error) => Err(Error::io(format!("cannot open cgroup {}", directory.display()), error).with_hint(hint)),
    }
}

/// The processes of a cgroup and those below it.
fn cgroup_processes(directory: &Path) -> Vec<u32> {
    let mut pids = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let listed = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        pids.extend(listed.lines().filter_map(|line| line.parse::<u32>().ok()));
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        open.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    pids
}
