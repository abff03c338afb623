//! Every system call that has no safe wrapper elsewhere.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

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
