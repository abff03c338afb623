//! Old kernels: what they do not know is taken off an event's attributes, once for all CPUs.
//!
//! A kernel answers EINVAL to a flag, sample field or read format that it does not know (`perf_copy_attr` in
//! `kernel/events/core.c`), without saying to which. Features are taken off newest first until the event opens, and
//! then put back one by one, oldest first, where the event opens with them: what is lost is only what the kernel lacks,
//! backports and other reasons for EINVAL included.
//!
//! Only what is harmless to lose is taken off: the samples are the same without it, and the caller is told. The exact
//! meaning of an event (`INHERIT_THREAD`, `CONTEXT_SWITCH`, registers, stacks) is never traded for its opening.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::perf::{AttrFlags, EventAttr, SampleFields, read_format};

use super::sys::{OpenEvent, Scope};

/// Something that a kernel may lack, and that an event can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peeled {
    /// Lost samples counted per event (Linux 6.0).
    ReadLost,
    /// Build ids in MMAP2 records (5.12).
    BuildId,
    /// Page sizes of code and data addresses (5.11).
    PageSize,
    /// Changes of the kernel's code (5.9).
    TextPoke,
    /// Control groups: their names, and the one of each sample (5.7).
    Cgroup,
    /// Names of code that the kernel makes while it runs, and of BPF programs (5.1).
    BpfNames,
    /// Namespaces of processes (4.12; and only for `CAP_PERFMON`).
    Namespaces,
    /// A limit on the frames of a call chain that is above `kernel.perf_event_max_stack` (4.8).
    MaxStack,
    /// The clock asked for (4.1): times are of the kernel's own clock.
    Clock,
    /// COMM records that tell an exec from a rename (3.16).
    CommExec,
    /// MMAP2 records: MMAP records come instead (3.12).
    Mmap2,
    /// Leaving out guests: their samples come too.
    ExcludeGuest,
}

impl Peeled {
    /// All, in the order in which they are taken off.
    const ALL: [Peeled; 12] = [
        Peeled::ReadLost,
        Peeled::BuildId,
        Peeled::PageSize,
        Peeled::TextPoke,
        Peeled::Cgroup,
        Peeled::BpfNames,
        Peeled::Namespaces,
        Peeled::MaxStack,
        Peeled::ExcludeGuest,
        Peeled::Clock,
        Peeled::CommExec,
        Peeled::Mmap2,
    ];

    /// What is lost, in words for the user.
    pub fn as_str(self) -> &'static str {
        match self {
            Peeled::ReadLost => "lost samples per event",
            Peeled::BuildId => "build ids from the kernel",
            Peeled::PageSize => "page sizes",
            Peeled::TextPoke => "changes of kernel code",
            Peeled::Cgroup => "control groups",
            Peeled::BpfNames => "names of BPF programs",
            Peeled::Namespaces => "namespaces",
            Peeled::MaxStack => "the asked depth of call chains",
            Peeled::Clock => "the asked clock",
            Peeled::CommExec => "exec marks",
            Peeled::Mmap2 => "details of mappings",
            Peeled::ExcludeGuest => "leaving out guests",
        }
    }

    /// `attr` without it, if it has it.
    fn take_off(self, attr: &EventAttr) -> Option<EventAttr> {
        let mut less = attr.clone();
        match self {
            Peeled::ReadLost => less.read_format &= !read_format::LOST,
            Peeled::BuildId => clear(&mut less, AttrFlags::BUILD_ID),
            Peeled::PageSize => {
                clear_fields(&mut less, SampleFields::CODE_PAGE_SIZE.with(SampleFields::DATA_PAGE_SIZE))
            }
            Peeled::TextPoke => clear(&mut less, AttrFlags::TEXT_POKE),
            Peeled::Cgroup => {
                clear(&mut less, AttrFlags::CGROUP);
                clear_fields(&mut less, SampleFields::CGROUP);
            }
            Peeled::BpfNames => clear(&mut less, AttrFlags::KSYMBOL.with(AttrFlags::BPF_EVENT)),
            Peeled::Namespaces => clear(&mut less, AttrFlags::NAMESPACES),
            Peeled::MaxStack => less.sample_max_stack = 0,
            Peeled::Clock => {
                clear(&mut less, AttrFlags::USE_CLOCKID);
                less.clockid = 0;
            }
            Peeled::CommExec => clear(&mut less, AttrFlags::COMM_EXEC),
            Peeled::Mmap2 if less.flags.has(AttrFlags::MMAP2) => {
                clear(&mut less, AttrFlags::MMAP2.with(AttrFlags::BUILD_ID));
                less.flags = less.flags.with(AttrFlags::MMAP);
            }
            Peeled::Mmap2 => {}
            Peeled::ExcludeGuest => clear(&mut less, AttrFlags::EXCLUDE_GUEST),
        }
        (less != *attr).then_some(less)
    }
}

/// Opens an event with as much of `attr` as this kernel knows.
///
/// Gives the event, the attributes to open it with on every other CPU too, and what was taken off.
///
/// # Errors
/// The kernel's answer to the whole of `attr`, if nothing that may be taken off was its reason.
pub fn peel(
    open: &impl OpenEvent,
    attr: &EventAttr,
    scope: Scope<'_>,
) -> io::Result<(OwnedFd, EventAttr, Vec<Peeled>)> {
    let refusal = match open.open(attr, scope) {
        Ok(event) => return Ok((event, attr.clone(), Vec::new())),
        Err(refusal) => refusal,
    };
    let candidates: &[Peeled] = match Errno::from_io_error(&refusal) {
        Some(Errno::INVAL | Errno::TOOBIG) => &Peeled::ALL,
        // `perf_event_open` asks for CAP_PERFMON where namespaces are wanted; all else has been permitted before.
        // The depth of chains is looked at after that.
        Some(Errno::ACCESS | Errno::PERM) => &[Peeled::Namespaces, Peeled::MaxStack],
        Some(Errno::OVERFLOW) => &[Peeled::MaxStack],
        _ => return Err(refusal),
    };
    let off: Vec<Peeled> = candidates.iter().copied().filter(|feature| feature.take_off(attr).is_some()).collect();
    for count in 1..=off.len() {
        let Ok(mut event) = open.open(&without(attr, &off[..count]), scope) else { continue };
        let mut lost = off[..count].to_vec();
        // The last one taken off is needed off; each other is put back to see.
        for feature in off[..count - 1].iter().rev() {
            let fewer: Vec<Peeled> = lost.iter().copied().filter(|other| other != feature).collect();
            if let Ok(better) = open.open(&without(attr, &fewer), scope) {
                (event, lost) = (better, fewer);
            }
        }
        return Ok((event, without(attr, &lost), lost));
    }
    Err(refusal)
}

fn without(attr: &EventAttr, off: &[Peeled]) -> EventAttr {
    off.iter().fold(attr.clone(), |attr, feature| feature.take_off(&attr).unwrap_or(attr))
}

fn clear(attr: &mut EventAttr, flags: AttrFlags) {
    attr.flags = attr.flags.without(flags);
}

fn clear_fields(attr: &mut EventAttr, fields: SampleFields) {
    attr.sample_fields = attr.sample_fields.without(fields);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;

    use super::*;

    /// A kernel that knows flags, sample fields and read formats up to its version.
    struct Kernel {
        version: (u32, u32),
        backported: AttrFlags,
        privileged: bool,
        opens: Cell<usize>,
    }

    fn kernel(major: u32, minor: u32) -> Kernel {
        Kernel { version: (major, minor), backported: AttrFlags(0), privileged: true, opens: Cell::new(0) }
    }

    impl OpenEvent for Kernel {
        fn open(&self, attr: &EventAttr, _: Scope<'_>) -> io::Result<OwnedFd> {
            self.opens.set(self.opens.get() + 1);
            let flags = [
                (AttrFlags::KSYMBOL, (5, 1)),
                (AttrFlags::BPF_EVENT, (5, 1)),
                (AttrFlags::CGROUP, (5, 7)),
                (AttrFlags::TEXT_POKE, (5, 9)),
                (AttrFlags::BUILD_ID, (5, 12)),
                (AttrFlags::INHERIT_THREAD, (5, 13)),
            ];
            let unknown_flag = flags
                .iter()
                .any(|(flag, since)| attr.flags.has(*flag) && !self.backported.has(*flag) && self.version < *since);
            let unknown_field = (attr.sample_fields.has(SampleFields::CGROUP) && self.version < (5, 7))
                || (attr.sample_fields.has(SampleFields::CODE_PAGE_SIZE) && self.version < (5, 11))
                || (attr.read_format & read_format::LOST != 0 && self.version < (6, 0));
            if unknown_flag || unknown_field {
                return Err(Errno::INVAL.into());
            }
            if attr.flags.has(AttrFlags::NAMESPACES) && !self.privileged {
                return Err(Errno::ACCESS.into());
            }
            if attr.sample_max_stack > 127 {
                return Err(Errno::OVERFLOW.into());
            }
            Ok(File::open("/dev/null")?.into())
        }
    }

    fn whole() -> EventAttr {
        let flags = [
            AttrFlags::MMAP,
            AttrFlags::MMAP2,
            AttrFlags::COMM_EXEC,
            AttrFlags::USE_CLOCKID,
            AttrFlags::NAMESPACES,
            AttrFlags::KSYMBOL,
            AttrFlags::BPF_EVENT,
            AttrFlags::CGROUP,
            AttrFlags::TEXT_POKE,
            AttrFlags::BUILD_ID,
        ];
        EventAttr {
            flags: flags.into_iter().fold(AttrFlags(0), AttrFlags::with),
            sample_fields: SampleFields::IP.with(SampleFields::CGROUP).with(SampleFields::CODE_PAGE_SIZE),
            read_format: read_format::ID | read_format::LOST,
            clockid: 1,
            ..EventAttr::counting(1, 0)
        }
    }

    fn check(kernel: &Kernel, attr: &EventAttr, expected: &[Peeled]) {
        let (_event, kept, lost) = peel(kernel, attr, Scope::Cpu(0)).unwrap();
        assert_eq!(lost, expected, "{:?}", kernel.version);
        assert_eq!(kept, without(attr, expected));
        assert!(kernel.opens.get() <= 20, "{} opens", kernel.opens.get());
    }

    #[test]
    fn each_kernel_loses_what_is_newer_than_it() {
        use Peeled::{BpfNames, BuildId, Cgroup, PageSize, ReadLost, TextPoke};
        check(&kernel(4, 18), &whole(), &[ReadLost, BuildId, PageSize, TextPoke, Cgroup, BpfNames]);
        check(&kernel(5, 4), &whole(), &[ReadLost, BuildId, PageSize, TextPoke, Cgroup]);
        check(&kernel(5, 10), &whole(), &[ReadLost, BuildId, PageSize]);
        check(&kernel(5, 15), &whole(), &[ReadLost]);
        check(&kernel(6, 1), &whole(), &[]);
    }

    #[test]
    fn what_was_backported_is_kept() {
        let redhat = Kernel { backported: AttrFlags::BUILD_ID.with(AttrFlags::CGROUP), ..kernel(5, 4) };
        let attr = EventAttr { sample_fields: SampleFields::IP, ..whole() };
        check(&redhat, &attr, &[Peeled::ReadLost, Peeled::TextPoke]);
    }

    #[test]
    fn namespaces_go_where_they_are_not_permitted() {
        check(&Kernel { privileged: false, ..kernel(6, 1) }, &whole(), &[Peeled::Namespaces]);
    }

    #[test]
    fn too_deep_chains_are_bounded_by_the_kernel() {
        check(&kernel(6, 1), &EventAttr { sample_max_stack: 128, ..whole() }, &[Peeled::MaxStack]);
    }

    #[test]
    fn what_must_not_be_lost_is_refused() {
        let attr = EventAttr { flags: AttrFlags::INHERIT_THREAD, ..EventAttr::counting(1, 0) };
        let refusal = peel(&kernel(5, 4), &attr, Scope::Cpu(0)).unwrap_err();
        assert_eq!(Errno::from_io_error(&refusal), Some(Errno::INVAL));
    }

    #[test]
    fn several_reasons_at_once() {
        let old_and_plain = Kernel { privileged: false, ..kernel(5, 10) };
        let deep = EventAttr { sample_max_stack: 128, ..whole() };
        use Peeled::{BuildId, MaxStack, Namespaces, PageSize, ReadLost};
        check(&old_and_plain, &deep, &[ReadLost, BuildId, PageSize, Namespaces, MaxStack]);
        check(&Kernel { privileged: false, ..kernel(6, 1) }, &deep, &[Namespaces, MaxStack]);
    }
}
