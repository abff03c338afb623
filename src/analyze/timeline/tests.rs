//! Spans of samples made by hand.

use super::*;
use crate::analyze::made::{profile, with_event};
use crate::model::Timestamp;

/// The lanes as lines: of each its name, value and samples, and then its spans: row, name, from, to, samples.
fn text(timeline: &Timeline) -> Vec<String> {
    let mut lines = Vec::new();
    for lane in &timeline.lanes {
        lines.push(format!("{} of {}: {} {}", lane.name, lane.process, lane.value, lane.samples));
        lines.extend(lane.spans.iter().map(|span| {
            let name = timeline.names.get(span.name);
            format!("{}{name} {}..{} {}", " ".repeat(span.row as usize + 1), span.start, span.end, span.samples)
        }));
    }
    lines
}

fn check_of(profile: &Profile, expected: &[&str]) -> Timeline {
    let timeline = Timeline::build(profile, &View::default()).expect("there are times");
    assert_eq!(text(&timeline), expected);
    check_spans(&timeline);
    timeline
}

/// Spans lie within those of the row before, and those of one row do not overlap.
fn check_spans(timeline: &Timeline) {
    for lane in &timeline.lanes {
        let mut last: Vec<Span> = Vec::new();
        let mut outer = (0, 0);
        for span in &lane.spans {
            assert!(span.start <= span.end && span.end <= timeline.end - timeline.start && span.row < lane.rows);
            let row = span.row as usize;
            if let Some(before) = last.get(row) {
                assert!(before.end <= span.start, "{before:?} {span:?}");
            }
            last.truncate(row);
            match last.last() {
                Some(around) => assert!(around.start <= span.start && span.end <= around.end),
                None => outer = (outer.0 + span.samples, outer.1 + span.value),
            }
            assert_eq!(last.len(), row, "no row is passed over");
            last.push(*span);
        }
        assert_eq!(outer, (lane.samples, lane.value), "row 0 is all");
    }
}

/// Samples of 10 ns.
fn check(lines: &[&str], expected: &[&str]) -> Timeline {
    check_of(&profile(lines), expected)
}

#[test]
fn neighbours_share_what_they_have_in_common_and_gaps_part() {
    let timeline = check(
        &["srv/1;main;work 1 @100", "srv/1;main;work 1 @110", "srv/1;main;wait_[i] 1 @120", "srv/1;main;work 1 @150"],
        &[
            "srv-1 of srv: 40 4",
            " main 0..30 3",
            "  work 0..20 2",
            "  wait 20..30 1",
            " main 50..60 1",
            "  work 50..60 1",
        ],
    );
    assert_eq!((timeline.start, timeline.end, timeline.lanes[0].rows), (95, 155, 2));
    assert_eq!((timeline.event.as_str(), timeline.unit, timeline.without_time), ("cpu-clock", Unit::Nanoseconds, 0));
}

#[test]
fn one_and_a_half_lengths_are_no_gap_yet() {
    check(&["p/1;f 1 @100", "p/1;f 1 @115"], &["p-1 of p: 20 2", " f 0..25 2"]);
    check(&["p/1;f 1 @100", "p/1;f 1 @116"], &["p-1 of p: 20 2", " f 0..10 1", " f 16..26 1"]);
    // Nearer than a length, and at the same time: the middle between them.
    check(&["p/1;f 1 @100", "p/1;g 1 @104"], &["p-1 of p: 20 2", " f 0..7 1", " g 7..14 1"]);
    check(&["p/1;f 1 @100", "p/1;g 1 @100"], &["p-1 of p: 20 2", " f 0..5 1", " g 5..10 1"]);
    check(
        &["p/1;f 1 @100", "p/1;g 1 @100", "p/1;h 1 @100"],
        &["p-1 of p: 30 3", " f 0..5 1", " g 5..5 1", " h 5..10 1"],
    );
    check(&["p/1;f 1 @2", "p/1;f 1 @9"], &["p-1 of p: 20 2", " f 0..14 2"]);
}

#[test]
fn each_thread_has_a_lane_the_busiest_first() {
    let lines = ["b/1;f 1 @100", "a/2/2;f 1 @101", "a/2/3;f 1 @99", "a/2/3;f 1 @130", "b/1;g 1 @140", "a/2/3;h 1 @150"];
    check(
        &lines,
        &[
            "a-3 of a: 30 3",
            " f 0..10 1",
            " f 31..41 1",
            " h 51..61 1",
            "b-1 of b: 20 2",
            " f 1..11 1",
            " g 41..51 1",
            "a-2 of a: 10 1",
            " f 2..12 1",
        ],
    );
    let view = View { per_process: true, ..View::default() };
    let timeline = Timeline::build(&profile(&lines), &view).unwrap();
    assert_eq!(timeline.lanes.iter().map(|lane| lane.process.as_str()).collect::<Vec<_>>(), ["a-2", "b-1", "a-2"]);
}

#[test]
fn cut_stacks_and_empty_ones_say_so() {
    check(
        &["p/1;[truncated: too deep];f 1 @10", "p/1;f 1 @20", "p/1 1 @30", "p/1;f 1 @40"],
        &[
            "p-1 of p: 40 4",
            " [truncated: too deep] 0..10 1",
            "  f 0..10 1",
            " f 10..20 1",
            " [no frames] 20..30 1",
            " f 30..40 1",
        ],
    );
}

#[test]
fn estimates_and_sums_have_no_place_in_time() {
    let timeline = check(
        &["p/1;f 1 @10", "p/1;[not sampled] 7 @15", "p/1;g 2 @16", "p/1;f 1 @20"],
        &["p-1 of p: 20 2", " f 0..20 2"],
    );
    assert_eq!(timeline.without_time, 90);
    let mut profile = profile(&["p/1;f 1 @10", "p/1;f 1 @20"]);
    let wait = Sample { time: Timestamp::UNKNOWN, value: 500, ..profile.samples.get(0) };
    profile.samples.push(wait);
    assert_eq!(check_of(&profile, &["p-1 of p: 20 2", " f 0..20 2"]).without_time, 500);
}

#[test]
fn without_times_there_is_no_timeline() {
    let build = |profile: &Profile| Timeline::build(profile, &View::default());
    assert!(build(&profile(&["p;f 1", "p;g 1"])).is_none());
    assert!(build(&profile(&["p;f 3"])).is_none());
    assert!(build(&profile(&[])).is_none());
    assert!(build(&Profile::default()).is_none());
    check(&["p/1;f 1 @7"], &["p-1 of p: 10 1", " f 0..10 1"]);
    let faults = |lines: &[&str]| with_event(("faults", Unit::Count, None), lines);
    assert!(build(&faults(&["p/1;f 1 @7", "p/2;f 1 @7"])).is_none(), "nobody knows how long that was");
}

#[test]
fn events_that_count_no_time_are_as_long_as_their_distance() {
    let faults = |lines: &[&str]| with_event(("faults", Unit::Count, None), lines);
    let lines = ["p/1;f 1 @100", "p/1;f 1 @110", "p/1;g 1 @120", "p/1;g 1 @130", "p/1;f 1 @990"];
    check_of(&faults(&lines), &["p-1 of p: 5 5", " f 0..20 2", " g 20..40 2", " f 890..900 1"]);
    // No thread has two.
    let timeline = check_of(
        &faults(&["p/1;f 1 @100", "p/2;f 1 @140"]),
        &["p-1 of p: 1 1", " f 0..20 1", "p-2 of p: 1 1", " f 40..60 1"],
    );
    assert_eq!(timeline.start, 90);
}

#[test]
fn waits_begin_at_their_time() {
    let mut waits =
        with_event((off_cpu::EVENT, Unit::Nanoseconds, None), &["p/1;f 1 @100", "p/1;f 1 @200", "p/1;g 1 @260"]);
    for (row, value) in [40, 70, 5].into_iter().enumerate() {
        waits.samples.set(row, Sample { value, ..waits.samples.get(row) });
    }
    check_of(&waits, &["p-1 of p: 115 3", " f 0..40 1", " f 100..160 1", " g 160..165 1"]);
    // Other time without a fixed period: the sample is the middle of its value.
    waits.events[0].name = waits.strings.intern("wall-clock");
    check_of(&waits, &["p-1 of p: 115 3", " f 0..40 1", " f 85..155 1", " g 178..183 1"]);
}

/// Against the plain way: every sample by itself, cut where lengths overlap.
#[test]
fn spans_of_many_samples_are_those_of_each() {
    let mut seed = 1u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut time = 1_000;
    let mut lines = Vec::new();
    for _ in 0..2_000 {
        time += [3, 10, 10, 10, 14, 16, 400][random(7) as usize];
        let depth = 1 + random(6);
        let frames: Vec<String> = (0..depth).map(|row| format!("f{}", random(if row < 2 { 1 } else { 3 }))).collect();
        lines.push(format!("p/1/{};{} 1 @{time}", 1 + random(2), frames.join(";")));
    }
    let profile = profile(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let timeline = Timeline::build(&profile, &View::default()).unwrap();
    check_spans(&timeline);
    assert_eq!(timeline.lanes.len(), 2);
    let all: u64 = timeline.lanes.iter().map(|lane| lane.value).sum();
    assert_eq!(all, 20_000);
    // At the time of each sample the thread is in its stack.
    for sample in profile.samples.iter() {
        let tid = profile.threads[sample.thread.index()].tid;
        let lane = timeline.lanes.iter().find(|lane| lane.name == format!("p-{tid}")).unwrap();
        let at = sample.time.0 - timeline.start;
        let mut frames: Vec<&str> = profile
            .frames_of(sample.stack)
            .map(|frame| match profile.frames[frame.index()].key {
                crate::model::FrameKey::Name { name, .. } => profile.strings.get(name),
                crate::model::FrameKey::Code { .. } => unreachable!(),
            })
            .collect();
        frames.reverse();
        let then = lane.spans.iter().filter(|span| span.start <= at && at < span.end);
        let then: Vec<&str> = then.map(|span| timeline.names.get(span.name)).collect();
        assert_eq!(then, frames, "at {at}");
    }
}
