use std::time::{Duration, Instant};

use super::super::abi;
use super::super::mappings::{List, Mapped};
use super::*;

/// Loads the programs, or says why not.
fn load(request: &Request) -> Option<Bpf> {
    match Bpf::load(request) {
        Ok(bpf) => Some(bpf),
        Err(error) if error.kind() == ErrorKind::Permission => {
            crate::skip::here(&format!("BPF programs may not be loaded: {error}"));
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
    }
}

/// How often this thread has gone to sleep (proc_pid_status(5)).
fn voluntary_switches() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("it is there").trim().parse().expect("it is a number")
}

#[test]
fn switches_are_counted_and_waits_added_up() {
    let programs = Programs { on_cpu: false, off_cpu: true };
    let whom = Whom::Processes(vec![std::process::id()]);
    let request = Request { whom, programs, wakers: true, ..Request::default() };
    let Some(mut bpf) = load(&request) else { return };
    bpf.attach_switches().expect("it attaches");
    bpf.start().expect("it starts");
    let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
    let (began, slept_before) = (Instant::now(), voluntary_switches());
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (mut stacks, mut kernel_frames) = (0, 0);
    let (taken, sleeps) = (began.elapsed().as_nanos() as u64, voluntary_switches() - slept_before);
    while bpf.read(&mut |event| {
        if let Event::Stack(stack) = event {
            stacks += 1;
            kernel_frames += stack.kernel().count();
        }
    }) > 0
    {}
    let counters = bpf.counters();
    let waits = bpf.waits().expect("they can be read");
    let asleep = || waits.iter().filter(|(key, _)| key.tid == tid && key.state != 0).map(|(_, value)| value);
    let (slept, count) =
        (asleep().map(|value| value.time).sum::<u64>(), asleep().map(|value| value.count).sum::<u64>());
    // The kernel's own count. A timer that ends while its thread is still on the way to sleep lets it stay awake; and now and then the
    // kernel does not tell that a thread is back (once in thousands of switches), which is counted.
    let not_told = counters.get(abi::NO_END);
    let is_whole = count <= sleeps && sleeps <= count + not_told && not_told <= 2;
    assert!((5..=11).contains(&sleeps) && is_whole, "{sleeps} sleeps: {waits:?} {:?}", counters.named());
    assert!(slept > 2_500_000 * count && slept <= taken, "{slept} of {taken} ns: {waits:?} {:?}", counters.named());
    assert!(stacks > 0 && kernel_frames > stacks, "{stacks} stacks, {kernel_frames} frames");
    assert!(counters.get(abi::SWITCHES_OUT) >= sleeps, "{:?}", counters.named());
    let tasks = bpf.tasks().expect("they can be listed");
    assert!(tasks.iter().all(|task| task.record.tgid == std::process::id() && task.record.tid != tid), "{tasks:?}");
    let on_cpu = bpf.on_cpu().expect("it can be read");
    assert!(on_cpu.iter().any(|(thread, _)| *thread == tid), "{on_cpu:?}");
    assert!(bpf.programs().values().all(|program| program.id > 0 && program.verified > 0), "{:?}", bpf.programs());
}

#[test]
fn what_is_given_back_is_used_again_after_a_rest() {
    let programs = Programs { on_cpu: true, off_cpu: false };
    let Some(mut bpf) = load(&Request { programs, heap_bytes: 4 << 20, ..Request::default() }) else { return };
    let tables = bpf.tables();
    let words = vec![7u32; abi::BLOCK_WORDS as usize * 300];
    let first = tables.add(1, &words).expect("memory is given").expect("there is room");
    assert_eq!(tables.add(2, &words).expect("memory is given"), None, "the heap is limited");
    tables.remove(first);
    let began = Instant::now();
    assert_eq!(tables.add(3, &words).expect("memory is given"), Some(first));
    // A grace period of the kernel takes milliseconds, a call without one microseconds.
    let rested = began.elapsed();
    assert!(rested > Duration::from_micros(100), "{rested:?}");

    let code = Mapped { start: 0x1000, end: 0x2000, image: 3, block: first, in_table: 0 };
    assert!(tables.set_process(77, &List::of(&[code]), (9, 4)).expect("there is room"));
    let process = tables.process(77).expect("it can be read").expect("it is there");
    assert_eq!((process.count, process.exec_vm, process.epoch, process.list), (1, 9, 4, 1));
    tables.remove_process(77).expect("it can be removed");
    assert_eq!(tables.process(77).expect("it can be read"), None);
}

/// What the verifier says of a program that it refuses is in a file, whose name is told.
#[test]
fn what_the_verifier_says_is_saved() {
    use object::{Object, ObjectSection};
    let request = Request { programs: Programs { on_cpu: false, off_cpu: true }, ..Request::default() };
    if load(&request).is_none() {
        return;
    }
    let mut object = OBJECT.to_vec();
    let section = object::File::parse(OBJECT).expect("it is one");
    let section =
        section.section_by_name("tp_btf/sched_wakeup").expect("it is there").file_range().expect("it has bytes");
    // r0 = *(u64 *)(r9 + 0): nobody has given it a value. `struct bpf_insn`, include/uapi/linux/bpf.h.
    object[section.0 as usize..][..8].copy_from_slice(&[0x79, 0x90, 0, 0, 0, 0, 0, 0]);
    let refusal =
        Bpf::load_object(&object, &request).and_then(|mut bpf| bpf.finish_loading()).expect_err("it is refused");
    assert!(refusal.to_string().contains("sched_wakeup"), "{refusal}");
    let hint = refusal.hint().expect("it says where");
    let path = PathBuf::from(hint.rsplit(' ').next().expect("it ends in the path"));
    let log = std::fs::read_to_string(&path).expect("it is there");
    assert!(log.contains("R9 !read_ok"), "{log}");
    std::fs::remove_file(path).expect("it is ours");
}

/// What finds no room is counted, with its time.
#[test]
fn waits_without_room_are_counted() {
    let programs = Programs { on_cpu: false, off_cpu: true };
    let whom = Whom::Processes(vec![std::process::id()]);
    let Some(mut bpf) = load(&Request { whom, programs, waits: 1, ..Request::default() }) else { return };
    bpf.attach_switches().expect("it attaches");
    bpf.start().expect("it starts");
    // Each of them is a row: another stack, or another thread.
    let began = Instant::now();
    let threads: Vec<_> =
        (0..20).map(|_| std::thread::spawn(|| std::thread::sleep(Duration::from_millis(20)))).collect();
    for thread in threads {
        thread.join().expect("it sleeps");
    }
    let taken = began.elapsed().as_nanos() as u64;
    bpf.end().expect("it ends");
    let (waits, counters) = (bpf.waits().expect("they can be read"), bpf.counters());
    let (lost, time) = (counters.get(abi::WAITS_FULL), counters.get(abi::WAITS_FULL_TIME));
    assert!(lost >= 10 && time >= 10_000_000 * lost.min(15) && time < taken * 60, "{lost}, {time}: {waits:?}");
    let kept: u64 = waits.iter().map(|(_, value)| value.count).sum();
    assert!(waits.len() <= 8 && kept + lost >= 20, "{kept} kept, {lost} lost: {waits:?}");
}
