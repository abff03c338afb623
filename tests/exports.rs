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

use flameprofile::model::{EventId, Profile, ThreadId};

/// The sum of the values of each thread's samples, by event.
fn sums(profile: &Profile) -> BTreeMap<(EventId, ThreadId), u64> {
    let mut sums = BTreeMap::new();
    for sample in &profile.samples {
        *sums.entry((sample.event, sample.thread)).or_default() += sample.value;
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

/// As folded stacks are read: all samples at 0.
fn without_times(mut profile: Profile) -> Profile {
    profile.samples.change(|sample| sample.time = flameprofile::model::Timestamp(0));
    profile
}
