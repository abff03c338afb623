//! The table of answers: no machine of ours has these PMUs, so a fake kernel gives them.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;

use super::*;
use crate::sampler::event::tests::{Machine, machine};
use crate::sampler::facts::tests::facts;

/// How a kernel answers.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    /// `kernel.perf_event_paranoid`, for a user without capabilities; -1 for root.
    paranoid: i32,
    /// Whether generic hardware events open at all.
    pmu: bool,
    /// The highest `precise_ip` that the PMU takes.
    precise: u8,
    /// Whether precise events go to IBS: levels 1 and 2, no exclusion of a side.
    ibs: bool,
    /// A seccomp filter: EPERM to everything.
    filter: bool,
}

const ROOT: Kernel = Kernel { paranoid: -1, pmu: true, precise: 3, ibs: false, filter: false };

struct Fake(Kernel, RefCell<Vec<String>>);

impl OpenEvent for Fake {
    fn open(&self, attr: &EventAttr, scope: Scope<'_>) -> io::Result<OwnedFd> {
        let kernel = self.0;
        let level = (attr.flags.0 >> 15 & 3) as u8;
        let no_kernel = attr.flags.has(AttrFlags::EXCLUDE_KERNEL);
        let hardware = attr.kind != names::SOFTWARE && attr.kind != names::TRACEPOINT;
        let whole_cpu = matches!(scope, Scope::Cpu(_) | Scope::Cgroup(..));
        let excludes = [AttrFlags::EXCLUDE_USER, AttrFlags::EXCLUDE_KERNEL, AttrFlags::EXCLUDE_HV];
        let answer = if kernel.filter {
            Err(Errno::PERM)
        } else if kernel.paranoid > 2
            || (kernel.paranoid > 1 && !no_kernel)
            || (kernel.paranoid > 0 && whole_cpu)
            || (kernel.paranoid > -1 && attr.kind == names::TRACEPOINT)
        {
            Err(Errno::ACCESS)
        } else if hardware && !kernel.pmu {
            Err(Errno::NOENT)
        } else if hardware && kernel.ibs && level > 2 {
            Err(Errno::OPNOTSUPP)
        } else if hardware && kernel.ibs && level > 0 && excludes.iter().any(|flag| attr.flags.has(*flag)) {
            Err(Errno::INVAL)
        } else if hardware && !kernel.ibs && level > kernel.precise {
            Err(Errno::OPNOTSUPP)
        } else {
            Ok(())
        };
        self.1.borrow_mut().push(format!("{}:{:x} p{level} {answer:?}", attr.kind, attr.config));
        answer?;
        Ok(File::open("/dev/null")?.into())
    }
}

fn wish(scope: Scope<'_>) -> Wish<'_> {
    Wish { scope, cpus: None, side: Side::Both, sampling: None }
}

fn run(on: Machine, kernel: Kernel, event: Option<&str>, wish: &Wish<'_>) -> (Result<Choice>, usize) {
    let (_root, sources) = machine(on);
    let fake = Fake(kernel, RefCell::default());
    let mut facts = facts(kernel.paranoid);
    facts.seccomp_filter = kernel.filter;
    let choice = match event {
        None => choose_default(&fake, &sources, &facts, wish),
        Some(event) => choose(&fake, &EventSpec::parse(event, &sources).unwrap(), &sources, &facts, wish),
    };
    let opens = fake.1.borrow().len();
    (choice, opens)
}

/// What is chosen: kind, precision, whether the kernel's side is gone, how many attributes, and a word of the notes.
fn check(on: Machine, kernel: Kernel, event: Option<&str>, expected: (EventKind, u8, bool, usize), note: &str) {
    let (choice, opens) = run(on, kernel, event, &wish(Scope::Task(1)));
    let choice = choice.unwrap_or_else(|error| panic!("{on:?} {kernel:?} {event:?}: {error}"));
    let got = (choice.spec.kind, choice.precise, choice.exclude_kernel, choice.spec.attrs.len());
    assert_eq!(got, expected, "{on:?} {kernel:?} {event:?}: {:?}", choice.notes);
    let notes = choice.notes.join("; ");
    assert!(notes.contains(note) && notes.is_empty() == note.is_empty(), "{on:?} {kernel:?} {event:?}: {notes}");
    assert!(opens <= 12, "{opens} opens");
    let excluded = choice.spec.attrs.iter().all(|(attr, _)| attr.flags.has(AttrFlags::EXCLUDE_KERNEL));
    assert!(excluded || !choice.exclude_kernel, "{on:?} {kernel:?} {event:?}");
}

#[test]
fn the_default_event_by_machine_and_permission() {
    use EventKind::{Clock, Hardware};
    use Machine::{Amd, Bare, BigLittle, Hybrid, Intel};
    let plain = Kernel { paranoid: 2, ..ROOT };
    check(Intel, ROOT, None, (Hardware, 3, false, 1), "");
    check(Intel, Kernel { precise: 2, ..ROOT }, None, (Hardware, 2, false, 1), "");
    check(Intel, Kernel { precise: 0, ..ROOT }, None, (Hardware, 0, false, 1), "");
    check(Intel, plain, None, (Hardware, 3, true, 1), "no kernel side (kernel.perf_event_paranoid is 2)");
    check(Hybrid, ROOT, None, (Hardware, 3, false, 2), "");
    check(Hybrid, plain, None, (Hardware, 3, true, 2), "user mode only");
    check(Amd, Kernel { ibs: true, ..ROOT }, None, (Hardware, 2, false, 1), "");
    check(Amd, Kernel { ibs: true, ..plain }, None, (Hardware, 0, true, 1), "user mode only");
    // An ARM PMU takes any `precise_ip`, and we claim none.
    check(BigLittle, ROOT, None, (Hardware, 0, false, 2), "");
    check(Bare, Kernel { pmu: false, ..ROOT }, None, (Clock, 0, false, 1), "(ENOENT): sampling by cpu-clock");
    check(Bare, Kernel { pmu: false, ..plain }, None, (Clock, 0, true, 1), "user mode only");
    check(Intel, Kernel { pmu: false, ..ROOT }, None, (Clock, 0, false, 1), "cpu-clock");
}

#[test]
fn a_named_event_is_kept() {
    use EventKind::{Clock, Hardware, Software, Tracepoint};
    use Machine::{Amd, Bare, BigLittle, Intel};
    let plain = Kernel { paranoid: 2, ..ROOT };
    check(Intel, ROOT, Some("instructions"), (Hardware, 0, false, 1), "");
    check(Intel, ROOT, Some("instructions:pp"), (Hardware, 2, false, 1), "");
    check(Intel, plain, Some("instructions"), (Hardware, 0, true, 1), "user mode only");
    check(Intel, plain, Some("cycles:u"), (Hardware, 0, false, 1), "");
    check(BigLittle, ROOT, Some("cycles:pp"), (Hardware, 0, false, 2), "does not say that it is precise");
    check(Amd, Kernel { ibs: true, ..ROOT }, Some("r076:P"), (Hardware, 2, false, 1), "");
    check(Amd, Kernel { ibs: true, ..ROOT }, Some("instructions:P"), (Hardware, 0, false, 1), "");
    check(Bare, plain, Some("cpu-clock:P"), (Clock, 0, true, 1), "user mode only");
    check(Bare, plain, Some("page-faults"), (Software, 0, true, 1), "user mode only");
    check(Bare, ROOT, Some("sched:sched_switch"), (Tracepoint, 0, false, 1), "");
}

fn check_error(on: Machine, kernel: Kernel, event: Option<&str>, scope: Scope<'_>, kind: ErrorKind, says: &str) {
    let (choice, _) = run(on, kernel, event, &wish(scope));
    let error = choice.expect_err("an error");
    assert_eq!(error.kind(), kind, "{event:?}: {error}");
    let all = format!("{error} / {}", error.hint().unwrap_or("no hint"));
    assert!(all.contains(says), "{event:?}: {all}");
}

#[test]
fn refusals_say_what_to_do() {
    use ErrorKind::{Permission, Unsupported};
    use Machine::{Bare, Intel};
    let task = Scope::Task(1);
    let bare = Kernel { pmu: false, ..ROOT };
    let plain = Kernel { paranoid: 2, ..ROOT };
    check_error(Bare, bare, Some("cycles"), task, Unsupported, "use `-e cpu-clock`");
    check_error(Bare, bare, Some("r01c2"), task, Unsupported, "has no PMU");
    check_error(Intel, Kernel { precise: 1, ..ROOT }, Some("cycles:ppp"), task, Unsupported, "try P in place of p");
    check_error(Intel, bare, Some("uncore_imc_0/event=1/"), task, Unsupported, "try with -a");
    check_error(Bare, plain, Some("context-switches"), task, Permission, "kernel.perf_event_paranoid");
    check_error(Bare, plain, Some("sched:sched_switch"), task, Permission, "kernel.perf_event_paranoid");
    check_error(Intel, plain, None, Scope::Cpu(0), Permission, "kernel.perf_event_paranoid=0");
    check_error(Intel, Kernel { paranoid: 3, ..ROOT }, None, task, Permission, "Debian");
    check_error(Intel, Kernel { paranoid: 4, ..ROOT }, None, task, Permission, "Ubuntu");
    check_error(Intel, Kernel { filter: true, ..ROOT }, None, task, Permission, "--cap-add PERFMON");
}

#[test]
fn core_types_whose_cpus_are_not_wanted_are_left_out() {
    let cpus = CpuList::parse("1-2").unwrap();
    let wish = Wish { cpus: Some(&cpus), ..wish(Scope::Cpu(1)) };
    let choice = run(Machine::Hybrid, ROOT, None, &wish).0.unwrap();
    let lists: Vec<_> = choice.spec.attrs.iter().map(|(_, cpus)| cpus.as_ref().unwrap().to_string()).collect();
    assert_eq!(lists, ["0-7"]);
}

#[test]
fn sides_are_set_and_never_given_up() {
    let kernel = Kernel { paranoid: 2, ..ROOT };
    let only_kernel = Wish { side: Side::Kernel, ..wish(Scope::Task(1)) };
    assert_eq!(run(Machine::Intel, kernel, None, &only_kernel).0.unwrap_err().kind(), ErrorKind::Permission);
    let only_user = Wish { side: Side::User, ..wish(Scope::Task(1)) };
    let choice = run(Machine::Intel, kernel, None, &only_user).0.unwrap();
    assert!(!choice.exclude_kernel && choice.notes.is_empty());
    assert!(choice.spec.attrs[0].0.flags.has(AttrFlags::EXCLUDE_KERNEL));
}
