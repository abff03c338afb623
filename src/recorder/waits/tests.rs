//! Waits that are planted, by records and by sums of a program.

use super::super::kernel_stacks::{StackOf, SummedWaits, WakerOf};
use super::super::{Recorded, RecordedEvent, RecorderOptions};
use super::*;
use crate::model::{FrameKey, Profile, Unit};
use crate::perf::record::{self, Comm, Identity, KeyedStack, Record, context};
use crate::perf::{ByteOrder, Words};
use crate::process::{KernelPlaces, Membership};

const KERNEL: u64 = context::KERNEL;

fn recorder(waits: WaitOptions) -> Recorder {
    let is_switch = RecordedEvent { is_switch: true, ..RecordedEvent::new("switches", Unit::Nanoseconds, None) };
    let clock = RecordedEvent::new("wall-clock", Unit::Nanoseconds, None);
    let mut recorder = Recorder::new(RecorderOptions {
        membership: Membership::All,
        events: if waits.beside_on_cpu { vec![clock, is_switch] } else { vec![is_switch] },
        origin: super::super::Origin::Live,
        waits: Some(waits),
        threads: std::num::NonZeroUsize::MIN,
        streams: 1,
        user_stacks: super::super::UserStacks::None,
        stack_copy: 0,
        begins_with_exec_of: None,
    });
    recorder.begin(100);
    recorder
}

fn identity(tid: u32, time: u64) -> Identity {
    Identity { pid: 10, tid, time, cpu: 0, id: 0 }
}

fn sample(recorder: &mut Recorder, (tid, time): (u32, u64), event: u32, address: u64) {
    let bytes: Vec<u8> = [KERNEL, address].iter().flat_map(|word| word.to_ne_bytes()).collect();
    recorder.record(&Record::Sample(record::Sample {
        identity: identity(tid, time),
        event,
        period: 1000,
        callchain: Words::new(&bytes, ByteOrder::Native),
        ..record::Sample::default()
    }));
}

fn switch(recorder: &mut Recorder, (tid, time): (u32, u64), out: bool, preempted: bool) {
    recorder.record(&Record::Switch(Switch { identity: identity(tid, time), out, preempted }));
}

/// Goes off with a stack of the kernel, and comes on again.
fn wait(recorder: &mut Recorder, tid: u32, (off, on): (u64, u64), address: u64, preempted: bool) {
    let event = u32::from(recorder.events.len() > 1);
    sample(recorder, (tid, off), event, address);
    switch(recorder, (tid, off), true, preempted);
    switch(recorder, (tid, on), false, false);
}

/// Thread, frames from the outermost, value and count of each row.
fn rows(profile: &Profile) -> Vec<String> {
    let name = |frame: crate::model::FrameId| match profile.frames[frame.index()].key {
        FrameKey::Name { name, .. } => profile.strings.get(name).to_owned(),
        FrameKey::Code { offset, .. } => format!("{offset:x}"),
    };
    let mut rows: Vec<String> = profile
        .samples
        .iter()
        .map(|sample| {
            let mut frames: Vec<String> = profile.frames_of(sample.stack).map(name).collect();
            frames.reverse();
            let tid = profile.threads[sample.thread.index()].tid;
            format!("{tid} {} {} {}", frames.join(";"), sample.value, sample.count)
        })
        .collect();
    rows.sort();
    rows
}

fn check(mut recorder: Recorder, end: u64, expected: &[&str]) -> OffCpuStats {
    let stats = recorder.settle_waits(end).expect("waits are recorded");
    let Recorded { profile, .. } = recorder.finish();
    profile.check().expect("sound tables");
    assert_eq!(rows(&profile), expected);
    stats
}

#[test]
fn waits_that_are_alike_are_one_row() {
    let mut recorder = recorder(WaitOptions::default());
    wait(&mut recorder, 11, (110, 140), 0xa0, false);
    wait(&mut recorder, 11, (150, 160), 0xa0, false);
    wait(&mut recorder, 11, (170, 175), 0xb0, true);
    wait(&mut recorder, 12, (120, 130), 0xa0, false);
    sample(&mut recorder, (12, 180), 0, 0xc0);
    switch(&mut recorder, (12, 180), true, false);
    let expected = ["11 a0 40 2", "11 b0;[runnable] 5 1", "12 a0 10 1", "12 c0;[still blocked] 20 1"];
    let stats = check(recorder, 200, &expected);
    assert_eq!((stats.blocked.as_nanos(), stats.waits, stats.still_blocked), (70, 4, 1));
    assert_eq!((stats.runnable.as_nanos(), stats.runnable_waits), (5, 1));
}

#[test]
fn lengths_and_states_leave_out_what_they_say() {
    let nanoseconds = Duration::from_nanos;
    let options =
        WaitOptions { shortest: nanoseconds(10), longest: nanoseconds(30), runnable: false, ..WaitOptions::default() };
    let mut recorder = recorder(options);
    wait(&mut recorder, 11, (110, 119), 0xa0, false);
    wait(&mut recorder, 11, (120, 130), 0xb0, false);
    wait(&mut recorder, 11, (140, 171), 0xc0, false);
    wait(&mut recorder, 11, (180, 190), 0xd0, true);
    assert_eq!(check(recorder, 200, &["11 b0 10 1"]).left_out, 3);
}

#[test]
fn last_switch_of_a_thread_and_those_of_before_are_none() {
    let mut recorder = recorder(WaitOptions::default());
    wait(&mut recorder, 11, (50, 60), 0xa0, false);
    recorder.record(&Record::Fork(record::Task { pid: 10, tid: 12, parent_pid: 10, parent_tid: 10, time: 110 }));
    wait(&mut recorder, 12, (120, 130), 0xa0, false);
    recorder.record(&Record::Exit(record::Task { pid: 10, tid: 12, parent_pid: 10, parent_tid: 10, time: 150 }));
    sample(&mut recorder, (12, 151), 0, 0xb0);
    switch(&mut recorder, (12, 151), true, false);
    let stats = check(recorder, 200, &["12 a0 10 1"]);
    // 110 to 150; that of the others is not known.
    assert_eq!((stats.wall, stats.on_cpu), (Some(Duration::from_nanos(40)), Some(Duration::from_nanos(40))));
}

#[test]
fn switches_without_samples_tell_how_long() {
    let mut recorder = recorder(WaitOptions { has_stacks: false, ..WaitOptions::default() });
    for (time, out) in [(110, true), (120, false), (130, true), (150, false)] {
        switch(&mut recorder, (11, time), out, false);
    }
    check(recorder, 200, &["11  30 2"]);
}

#[test]
fn time_on_and_off_add_up() {
    let mut recorder = recorder(WaitOptions { beside_on_cpu: true, ..WaitOptions::default() });
    recorder.record(&Record::Fork(record::Task { pid: 10, tid: 11, parent_pid: 10, parent_tid: 10, time: 100 }));
    switch(&mut recorder, (11, 100), false, false);
    for (time, address) in [(103, 0x10), (104, 0x10), (105, 0x20)] {
        sample(&mut recorder, (11, time), 0, address);
    }
    wait(&mut recorder, 11, (110, 190), 0xa0, false);
    recorder.record(&Record::Fork(record::Task { pid: 10, tid: 12, parent_pid: 10, parent_tid: 10, time: 192 }));
    switch(&mut recorder, (12, 195), false, false);
    switch(&mut recorder, (12, 198), true, false);
    // 20 on the CPU are shared by three samples, 3 of another thread, which waited for one at first, by none.
    let expected = [
        "11 10 7 1",
        "11 10 7 1",
        "11 20 6 1",
        "11 a0;[off-CPU] 80 1",
        "12 [off-CPU];[still blocked] 2 1",
        "12 [on CPU, not sampled] 3 0",
        "12 [runnable] 3 1",
    ];
    let stats = check(recorder, 200, &expected);
    assert_eq!(stats.coverage(), Some(1.0));
}

/// A program's sums, of a process that is known by its name.
fn summed(stack: StackOf, waker: Option<WakerOf>) -> SummedWaits {
    let (time, count) = (500, 5);
    SummedWaits {
        pid: 10,
        tid: 11,
        stack,
        epoch: 0,
        waker,
        runnable: false,
        before: false,
        still: false,
        time,
        count,
        at: 100,
    }
}

fn keyed(recorder: &mut Recorder, key: u64, kernel: &[u64]) {
    let bytes: Vec<u8> = kernel.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let frames = Words::new(&bytes, ByteOrder::Native);
    recorder.record(&Record::KeyedStack(KeyedStack { key, end: 0, kernel_frames: kernel.len() as u32, frames }));
}

#[test]
fn wakers_stand_above_who_they_woke() {
    let mut recorder = recorder(WaitOptions { has_switches: false, ..WaitOptions::default() });
    let list =
        "0100 T __irqentry_text_start\n0100 T asm_timer\n0200 T __irqentry_text_end\n0300 T bpf_trace_run4\n0400 T x\n";
    if let Some(waits) = &mut recorder.waits {
        waits.stacks.set_places(KernelPlaces::parse(list.as_bytes()));
    }
    let identity = identity(12, 90);
    recorder.record(&Record::Comm(Comm { identity, pid: 10, tid: 12, exec: false, name: b"writer" }));
    recorder.add_life(10, 12, 100);
    recorder.record(&Record::Exit(record::Task { pid: 10, tid: 12, parent_pid: 10, parent_tid: 10, time: 150 }));
    // Return addresses are looked up one byte before; the program's own frames go.
    keyed(&mut recorder, 5, &[0x310, 0xa01, 0xb01]);
    keyed(&mut recorder, 6, &[0x310, 0xc01, 0xd01]);
    keyed(&mut recorder, 7, &[0x310, 0xe01, 0x111, 0xf01]);
    let by = |stack, tid| Some(WakerOf { stack, epoch: 0, tid });
    for waker in [by(Some(6), 12), by(Some(7), 12), by(Some(6), 0), by(None, 0)] {
        assert!(recorder.add_summed_waits(&summed(StackOf::Key(5), waker)));
    }
    assert!(recorder.add_summed_waits(&summed(StackOf::Key(9), None)));
    let expected = [
        "11  500 5",
        "11 b00;a00;[woken by];[interrupt];c00;d00 500 5",
        "11 b00;a00;[woken by];[interrupt];e00;110 500 5",
        "11 b00;a00;[woken by];[not known] 500 5",
        "11 b00;a00;[woken by];c00;d00;writer 500 5",
    ];
    let stats = check(recorder, 200, &expected);
    assert_eq!((stats.waits, stats.wakers_known), (25, Some(15)));
}
