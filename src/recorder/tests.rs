//! The recorder on records made by hand.

use super::*;
use crate::model::{ImageId, Sample, StackEnd, Truncation, Unit};
use crate::perf::record::{Comm, Identity, Mmap, Task, context};
use crate::perf::{ByteOrder, Layout, SampleFields, Words, branch_type};
use crate::process::Membership;

fn options(membership: Membership) -> RecorderOptions {
    RecorderOptions {
        membership,
        events: vec![RecordedEvent::new("cpu-clock", Unit::Nanoseconds, Some(1000))],
        origin: Origin::Live,
        waits: None,
        threads: std::num::NonZeroUsize::MIN,
        streams: 4,
        user_stacks: UserStacks::Auto,
        stack_copy: 0,
        begins_with_exec_of: None,
    }
}

/// The origin of a recording that was made elsewhere.
fn elsewhere() -> Origin {
    Origin::Recording {
        processor: None,
        is_monotonic: true,
        symbols_of: Default::default(),
        build_ids: Default::default(),
    }
}

/// A recorder that has begun at time 100.
fn recorder(options: RecorderOptions) -> Recorder {
    let mut recorder = Recorder::new(options);
    recorder.begin(100);
    recorder
}

fn sample(recorder: &mut Recorder, pid: u32, time: u64, chain: &[u64]) {
    let bytes: Vec<u8> = chain.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let identity = Identity { pid, tid: pid, time, cpu: 0, id: 0 };
    recorder.record(&Record::Sample(record::Sample {
        identity,
        ip: 1,
        period: 4000,
        callchain: Words::new(&bytes, ByteOrder::Native),
        ..record::Sample::default()
    }));
}

const USER: u64 = context::USER;
const KERNEL: u64 = context::KERNEL;

fn samples(recorder: Recorder) -> Vec<Sample> {
    let recorded = recorder.finish();
    recorded.profile.check().expect("sound tables");
    recorded.profile.samples.iter().collect()
}

#[test]
fn samples_of_strangers_and_before_the_beginning_are_left_out() {
    let mut recorder = recorder(options(Membership::Tree));
    recorder.add_waiting(10);
    sample(&mut recorder, 10, 99, &[USER, 1]);
    sample(&mut recorder, 11, 200, &[USER, 1]);
    sample(&mut recorder, 10, 200, &[USER, 1]);
    assert_eq!(recorder.counters().samples, 1);
    assert_eq!(samples(recorder).len(), 1);
}

/// The gate page is in each process; nobody writes a perf map of what is there.
#[test]
fn gate_page_is_no_code_that_a_process_has_made() {
    let mut recorder = recorder(options(Membership::All));
    let pid = std::process::id();
    let mut maps = |path: &[u8]| {
        recorder.record(&Record::Mmap(Mmap {
            identity: Identity { pid, tid: pid, time: 200, cpu: 0, id: 0 },
            pid,
            mode: crate::perf::record::CpuMode::User,
            start: 0x1000,
            length: 0x1000,
            offset: 0,
            executable: true,
            build_id: None,
            device_inode: None,
            path,
        }));
        recorder.jit_hosts.len()
    };
    assert_eq!([maps(b"[vsyscall]"), maps(b"//anon")], [0, 1]);
}

/// `main.leaf` of a hand-made Go program runs on a stack of its own, which `runtime.systemstack` has put there; the kernel has
/// followed the frame pointer to the other one.
#[test]
fn stack_goes_on_in_the_call_chain_where_the_copy_ends() {
    const CODE: u64 = 0x7000_0000;
    const STACK: u64 = 0xc000_0000;
    const ELSEWHERE: u64 = 0x1234_5670;
    // See `src/unwind/go/tests.rs`.
    let (leaf, main, goexit, systemstack) = (CODE + 0x10, CODE + 0x40, CODE + 0x61, CODE + 0xf0);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/go_table/go120");
    let pid = std::process::id();
    let ends = |fp: u64, chain: &[u64]| {
        let mut recorder = recorder(options(Membership::All));
        recorder.record(&Record::Mmap(Mmap {
            identity: Identity { pid, tid: pid, time: 200, cpu: 0, id: 0 },
            pid,
            mode: crate::perf::record::CpuMode::User,
            start: CODE,
            length: 0x1000,
            offset: 0x200,
            executable: true,
            build_id: None,
            device_inode: None,
            path: program.as_bytes(),
        }));
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        // Frame pointer, stack pointer, instruction pointer: perf's 6, 7 and 8.
        let registers = words(&[fp, STACK, leaf]);
        let chain = words(chain);
        let mut stack = words(&[systemstack]);
        stack.extend(words(&[0; 31]));
        // A frame of the first stack, whose frame pointer leads to the other one.
        stack[0x80..0x88].copy_from_slice(&ELSEWHERE.to_ne_bytes());
        recorder.record(&Record::Sample(record::Sample {
            identity: Identity { pid, tid: pid, time: 300, cpu: 0, id: 0 },
            ip: leaf,
            period: 4000,
            callchain: Words::new(&chain, ByteOrder::Native),
            user_registers: Some(record::UserRegisters {
                abi: 2,
                mask: 0b1_1100_0000,
                values: Words::new(&registers, ByteOrder::Native),
            }),
            user_stack: &stack,
            user_stack_full: true,
            ..record::Sample::default()
        }));
        let recorded = recorder.finish();
        let profile = &recorded.profile;
        let sample = profile.samples.iter().next().unwrap();
        (profile.frames_of(sample.stack).count(), sample.end)
    };
    let cut = StackEnd::Truncated(Truncation::OtherStack);
    assert_eq!(ends(ELSEWHERE, &[USER, leaf, main, goexit]), (4, StackEnd::Root));
    assert_eq!(ends(ELSEWHERE, &[USER, leaf, main]), (3, StackEnd::Truncated(Truncation::FramePointers)));
    assert_eq!(ends(ELSEWHERE, &[USER, leaf]), (2, cut), "the kernel has read nothing there");
    assert_eq!(ends(ELSEWHERE, &[]), (2, cut), "no chain was recorded");
    assert_eq!(ends(ELSEWHERE, &[USER, leaf + 1, main, goexit]), (2, cut), "a chain of something else");
    assert_eq!(ends(0, &[USER, leaf, main, goexit]), (2, cut), "nothing leads there");
}

#[test]
fn command_is_recorded_from_its_exec_on() {
    let mut options = options(Membership::Tree);
    options.begins_with_exec_of = Some(10);
    let mut recorder = recorder(options);
    recorder.add_waiting(10);
    sample(&mut recorder, 10, 200, &[USER, 1]);
    recorder.record(&Record::Comm(Comm { pid: 10, tid: 10, exec: true, name: b"prog", ..Comm::default() }));
    sample(&mut recorder, 10, 300, &[USER, 1]);
    let recorded = recorder.finish();
    assert_eq!(recorded.profile.samples.len(), 1);
    assert_eq!(recorded.profile.strings.get(recorded.profile.processes[0].name), "prog");
}

#[test]
fn value_is_the_period_by_the_number_of_timers() {
    let mut recorder = recorder(options(Membership::All));
    sample(&mut recorder, 10, 200, &[USER, 1]);
    assert_eq!(recorder.counters().value, 1000);
    assert_eq!(samples(recorder)[0].value, 1000);
}

#[test]
fn children_are_followed_and_their_exec_is_another_process() {
    let mut recorder = recorder(options(Membership::Tree));
    recorder.add_waiting(10);
    let fork = Task { pid: 20, parent_pid: 10, tid: 20, parent_tid: 10, time: 150 };
    recorder.record(&Record::Fork(fork));
    sample(&mut recorder, 20, 200, &[USER, 1]);
    recorder.record(&Record::Comm(Comm { pid: 20, tid: 20, exec: true, name: b"ld", ..Comm::default() }));
    sample(&mut recorder, 20, 300, &[USER, 1]);
    recorder.record(&Record::Exit(fork));
    // The kernel may stamp a task's last sample after its end.
    sample(&mut recorder, 20, 400, &[KERNEL, 5]);
    let recorded = recorder.finish();
    assert_eq!((recorded.profile.samples.len(), recorded.profile.processes.len()), (3, 2));
}

#[test]
fn kernel_frames_stand_above_user_frames() {
    let mut recorder = recorder(RecorderOptions { origin: elsewhere(), ..options(Membership::All) });
    sample(&mut recorder, 10, 200, &[KERNEL, 0x9000, 0x9100, USER, 0x400, 0x500]);
    let profile = recorder.finish().profile;
    let keys: Vec<_> =
        profile.frames_of(profile.samples.get(0).stack).map(|id| profile.frames[id.index()].key).collect();
    let offsets: Vec<u64> = keys
        .iter()
        .map(|key| match key {
            crate::model::FrameKey::Code { offset, .. } => *offset,
            crate::model::FrameKey::Name { .. } => 0,
        })
        .collect();
    // Return addresses are looked up one byte back.
    assert_eq!(offsets, [0x9000, 0x90ff, 0x400, 0x4ff]);
    assert_eq!(profile.samples.get(0).end, StackEnd::Unstated);
}

#[test]
fn kernel_thread_is_complete_and_user_code_without_anything_is_not() {
    let mut recorder = recorder(options(Membership::All));
    sample(&mut recorder, 2, 200, &[KERNEL, 0x9000]);
    sample(&mut recorder, 10, 300, &[]);
    let ends: Vec<_> = samples(recorder).iter().map(|sample| sample.end).collect();
    assert_eq!(ends, [StackEnd::Root, StackEnd::Truncated(Truncation::NoRegisters)]);
}

#[test]
fn generated_code_is_an_image_of_its_process() {
    let mut recorder = recorder(options(Membership::All));
    let own = std::process::id();
    for pid in [own, 4_000_000] {
        let mmap = Mmap { pid, start: 0x1000, length: 0x1000, executable: true, path: b"//anon", ..Mmap::default() };
        recorder.record(&Record::Mmap(mmap));
        recorder.record(&Record::Mmap(Mmap { start: 0x4000, ..mmap }));
        sample(&mut recorder, pid, 200, &[USER, 0x1800, 0x4800]);
    }
    let recorded = recorder.finish();
    let kinds: Vec<_> = recorded.profile.images.iter().skip(2).map(|image| image.kind).collect();
    assert_eq!(kinds, [ImageKind::Jit(own), ImageKind::Jit(4_000_000)]);
    // Of a process that is gone there is the map that it may have left where we live.
    let hosts: Vec<_> =
        recorded.jit_hosts.iter().map(|host| (host.pid(), host.image(), host.root().is_some())).collect();
    assert_eq!(hosts, [(own, Some(ImageId(2)), true), (4_000_000, Some(ImageId(3)), true)]);
}

#[test]
fn map_that_is_too_large_is_told() {
    // An id that no process has.
    let pid = u32::MAX - 9 - std::process::id();
    let map = tempfile::Builder::new().prefix(&format!("perf-{pid}.map")).rand_bytes(0).tempfile_in("/tmp").unwrap();
    let mut recorder = recorder(options(Membership::All));
    // A line without end is no map.
    map.as_file().set_len(2 << 20).unwrap();
    let mmap = Mmap { pid, start: 0x1000, length: 0x1000, executable: true, path: b"//anon", ..Mmap::default() };
    recorder.record(&Record::Mmap(mmap));
    sample(&mut recorder, pid, 200, &[USER, 0x1800]);
    let notes = recorder.finish().notes;
    assert!(
        notes.len() == 1 && notes[0].starts_with(&format!("the perf map of process {pid} is too large")),
        "{notes:?}"
    );
}

#[test]
fn losses_are_counted() {
    let mut recorder = recorder(options(Membership::All));
    for record in [Record::Lost(3), Record::Lost(4), Record::LostSamples(2), Record::Throttle, Record::Malformed(9)] {
        recorder.record(&record);
    }
    let Counters { lost, lost_samples, throttled, malformed, .. } = recorder.counters();
    assert_eq!((lost, lost_samples, throttled, malformed), (7, 2, 1, 1));
}

#[test]
fn estimate_of_an_empty_recording_stands_under_the_target() {
    let mut recorder = recorder(options(Membership::All));
    recorder.add_estimate("[not sampled]", 5000, "prog");
    let profile = recorder.finish().profile;
    profile.check().expect("sound tables");
    assert_eq!((profile.samples.get(0).value, profile.samples.get(0).count), (5000, 0));
    assert_eq!(profile.strings.get(profile.processes[0].name), "prog");
}

#[test]
fn frame_pointers_that_are_none_are_kept_of_recordings_only() {
    for (origin, frames) in [(elsewhere(), 5), (Origin::Live, 2)] {
        let mut recorder = recorder(RecorderOptions { origin, ..options(Membership::All) });
        sample(&mut recorder, 10, 200, &[KERNEL, 0x9000, USER, 0x400, 0, 0x500, 0]);
        let profile = recorder.finish().profile;
        assert_eq!(profile.frames_of(profile.samples.get(0).stack).count(), frames);
    }
}

#[test]
fn samples_without_calls_of_the_processor_keep_their_leaf() {
    let threads = std::num::NonZeroUsize::new(2).expect("two");
    let mut recorder =
        recorder(RecorderOptions { user_stacks: UserStacks::CallStack, threads, ..options(Membership::All) });
    // Walked together, one behind the other.
    let samples = (0..100).map(|n| {
        let identity = Identity { pid: 10, tid: 10, time: 200 + n, cpu: 0, id: 0 };
        Record::Sample(record::Sample { identity, ip: 0x400 + n, period: 4000, ..record::Sample::default() })
    });
    recorder.record_all(samples);
    let profile = recorder.finish().profile;
    assert!(profile.samples.iter().all(|row| profile.frames_of(row.stack).count() == 1));
}

/// A sample of a program that has made `calls` (from, to), latest first, as it stands in a ring.
fn sample_with_calls(recorder: &mut Recorder, calls: &[(u64, u64)], chain: &[u64]) {
    let fields = [SampleFields::IP, SampleFields::TID, SampleFields::TIME, SampleFields::CALLCHAIN];
    let fields = fields.into_iter().fold(SampleFields::BRANCH_STACK, SampleFields::with);
    let layout = Layout { fields, branches: branch_type::CALL_STACK, ..Layout::default() };
    let mut words = vec![0x400, 10 | 10 << 32, 200, chain.len() as u64];
    words.extend_from_slice(chain);
    words.push(calls.len() as u64);
    words.extend(calls.iter().flat_map(|(from, to)| [*from, *to, 0]));
    let size = (8 + words.len() * 8) as u64;
    // Type, mode (user), size.
    let header = u64::from(record::kind::SAMPLE) | 2 << 32 | size << 48;
    let bytes: Vec<u8> = [header].into_iter().chain(words).flat_map(u64::to_le_bytes).collect();
    recorder.record(&record::parse(&bytes, &layout));
}

#[cfg(target_endian = "little")]
#[test]
fn calls_of_the_processor_go_on_in_the_chain() {
    let check = |stacks: UserStacks, chain: &[u64], expected: &[u64], end: StackEnd| {
        let mut recorder = recorder(RecorderOptions { user_stacks: stacks, ..options(Membership::All) });
        sample_with_calls(&mut recorder, &[(0x500, 0x3f0), (0x600, 0x4f0)], chain);
        let profile = recorder.finish().profile;
        profile.check().expect("sound tables");
        let row = profile.samples.get(0);
        let offsets: Vec<u64> = profile
            .frames_of(row.stack)
            .map(|id| match profile.frames[id.index()].key {
                crate::model::FrameKey::Code { offset, .. } => offset,
                crate::model::FrameKey::Name { .. } => 0,
            })
            .collect();
        assert_eq!((offsets.as_slice(), row.end), (expected, end));
    };
    let (full, cut) = (Truncation::CallStack, Truncation::FramePointers);
    let [full, cut] = [full, cut].map(StackEnd::Truncated);
    // The chain has the outermost call: it returns to 0x605.
    check(UserStacks::CallStack, &[USER, 0x400, 0x605, 0x705, 0x805], &[0x400, 0x500, 0x600, 0x704, 0x804], cut);
    // It has it twice, or not at all.
    check(UserStacks::CallStack, &[USER, 0x400, 0x605, 0x605], &[0x400, 0x500, 0x600], full);
    check(UserStacks::CallStack, &[USER, 0x400, 0x705], &[0x400, 0x500, 0x600], full);
    check(UserStacks::CallStack, &[], &[0x3f0, 0x500, 0x600], full);
    // The other ways take no notice.
    check(UserStacks::FramePointers, &[USER, 0x400, 0x605], &[0x400], cut);
    check(UserStacks::None, &[USER, 0x400, 0x605], &[0x400], StackEnd::Truncated(Truncation::NotAsked));
    check(UserStacks::Dwarf, &[USER, 0x400, 0x605], &[0x400], StackEnd::Truncated(Truncation::NoRegisters));
}
