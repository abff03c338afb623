//! What other programs make of what is written for them.

#[path = "exports/annotated.rs"]
mod annotated;
#[path = "browser/driver.rs"]
mod driver;
#[path = "exports/firefox.rs"]
mod firefox;
#[path = "exports/pprof.rs"]
mod pprof;
#[path = "common/sketch.rs"]
mod sketch;
#[path = "common/skip.rs"]
mod skip;
#[path = "exports/speedscope.rs"]
mod speedscope;

use std::collections::BTreeMap;

use flameprofile::analyze::{Timeline, View};
use flameprofile::export::perf_script;
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::model::{EventId, Profile, Sample, ThreadId, Timestamp};
use inferno::collapse::Collapse;

/// The sum of the values of each thread's samples, by event; of those without a time apart.
fn sums(profile: &Profile) -> BTreeMap<(EventId, ThreadId, bool), u64> {
    let mut sums = BTreeMap::new();
    for sample in &profile.samples {
        *sums.entry((sample.event, sample.thread, sample.has_time())).or_default() += sample.value;
    }
    sums
}

/// All profiles made by hand, with what they are called in failures.
fn sketches() -> Vec<(&'static str, Profile)> {
    vec![
        ("every kind", sketch::every_kind()),
        ("hostile", sketch::hostile()),
        ("deep", sketch::deep(3_000)),
        ("large", sketch::large(2_000, 4_000)),
        ("empty", Profile::default()),
        ("long", long()),
        ("without times", without_times(sketch::every_kind())),
        ("with waits", with_waits()),
    ]
}

/// A name of a megabyte, of bytes that were no text in part.
fn long() -> Profile {
    let mut s = sketch::Sketch::new();
    let name = format!("{}\u{fffd}\"\\\u{7f}", "x::<y>".repeat(170_000));
    let frame = s.frame_in(s.image, &[(&name, &name, 1), ("main", "", 0)]);
    s.sample(&[frame], 3);
    s.finish()
}

/// As time on and off the CPU is recorded: beside samples with their times stand waits that were added up.
fn with_waits() -> Profile {
    let mut profile = sketch::every_kind();
    for row in [0, 150, 300, 301] {
        let wait = Sample { time: Timestamp::UNKNOWN, cpu: Sample::NO_CPU, value: 7, ..profile.samples.get(row) };
        profile.samples.push(wait);
    }
    profile.samples.sort_by_time();
    profile.summarize();
    profile
}

/// What has no time is at no moment: chart and picture leave it out, text says none, and nothing of it is lost.
#[test]
fn waits_that_were_added_up_are_at_no_moment() {
    let profile = with_waits();
    let timeline = Timeline::build(&profile, &View::default()).unwrap();
    let estimate: u64 = profile.samples.iter().filter(|sample| sample.count == 0).map(|sample| sample.value).sum();
    assert_eq!(timeline.without_time, 4 * 7 + estimate);
    let mut text = Vec::new();
    perf_script::write(&profile, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" cpu-clock: ")).collect();
    assert_eq!(
        (lines.len(), lines.iter().filter(|line| line.contains(" 0.000000: ")).count()),
        (profile.samples.len(), 4)
    );
    let mut stacks = Vec::new();
    inferno::collapse::perf::Folder::default().collapse(text.as_bytes(), &mut stacks).unwrap();
    let stacks = String::from_utf8(stacks).unwrap();
    let counted: u64 = stacks.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
    assert_eq!(counted, profile.samples.iter().map(|sample| sample.value).sum::<u64>());
    let input = Input::Stream { name: "text".into(), reader: Box::new(std::io::Cursor::new(text.into_bytes())) };
    let again = import(vec![input], &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(again.samples.iter().filter(|sample| !sample.has_time()).count(), 4);
}

/// As folded stacks are read: all samples at 0.
fn without_times(mut profile: Profile) -> Profile {
    profile.samples.change(|sample| sample.time = flameprofile::model::Timestamp(0));
    profile
}
