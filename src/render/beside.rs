//! Two recordings as one profile, for a flame chart of both: each begins at 0, and the names of its processes and threads say whose they are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::name::printable;
use crate::analyze::{Lane, Timeline};
use crate::gate::{Comparison, Side};
use crate::model::{Profile, Timestamp, merge};

/// What names of processes and threads begin with, of the base and of the new side.
pub(super) const MARKS: [&str; 2] = ["base: ", "new: "];

/// Both sides in one profile.
pub(super) fn both(base: &Profile, new: &Profile) -> Profile {
    let event = base.main_event().to_owned();
    let [base, new] = [(base, MARKS[0]), (new, MARKS[1])].map(|(profile, mark)| one(profile, mark, &event));
    merge(vec![base, new])
}

/// A side of it: the samples of its event, whose name is that of the base, as `cycles` and `cycles:P` are the same.
fn one(profile: &Profile, mark: &str, event: &str) -> Profile {
    let mut side = profile.clone();
    let main = side.main;
    side.samples.retain(|sample| sample.event == main);
    if let Some(of) = side.events.get_mut(main.index()) {
        of.name = side.strings.intern(event);
        // A sample is the middle of its length.
        let lead = of.period.unwrap_or(0) / 2 + 1;
        let timed = side.samples.iter().filter(|sample| sample.has_time()).map(|sample| sample.time.0);
        let begin = timed.min().unwrap_or(0);
        side.samples.change(|sample| {
            if sample.has_time() {
                sample.time = Timestamp((sample.time.0 - begin).saturating_add(lead));
            }
        });
    }
    let mut marked = |name| {
        let name = match side.strings.get(name) {
            "" => "[no name]",
            name => name,
        };
        let name = format!("{mark}{name}");
        side.strings.intern(&name)
    };
    side.processes.iter_mut().for_each(|process| process.name = marked(process.name));
    side.threads.iter_mut().for_each(|thread| thread.name = marked(thread.name));
    side
}

/// Puts the lanes of threads of one name below each other, base first; the names with the largest value first.
pub(super) fn pair(timeline: &mut Timeline) {
    let plain = |name: &str| MARKS.iter().find_map(|mark| name.strip_prefix(mark)).unwrap_or(name).to_owned();
    // Thread ids are others in each recording.
    let key = |lane: &Lane| {
        let name = plain(&lane.name);
        (plain(&lane.process), name.rsplit_once('-').map_or(name.as_str(), |(name, _)| name).to_owned())
    };
    let mut values: BTreeMap<(String, String), u64> = BTreeMap::new();
    for lane in &timeline.lanes {
        let value = values.entry(key(lane)).or_default();
        *value = (*value).max(lane.value);
    }
    // Stable: those of one name and side stay by their value.
    timeline.lanes.sort_by_cached_key(|lane| {
        let key = key(lane);
        (Reverse(values.get(&key).copied()), key, lane.name.starts_with(MARKS[1]))
    });
}

/// Which runs are drawn, if there are several a side.
pub(super) fn note(comparison: Option<&Comparison>) -> Option<String> {
    let comparison = comparison?;
    let first = |side: Side| {
        let run = comparison.runs.iter().find(|(of, _)| *of == side).map(|(_, run)| printable(&run.label).into_owned());
        run.filter(|_| comparison.count(side) > 1)
    };
    let of_side = |side: Side| Some(format!("of the {} side the first run is drawn, {}", side.name(), first(side)?));
    let said: Vec<String> = [Side::Base, Side::New].into_iter().filter_map(of_side).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::View;
    use crate::model::{EventId, FrameKind, ProfileBuilder, Sample, StackEnd, StackId, Unit};

    fn recording(names: &[&str], begin: u64) -> Profile {
        let mut builder = ProfileBuilder::new();
        builder.add_event("cpu-clock", Unit::Nanoseconds, Some(10));
        let process = builder.add_process(7, "prog");
        let thread = builder.add_thread(process, 7, "");
        for (at, name) in names.iter().enumerate() {
            let frame = builder.name_frame(name, FrameKind::User);
            let stack = builder.stack(StackId(0), frame);
            let time = Timestamp(begin + 10 * at as u64);
            let (event, end) = (EventId(0), StackEnd::Root);
            builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event, value: 10, count: 1 });
        }
        builder.finish()
    }

    #[test]
    fn both_begin_at_zero_and_say_whose_they_are() {
        let profile = both(&recording(&["a", "b"], 1_000_000), &recording(&["a", "c"], 70));
        profile.check().unwrap();
        let timeline = Timeline::build(&profile, &View::default()).unwrap();
        let lanes: Vec<&str> = timeline.lanes.iter().map(|lane| lane.process.as_str()).collect();
        assert_eq!(lanes, ["base: prog", "new: prog"]);
        assert!(timeline.lanes.iter().all(|lane| lane.spans[0].start == 0 && lane.name.contains("[no name]-7")));
    }
}
