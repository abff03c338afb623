use super::*;
use crate::model::FrameKey;

/// The samples as lines: `process comm tid cpu time event value: outermost;...;innermost`.
fn text_of(profile: &Profile) -> Vec<String> {
    profile.check().unwrap();
    let name = |id| profile.strings.get(id);
    let sample = |sample: Sample| {
        let thread = &profile.threads[sample.thread.index()];
        let process = &profile.processes[thread.process.index()];
        let mut frames: Vec<&str> = profile
            .frames_of(sample.stack)
            .map(|frame| match profile.frames[frame.index()].key {
                FrameKey::Name { name: id, .. } => name(id),
                FrameKey::Code { .. } => unreachable!("text has no code"),
            })
            .collect();
        frames.reverse();
        format!(
            "{}/{} {}/{} {} {} {} {}: {}",
            name(process.name),
            process.pid,
            name(thread.name),
            thread.tid,
            sample.cpu as i32,
            sample.time.0,
            name(profile.events[sample.event.index()].name),
            sample.value,
            frames.join(";")
        )
    };
    profile.samples.iter().map(sample).collect()
}

fn check(text: &str, expected: &[&str]) -> Profile {
    let profile = read("x.txt", text.as_bytes()).unwrap();
    assert_eq!(text_of(&profile), expected);
    assert!(is_applicable(text.as_bytes()), "{text}");
    profile
}

#[test]
fn call_chains_and_single_lines_in_one_text() {
    let text = "# captured on: today\n#\n\
        prog 10/11 [001] 1.000001:     250000 cycles:P: \n\
        \t  55d0c5a0 leaf+0x1f (/usr/bin/prog)\n\
        \t  55d0c5c0 main+0x2f (/usr/bin/prog)\n\
        \n\
        prog 10/10 [000] 1.000002: 7 cycles:P: \n\
        \t  55d0c5c0 main+0x2f (/usr/bin/prog)\n\
        \n\
        \x20           sleep 12 2.5:          1 page-faults:  ffffffff81 clear_page+0x4 ([kernel.kallsyms])\n\
        \x20           sleep 12 2.6:          1 page-faults:  55d0c5a0 [unknown] (/usr/bin/sleep)\n\
        idle 0 [000] 3.0: 5 cycles:P: \n\n";
    let profile = check(
        text,
        &[
            "prog/10 prog/11 1 1000001000 cycles:P 250000: main;leaf",
            "prog/10 prog/10 0 1000002000 cycles:P 7: main",
            "sleep/0 sleep/12 -1 2500000000 page-faults 1: clear_page",
            "sleep/0 sleep/12 -1 2600000000 page-faults 1: [sleep]",
            "idle/0 idle/0 0 3000000000 cycles:P 5: ",
        ],
    );
    assert_eq!(profile.main_event(), "cycles:P");
    assert_eq!(profile.stats.duration, Duration::from_nanos(1_999_999_000));
    assert_eq!(profile.stats.skipped["comments"], 2);
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(text_of(&read("x", crlf.as_bytes()).unwrap()), text_of(&profile));
    // Cut anywhere, it is read as far as it goes.
    for end in 0..text.len() {
        let _ = read("x", &text.as_bytes()[..end]).map(|profile| profile.check().unwrap());
    }
}

#[test]
fn source_lines_inlined_frames_and_branches() {
    let profile = check(
        "prog 10 1.0: cpu-clock: \n\
         \t  55d0c5a0 helper (inlined)\n  prog.c:3\n\
         \t  55d0c5a0 main+0x2f (/usr/bin/prog)\n  prog.c:12\n\
         \x200x1/0x2/P/-/-/0 0x3/0x4/M/-/-/0\n\n",
        &["prog/0 prog/10 -1 1000000000 cpu-clock 1: main;helper"],
    );
    assert_eq!((profile.stats.skipped["source lines"], profile.stats.skipped["lines of branches"]), (2, 1));
    // Without periods, samples of a clock are samples.
    assert_eq!(profile.events[0].unit, Unit::Count);
    let kinds: Vec<FrameKind> = profile
        .frames_of(profile.samples.get(0).stack)
        .map(|frame| match profile.frames[frame.index()].key {
            FrameKey::Name { kind, .. } => kind,
            FrameKey::Code { .. } => unreachable!(),
        })
        .collect();
    assert_eq!(kinds, [FrameKind::Inlined, FrameKind::User]);
}

#[test]
fn tracepoints_with_text_and_records_that_are_no_samples() {
    let profile = check(
        "perf 9 [000] 0.5: PERF_RECORD_MMAP2 9/9: [0x1(0x2) @ 0 fe:01 1 2]: r-xp /usr/bin/perf\n\
         Warning:\n\
         sshd 5 [000] 1.25: sched:sched_switch: prev_comm=a prev_pid=5 ==> next_comm=b\n\
         \tffffffff81 schedule ([kernel.kallsyms])\n\
         \n\
         perf 9 [000] 1.5: PERF_RECORD_LOST lost 12\n\
         sshd 5 [000] 1.75: syscalls:sys_enter_read: fd: 0x03, buf: 0x7f\n",
        &[
            "sshd/0 sshd/5 0 1250000000 sched:sched_switch 1: schedule",
            "sshd/0 sshd/5 0 1750000000 syscalls:sys_enter_read 1: ",
        ],
    );
    assert_eq!(profile.stats.lost, 12);
    assert_eq!(profile.stats.records["PERF_RECORD_MMAP2"], 1);
    assert_eq!(profile.stats.skipped["lines that are no sample and no frame"], 1);
}

#[test]
fn an_address_before_a_call_chain_is_no_frame() {
    check(
        "prog 10 1.0: 1 mem-loads:  7f1234567890\n\t  55d0c5a0 main (/usr/bin/prog)\n\n\
         prog 10 2.0: 1 mem-loads:  7f1234567890\n\n",
        &["prog/0 prog/10 -1 1000000000 mem-loads 1: main", "prog/0 prog/10 -1 2000000000 mem-loads 1: [unknown]"],
    );
}

#[test]
fn fields_that_are_not_there() {
    check(
        "prog 10 cycles: \n main (/usr/bin/prog)\n\n12 [003] 1.5: \n\t 400500 f\n\n",
        &["prog/0 prog/10 -1 0 cycles 1: main", "/0 /12 3 1500000000 samples 1: f"],
    );
}

#[test]
fn clocks_count_time_and_cut_stacks_say_so() {
    let profile = check(
        "a 1/1 1.0: 10101010 cpu-clock: \n\t 1 f (x)\n\t 0 [truncated: stack copy] ([profile])\n\n\
         a 1/1 2.0: 10101010 cpu-clock: \n\t 1 f (x)\n\n",
        &["a/1 a/1 -1 1000000000 cpu-clock 10101010: f", "a/1 a/1 -1 2000000000 cpu-clock 10101010: f"],
    );
    assert_eq!((profile.events[0].unit, profile.events[0].period), (Unit::Nanoseconds, Some(10_101_010)));
    assert_eq!(profile.samples.get(0).end, StackEnd::Truncated(Truncation::StackCopy));
}

#[test]
fn a_jits_inlined_functions_stand_behind_arrows() {
    check(
        "java 1 1.0: cycles: \n\t 7f00 outer->mid->inner (/tmp/perf-1.map)\n\t 7e00 run (/tmp/perf-1.map)\n\n",
        &["java/0 java/1 -1 1000000000 cycles 1: run;outer;mid;inner"],
    );
}

#[test]
fn what_is_no_perf_script_is_refused() {
    for text in ["a;b;c 12\n", "hello\nworld\n"] {
        let error = read("x.txt", text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("x.txt"), "{error}");
        assert!(!is_applicable(text.as_bytes()));
    }
    assert!(read("x.txt", &b""[..]).unwrap().samples.is_empty());
}
