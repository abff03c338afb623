//! Every system call that has no safe wrapper elsewhere.
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::JoinHandle;

use perf_event_open_sys as perf_sys;
use perf_sys::bindings;

use crate::perf::{AttrFlags, EventAttr, Sampling};

/// What an event is opened on.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// One task (thread) on every CPU; such an event cannot be mapped if children inherit it.
    Task(i32),
    /// One task on one CPU.
    TaskOnCpu(i32, u32),
    /// Every task on one CPU.
    Cpu(u32),
    /// The tasks of a control group (a descriptor of its directory) on one CPU.
    Cgroup(std::os::fd::BorrowedFd<'a>, u32),
}

/// Opens events; the one implementation that is not a test's is [`Linux`].
pub trait OpenEvent {
    /// Opens an event as `perf_event_open(2)` does.
    fn open(&self, attr: &EventAttr, scope: Scope<'_>) -> io::Result<OwnedFd>;
}

/// The running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

impl OpenEvent for Linux {
    fn open(&self, attr: &EventAttr, scope: Scope<'_>) -> io::Result<OwnedFd> {
        let (pid, cpu, flag) = match &scope {
            Scope::Task(tid) => (*tid, -1, 0),
            Scope::TaskOnCpu(tid, cpu) => (*tid, *cpu as i32, 0),
            Scope::Cpu(cpu) => (-1, *cpu as i32, 0),
            Scope::Cgroup(directory, cpu) => {
                (directory.as_raw_fd(), *cpu as i32, u64::from(bindings::PERF_FLAG_PID_CGROUP))
            }
        };
        let mut raw = kernel_attr(attr);
        let flags = (flag | u64::from(bindings::PERF_FLAG_FD_CLOEXEC)) as std::ffi::c_ulong;
        // SAFETY: `raw` is a whole `perf_event_attr` whose `size` field is its size; the kernel reads it, and may
        // write that field, only during the call.
        let fd = unsafe { perf_sys::perf_event_open(&raw mut raw, pid, cpu, -1, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `fd` is a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn kernel_attr(attr: &EventAttr) -> bindings::perf_event_attr {
    let mut raw = bindings::perf_event_attr {
        type_: attr.kind,
        size: size_of::<bindings::perf_event_attr>() as u32,
        config: attr.config,
        sample_type: attr.sample_fields.0,
        read_format: attr.read_format,
        branch_sample_type: attr.branch_sample_type,
        sample_regs_user: attr.sample_regs_user,
        sample_stack_user: attr.sample_stack_user,
        clockid: attr.clockid,
        sample_max_stack: attr.sample_max_stack,
        ..Default::default()
    };
    raw.__bindgen_anon_3.config1 = attr.config1;
    raw.__bindgen_anon_4.config2 = attr.config2;
    let mut flags = attr.flags.without(AttrFlags::FREQ);
    match attr.sampling {
        Sampling::Count => {}
        Sampling::Period(period) => raw.__bindgen_anon_1.sample_period = period,
        Sampling::Frequency(frequency) => {
            raw.__bindgen_anon_1.sample_freq = frequency;
            flags = flags.with(AttrFlags::FREQ);
        }
    }
    raw.__bindgen_anon_2.wakeup_watermark = attr.wakeup_watermark;
    raw._bitfield_1 = bindings::__BindgenBitfieldUnit::new(flags.0.to_ne_bytes());
    raw
}

/// Starts an event.
pub fn enable(event: impl AsFd) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the borrow; the argument is a plain flag.
    check(unsafe { perf_sys::ioctls::ENABLE(event.as_fd().as_raw_fd(), 0) })
}

/// Stops an event.
pub fn disable(event: impl AsFd) -> io::Result<()> {
    // SAFETY: as in `enable`.
    check(unsafe { perf_sys::ioctls::DISABLE(event.as_fd().as_raw_fd(), 0) })
}

/// Sends the records of `event` to the ring that is mapped on `ring`, an event on the same CPU.
pub fn set_output(event: impl AsFd, ring: impl AsFd) -> io::Result<()> {
    // SAFETY: both descriptors are open for the length of the borrows.
    check(unsafe { perf_sys::ioctls::SET_OUTPUT(event.as_fd().as_raw_fd(), ring.as_fd().as_raw_fd()) })
}

/// The kernel's id of an event, as samples carry it.
pub fn event_id(event: impl AsFd) -> io::Result<u64> {
    let mut id = 0;
    // SAFETY: the descriptor is open for the length of the borrow, and the kernel writes one u64 during the call.
    check(unsafe { perf_sys::ioctls::ID(event.as_fd().as_raw_fd(), &raw mut id) })?;
    Ok(id)
}

fn check(status: std::ffi::c_int) -> io::Result<()> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What `read(2)` on an event that was opened with no group returns, for the formats that we use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// What it counted, the ended children's counts included if they inherited it.
    pub value: u64,
    /// Samples lost, if it was opened with [`crate::perf::read_format::LOST`].
    pub lost: u64,
}

/// Reads an event that was opened with `read_format` (no times, no group, no id).
pub fn read_count(event: impl AsFd, read_format: u64) -> io::Result<Count> {
    let mut words = [[0u8; 8]; 2];
    let size = rustix::io::read(event, words.as_flattened_mut())?;
    let word = |index: usize| if size >= (index + 1) * 8 { u64::from_ne_bytes(words[index]) } else { 0 };
    let lost = if read_format & crate::perf::read_format::LOST != 0 { word(1) } else { 0 };
    Ok(Count { value: word(0), lost })
}

/// A child process that has not run its program yet.
#[derive(Debug)]
pub struct WaitingChild {
    pid: u32,
    /// Until it is told to go.
    waiting: Option<(io::PipeWriter, JoinHandle<io::Result<Child>>)>,
}

impl WaitingChild {
    /// Starts a child that waits before its `exec`, so that events can be opened on it.
    ///
    /// # Errors
    /// If no process can be had; that the program cannot be run is told by [`WaitingChild::release`].
    pub fn spawn(mut command: Command) -> io::Result<WaitingChild> {
        let (mut pid_reader, mut pid_writer) = io::pipe()?;
        let (mut go_reader, go) = io::pipe()?;
        let inherited_go = go.as_raw_fd();
        // SAFETY: between fork and exec the closure calls only write, read, close and getpid, which are safe there
        // (signal-safety(7)); it allocates nothing.
        unsafe {
            command.pre_exec(move || {
                // Our end that says "go": were it open here too, the end of the parent would go unnoticed.
                libc::close(inherited_go);
                pid_writer.write_all(&libc::getpid().to_ne_bytes())?;
                let mut byte = [0];
                go_reader.read_exact(&mut byte)
            });
        }
        // `Command::spawn` returns only once the child has run its program, so it waits in a thread of its own.
        let spawning = std::thread::Builder::new().name("spawn".into()).spawn(move || {
            let child = command.spawn();
            drop(command);
            child
        })?;
        let mut pid = [0; 4];
        match pid_reader.read_exact(&mut pid) {
            Ok(()) => Ok(WaitingChild { pid: u32::from_ne_bytes(pid), waiting: Some((go, spawning)) }),
            Err(error) => Err(match spawning.join() {
                Ok(Err(spawn_error)) => spawn_error,
                _ => error,
            }),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it run its program.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn release(mut self) -> io::Result<Child> {
        let (mut go, spawning) = self.waiting.take().expect("it is released once");
        go.write_all(&[1])?;
        drop(go);
        spawning.join().unwrap_or_else(|_| Err(io::Error::other("the spawning thread panicked")))
    }
}

impl Drop for WaitingChild {
    /// A child that was not released ends by itself, and tells so: somebody must be there to hear it.
    fn drop(&mut self) {
        if let Some((go, spawning)) = self.waiting.take() {
            drop(go);
            let _ = spawning.join();
        }
    }
}

/// Whose CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of this process.
    Own,
    /// Of the children that it has waited for.
    Children,
}

/// User and kernel time used so far, see `getrusage(2)`.
pub fn cpu_times(whose: Whose) -> (std::time::Duration, std::time::Duration) {
    let who = match whose {
        Whose::Own => libc::RUSAGE_SELF,
        Whose::Children => libc::RUSAGE_CHILDREN,
    };
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes one `rusage` during the call; it was all zeros before, which is a valid one too.
    let usage = unsafe {
        libc::getrusage(who, usage.as_mut_ptr());
        usage.assume_init()
    };
    let duration = |time: libc::timeval| std::time::Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    (duration(usage.ru_utime), duration(usage.ru_stime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::SampleFields;
    use crate::perf::data::write::{ATTR_SIZE, attr_bytes};

    #[test]
    fn attributes_are_written_as_the_kernel_is_given_them() {
        let attr = EventAttr {
            config1: 11,
            config2: 12,
            sample_fields: SampleFields::IP.with(SampleFields::IDENTIFIER),
            read_format: 16,
            flags: AttrFlags::DISABLED.with(AttrFlags::USE_CLOCKID).with(AttrFlags::BUILD_ID),
            wakeup_watermark: 13,
            branch_sample_type: 14,
            sample_regs_user: 15,
            sample_stack_user: 16,
            clockid: 1,
            sample_max_stack: 17,
            ..EventAttr::counting(1, 9)
        };
        for sampling in [Sampling::Count, Sampling::Period(1234), Sampling::Frequency(99)] {
            let attr = EventAttr { sampling, ..attr.clone() };
            let raw = kernel_attr(&attr);
            // SAFETY: `raw` is plain data without padding, and longer than the bytes that are looked at.
            let given = unsafe { std::slice::from_raw_parts((&raw const raw).cast::<u8>(), ATTR_SIZE) };
            let written = attr_bytes(&attr);
            // The sizes that they state are their own.
            assert_eq!(given[..4], written[..4]);
            assert_eq!(given[8..], written[8..]);
        }
    }
}
