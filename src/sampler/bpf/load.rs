//! Loads the programs, tells them whom and what to record, and attaches them.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};

use super::abi::{self, OnCpu, TASK_FRAMES, TASK_REGISTERS, TaskRecord, WaitKey, WaitValue};
use super::counters::Counters;
use super::namespace::PidNamespace;
use super::object_file::{self, Changes, Refusal, not_permitted, tracepoint};
use super::ring::{Event, Ring};
use super::sys::{self, Map, ProgramInfo};
use super::tables::Tables;
use crate::error::{Error, ErrorKind, Result};

/// An object file is read in place.
#[repr(align(8))]
struct Aligned<const SIZE: usize>([u8; SIZE]);

#[cfg(target_arch = "x86_64")]
pub(super) static OBJECT: &[u8] = &Aligned(*include_bytes!("profile.x86_64.o")).0;
#[cfg(target_arch = "aarch64")]
pub(super) static OBJECT: &[u8] = &Aligned(*include_bytes!("profile.aarch64.o")).0;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) static OBJECT: &[u8] = &[];

/// Whom the programs record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// All.
    All,
    /// These processes, and what they start.
    Processes(Vec<u32>),
    /// These threads.
    Threads(Vec<u32>),
    /// The tasks of a cgroup (of version 2) and of those below it.
    Cgroup {
        /// The inode number of its directory.
        id: u64,
        /// How many cgroups it is below the root of them all.
        level: u32,
    },
}

/// Which programs are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// The one for samples.
    pub on_cpu: bool,
    /// Those for task switches.
    pub off_cpu: bool,
}

/// What the programs are asked to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whom to record.
    pub whom: Whom,
    /// Whether threads of the kernel are recorded too, where threads are not named one by one.
    pub kernel_threads: bool,
    /// Whether the kernel's part of stacks is taken.
    pub kernel_stacks: bool,
    /// Whether the user's part of stacks is taken.
    pub user_stacks: bool,
    /// Whether it is noted who woke a thread.
    pub wakers: bool,
    /// Waits of threads in these states are added up; waits for a CPU always are.
    pub state_mask: u32,
    /// Waits shorter than this are not, in nanoseconds.
    pub min_block: u64,
    /// Nor are longer ones.
    pub max_block: u64,
    /// Which programs are wanted.
    pub programs: Programs,
    /// Whether samples go both ways, by the ring and as records of their events: to compare them.
    pub both: bool,
    /// Bytes of the ring, a power of two.
    pub ring_bytes: u32,
    /// How many different waits there is room for.
    pub waits: u32,
    /// How many bytes the tables may take in the kernel; at least 4 MiB.
    pub heap_bytes: u64,
}

impl Default for Request {
    fn default() -> Request {
        Request {
            whom: Whom::All,
            kernel_threads: true,
            kernel_stacks: true,
            user_stacks: true,
            wakers: false,
            state_mask: 0xff,
            min_block: 0,
            max_block: u64::MAX,
            programs: Programs::default(),
            both: false,
            ring_bytes: 8 << 20,
            waits: 1 << 16,
            heap_bytes: 64 << 20,
        }
    }
}

/// A thread that is off the CPU, with what is known of its stack.
#[derive(Clone, Debug)]
pub struct OffTask {
    /// What is said of it.
    pub record: TaskRecord,
    /// Registers of user mode by DWARF's numbers, the address of the instruction last (16 on x86-64, 32 on arm64).
    pub registers: [u64; TASK_REGISTERS],
    /// Frames of the kernel, innermost first.
    pub kernel: Vec<u64>,
}

impl OffTask {
    const SIZE: usize = TaskRecord::SIZE + 8 * (TASK_REGISTERS + TASK_FRAMES);

    fn read(bytes: &[u8]) -> Option<OffTask> {
        let record = TaskRecord::read(bytes)?;
        let words = bytes[TaskRecord::SIZE..].as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
        let mut registers = [0; TASK_REGISTERS];
        registers.iter_mut().zip(words.clone()).for_each(|(register, word)| *register = word);
        let kernel = words.skip(TASK_REGISTERS).take((record.kernel_frames as usize).min(TASK_FRAMES)).collect();
        Some(OffTask { record, registers, kernel })
    }
}

/// Loaded programs. Dropping it detaches them.
#[derive(Debug)]
pub struct Bpf {
    request: Request,
    programs: HashMap<String, OwnedFd>,
    /// Who loads them, until they are.
    loading: Option<JoinHandle<Result<HashMap<String, OwnedFd>>>>,
    maps: HashMap<String, Map>,
    links: Vec<OwnedFd>,
    follows_tasks: bool,
    ring: Option<Ring>,
    tables: Option<Tables>,
    possible_cpus: usize,
}

impl Bpf {
    /// Loads the programs that are wanted; nothing runs yet.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] without CAP_BPF and CAP_PERFMON, [`ErrorKind::Unsupported`] where the kernel has no BTF or its
    /// verifier refuses a program: what it said is then in a file that the error names.
    pub fn load(request: &Request) -> Result<Bpf> {
        let mut bpf = Bpf::begin_loading(request)?;
        bpf.finish_loading()?;
        Ok(bpf)
    }

    /// The same, but programs are still being loaded: the verifier takes its time. What it says comes as they are attached.
    ///
    /// # Errors
    /// As [`Bpf::load`].
    pub fn begin_loading(request: &Request) -> Result<Bpf> {
        if OBJECT.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, "there are no BPF programs for this processor"));
        }
        Bpf::load_object(OBJECT, request)
    }

    /// Waits until programs are loaded.
    ///
    /// # Errors
    /// As [`Bpf::load`].
    pub fn finish_loading(&mut self) -> Result<()> {
        if let Some(loading) = self.loading.take() {
            let panicked = || Error::new(ErrorKind::Io, "the thread that loads BPF programs panicked");
            self.programs = loading.join().map_err(|_| panicked())??;
        }
        Ok(())
    }

    /// Loads the programs of an object file.
    fn load_object(object: &[u8], request: &Request) -> Result<Bpf> {
        let possible_cpus = possible_cpus().ok_or_else(|| {
            let which = "/sys/devices/system/cpu/possible does not tell how many CPUs there could be";
            Error::new(ErrorKind::Unsupported, which)
        })?;
        let own = PidNamespace::own().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "how deep this pid namespace is nested cannot be told").with_hint(
                "clone3(2) tells it, which a filter of system calls may forbid: run outside of the container",
            )
        })?;
        let globals = globals(request, possible_cpus as u32, own);
        let mut entries = vec![
            ("scratches", possible_cpus as u32 * SCRATCH_KINDS),
            ("kept_stacks", (possible_cpus as u32) << kept_bits(possible_cpus, request)),
            ("ring", request.ring_bytes),
            ("waits", if request.programs.off_cpu { request.waits } else { 1 }),
        ];
        if !request.programs.off_cpu {
            entries.push(("on_cpu", 1));
        }
        let changes = Changes { globals, entries };
        let (maps, relocated) = object_file::make(object, &changes, &|name| is_wanted(name, request))?;
        let loading = std::thread::Builder::new().name("load programs".into());
        let loading = loading.spawn(move || relocated.load(refused));
        let loading = loading.map_err(|error| Error::io("cannot start the thread that loads BPF programs", error))?;
        let mut bpf = Bpf {
            request: request.clone(),
            programs: HashMap::new(),
            loading: Some(loading),
            maps,
            links: Vec::new(),
            follows_tasks: false,
            ring: None,
            tables: None,
            possible_cpus,
        };
        let failed = |error| Error::io("cannot share memory with BPF programs", error);
        bpf.ring = Some(Ring::new(bpf.take_map("ring")?).map_err(failed)?);
        let (heap, rules, processes) = (bpf.take_map("heap")?, bpf.take_map("rules")?, bpf.take_map("processes")?);
        bpf.tables = Some(Tables::new(heap, &rules, processes, request.heap_bytes).map_err(failed)?);
        if let Whom::Processes(ids) | Whom::Threads(ids) = &request.whom {
            bpf.add_members(ids)?;
        }
        Ok(bpf)
    }

    /// Records these processes too (with all that they start), or threads, where such are what is recorded.
    ///
    /// # Errors
    /// If there are more than there is room for.
    pub fn add_members(&mut self, ids: &[u32]) -> Result<()> {
        let members = self.map("members")?;
        for id in ids {
            let added = members.update(&id.to_ne_bytes(), &1u32.to_ne_bytes());
            added
                .map_err(|error| Error::io(format!("cannot add task {id} to those that BPF programs record"), error))?;
        }
        Ok(())
    }

    /// Attaches the programs that see task switches.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn attach_switches(&mut self) -> Result<()> {
        self.follow_tasks()?;
        // First what is told of a wait, then what begins it.
        if self.request.wakers {
            self.attach_tracepoint("sched_waking")?;
        }
        self.attach_tracepoint("sched_wakeup")?;
        self.attach_tracepoint("sched_wakeup_new")?;
        self.attach_tracepoint("sched_switch")
    }

    /// Attaches the program for samples to these events, which must be open; each with the number that its samples are to carry.
    ///
    /// # Errors
    /// What the kernel says; events before the one that failed stay attached until this is dropped.
    pub fn attach_samples(&mut self, events: &[(BorrowedFd<'_>, u64)]) -> Result<()> {
        self.follow_tasks()?;
        for (event, cookie) in events {
            let link = sys::attach_to_event(self.program("sample")?, *event, *cookie);
            self.links.push(link.map_err(|error| Error::io("cannot attach a BPF program to a perf event", error))?);
        }
        Ok(())
    }

    /// Begins: until then nothing is recorded or counted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn start(&mut self) -> Result<()> {
        self.set_running(1)
    }

    /// Ends what [`Bpf::start`] began; programs stay attached. Gives the threads that are off the CPU by then: no wait of theirs is
    /// in [`Bpf::waits`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn end(&mut self) -> Result<Vec<OffTask>> {
        self.set_running(2)?;
        // Calls that have begun before are over when the kernel's readers of now are (kernel/sched/membarrier.c), some microseconds
        // later anyway: where a kernel refuses that (`nohz_full`), a pause has to do.
        if membarrier(MembarrierCommand::Global).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let tasks = self.tasks();
        self.set_running(0)?;
        tasks
    }

    fn set_running(&mut self, running: u32) -> Result<()> {
        // It is the only variable there.
        let updated = self.map(".bss")?.update(&0u32.to_ne_bytes(), &running.to_ne_bytes());
        updated.map_err(|error| Error::io("cannot start BPF programs", error))
    }

    /// Reads what programs have sent; says how many events. Nothing if the ring was taken.
    pub fn read(&mut self, each: &mut dyn FnMut(Event<'_>)) -> u64 {
        self.ring.as_mut().map_or(0, |ring| ring.read(each))
    }

    /// The ring, for a thread of its own.
    pub fn take_ring(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    /// All waits that were added up so far.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn waits(&self) -> Result<Vec<(WaitKey, WaitValue)>> {
        self.entries("waits", WaitKey::read, WaitValue::read)
    }

    /// The time on the CPU of each thread so far.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn on_cpu(&self) -> Result<Vec<(u32, OnCpu)>> {
        let tid = |bytes: &[u8]| bytes.first_chunk().map(|tid| u32::from_ne_bytes(*tid));
        self.entries("on_cpu", tid, OnCpu::read)
    }

    fn entries<K, V>(
        &self,
        map: &str,
        key: impl Fn(&[u8]) -> Option<K>,
        value: impl Fn(&[u8]) -> Option<V>,
    ) -> Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        let read = self.map(map)?.entries_of_hash(&mut |key_bytes, value_bytes| {
            entries.extend(key(key_bytes).zip(value(value_bytes)));
        });
        read.map_err(|error| Error::io("cannot read what BPF programs have added up", error))?;
        Ok(entries)
    }

    /// The threads that are off the CPU now. Those that have been off since before the begin are off since now, for the programs.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tasks(&self) -> Result<Vec<OffTask>> {
        let read = || -> io::Result<Vec<OffTask>> {
            let program = self.programs.get("task_iter").ok_or(io::ErrorKind::NotFound)?;
            let link = sys::link_iterator(program.as_fd())?;
            let mut bytes = Vec::new();
            sys::open_iterator(link.as_fd())?.read_to_end(&mut bytes)?;
            Ok(bytes.chunks_exact(OffTask::SIZE).filter_map(OffTask::read).collect())
        };
        read().map_err(|error| Error::io("cannot list the tasks by a BPF program", error))
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let mut of = vec![0u64; abi::COUNTERS as usize];
        let Ok(counts) = self.map("counts") else { return Counters { of } };
        for which in 0..counts.entries() {
            let Ok(values) = counts.get_of_cpus(&which.to_ne_bytes(), self.possible_cpus) else { continue };
            for (index, word) in values.chunks_exact(8).enumerate() {
                of[index % abi::COUNTERS as usize] += u64::from_ne_bytes(word.try_into().expect("eight bytes"));
            }
        }
        Counters { of }
    }

    /// What the kernel tells of the loaded programs, by name.
    pub fn programs(&self) -> BTreeMap<String, ProgramInfo> {
        let info = |program: &OwnedFd| sys::program_info(program.as_fd()).unwrap_or_default();
        self.programs.iter().map(|(name, program)| (name.clone(), info(program))).collect()
    }

    /// What programs search.
    pub fn tables(&mut self) -> &mut Tables {
        self.tables.as_mut().expect("they were not taken")
    }

    /// What programs search, for a thread of its own; [`Bpf::tables`] may not be asked for afterwards.
    pub fn take_tables(&mut self) -> Option<Tables> {
        self.tables.take()
    }

    /// Attaches what follows processes as they fork, run other programs and end.
    fn follow_tasks(&mut self) -> Result<()> {
        self.finish_loading()?;
        if std::mem::replace(&mut self.follows_tasks, true) {
            return Ok(());
        }
        for name in ["sched_fork", "sched_exec", "sched_exit"] {
            self.attach_tracepoint(name)?;
        }
        Ok(())
    }

    fn attach_tracepoint(&mut self, name: &str) -> Result<()> {
        let link = sys::attach_to_tracepoint(self.program(name)?);
        let failed = |error| Error::io(format!("cannot attach to the tracepoint {}", tracepoint(name)), error);
        self.links.push(link.map_err(failed)?);
        Ok(())
    }

    fn program(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let missing = || Error::new(ErrorKind::Unsupported, format!("the BPF program {name} was not asked for"));
        self.programs.get(name).map(OwnedFd::as_fd).ok_or_else(missing)
    }

    fn map(&self, name: &str) -> Result<&Map> {
        self.maps.get(name).ok_or_else(|| no_map(name))
    }

    fn take_map(&mut self, name: &str) -> Result<Map> {
        self.maps.remove(name).ok_or_else(|| no_map(name))
    }
}

fn no_map(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the BPF programs have no map {name}"))
}

/// `SCRATCH_KINDS` of `c/unwind.h`.
const SCRATCH_KINDS: u32 = 3;

/// How many walked stacks are kept for each CPU, as a power of two: of 2.3 KiB each, 16 MiB in all at most.
fn kept_bits(cpus: usize, request: &Request) -> u32 {
    let most = if request.programs.off_cpu { 7_000 / cpus.max(1) } else { 1 };
    most.max(1).ilog2().min(10)
}

/// The variables of the programs that are set before they are loaded.
fn globals(request: &Request, cpus: u32, own: PidNamespace) -> Vec<(&'static str, Vec<u8>)> {
    let (cgroup, cgroup_level) = match request.whom {
        Whom::Cgroup { id, level } => (id, level),
        _ => (0, 0),
    };
    // `enum whom`.
    let whom = match request.whom {
        Whom::All => 0,
        Whom::Processes(_) => 1,
        Whom::Threads(_) => 2,
        Whom::Cgroup { .. } => 3,
    };
    let words = vec![
        ("whom", whom),
        ("cpus", cpus),
        ("own_tgid", std::process::id()),
        ("target_cgroup_level", cgroup_level),
        ("namespace_level", own.level),
        ("namespace_inode", own.inode),
        ("with_kernel_threads", u32::from(request.kernel_threads)),
        ("with_kernel_stacks", u32::from(request.kernel_stacks)),
        ("with_user_stacks", u32::from(request.user_stacks)),
        ("with_wakers", u32::from(request.wakers)),
        ("state_mask", request.state_mask),
        ("with_on_cpu", u32::from(request.programs.off_cpu)),
        ("both", u32::from(request.both)),
        ("kept_bits", kept_bits(cpus as usize, request)),
    ];
    let long_words =
        vec![("target_cgroup", cgroup), ("min_block", request.min_block), ("max_block", request.max_block)];
    let words = words.into_iter().map(|(name, word): (_, u32)| (name, word.to_ne_bytes().to_vec()));
    words.chain(long_words.into_iter().map(|(name, word)| (name, word.to_ne_bytes().to_vec()))).collect()
}

/// How many CPUs the kernel could have: values for each CPU are for so many. Nothing if that is not told: the kernel writes so many.
fn possible_cpus() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").ok()?;
    let last = text.trim().rsplit([',', '-']).next()?.parse::<usize>().ok()?;
    last.checked_add(1)
}

/// Whether a program is needed for what is asked.
fn is_wanted(name: &str, request: &Request) -> bool {
    match name {
        "sample" => request.programs.on_cpu,
        "sched_waking" => request.programs.off_cpu && request.wakers,
        "sched_switch" | "sched_wakeup" | "sched_wakeup_new" | "task_iter" => request.programs.off_cpu,
        _ => true,
    }
}

/// A program that was not loaded; what the verifier said is saved.
fn refused(name: &str, Refusal { error, log }: Refusal) -> Error {
    if error.raw_os_error() == Some(libc::EPERM) {
        return not_permitted(&format!("cannot load the BPF program {name}"), libc::EPERM);
    }
    let saved = save(name, &log);
    let last = log.lines().rev().find(|line| !line.is_empty() && !line.starts_with("processed")).unwrap_or_default();
    let refused = Error::io(format!("the kernel refuses the BPF program {name}: {last}"), error);
    match saved {
        Some(path) => refused.with_hint(format!("what its verifier said is in {}", path.display())),
        None => refused,
    }
}

/// Saves what the verifier said in a file that nobody else has made.
fn save(name: &str, log: &str) -> Option<PathBuf> {
    use std::io::Write;
    let path = std::env::temp_dir().join(format!("profile-verifier-{name}-{}.log", std::process::id()));
    let mut file = std::fs::File::create_new(&path).ok()?;
    file.write_all(log.as_bytes()).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests;
