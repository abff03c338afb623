//! Profiles for tests, from lines of text.

use crate::model::{
    FrameKind, Profile, ProfileBuilder, Sample, StackEnd, StackId, ThreadId, Timestamp, Truncation, Unit, off_cpu,
};

/// A profile of clock samples of 10 ns, from lines like `server/7/8;[truncated: too deep];main;work_[k] 3 @120`: the process's name
/// with its id and the thread's if they matter, functions, samples, and when.
pub fn profile(lines: &[&str]) -> Profile {
    with_event(("cpu-clock", Unit::Nanoseconds, Some(10)), lines)
}

/// The same of another event: its name, unit and period; without a period a sample's value is its number.
pub fn with_event((event, unit, period): (&str, Unit, Option<u64>), lines: &[&str]) -> Profile {
    let mut builder = ProfileBuilder::new();
    let event = builder.add_event(event, unit, period);
    let mut threads: Vec<(String, ThreadId)> = Vec::new();
    for line in lines {
        let (line, time) = line.rsplit_once(" @").unwrap_or((line, "0"));
        let (path, weight) = line.rsplit_once(' ').unwrap();
        let mut names = path.split(';');
        let task = names.next().unwrap();
        let thread = match threads.iter().find(|(known, _)| known == task) {
            Some((_, thread)) => *thread,
            None => {
                let mut parts = task.split('/');
                let name = parts.next().unwrap();
                let pid = parts.next().map_or(0, |id| id.parse().unwrap());
                let tid = parts.next().map_or(pid, |id| id.parse().unwrap());
                let process = builder.add_process(pid, name);
                let thread = builder.add_thread(process, tid, name);
                threads.push((task.to_owned(), thread));
                thread
            }
        };
        let (mut stack, mut end) = (StackId(0), StackEnd::Root);
        for name in names {
            if let Some(reason) = Truncation::of_note(name) {
                end = StackEnd::Truncated(reason);
                continue;
            }
            let kind = match name {
                _ if name.ends_with("_[k]") => FrameKind::Kernel,
                _ if name.ends_with("_[i]") => FrameKind::Inlined,
                "[not sampled]" => FrameKind::Note,
                _ if off_cpu::NAMES.contains(&name) => FrameKind::OffCpu,
                _ => FrameKind::User,
            };
            let bare = name.trim_end_matches("_[k]").trim_end_matches("_[i]");
            let frame = builder.name_frame(bare, kind);
            stack = builder.stack(stack, frame);
        }
        let number: u64 = weight.parse().unwrap();
        let count = if path.contains("[not sampled]") { 0 } else { u32::try_from(number).unwrap_or(u32::MAX) };
        let (value, time) = (number * period.unwrap_or(1), Timestamp(time.parse().unwrap()));
        builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event, value, count });
    }
    let mut profile = builder.finish();
    profile.samples.sort_by_time();
    profile.check().unwrap();
    profile
}

/// The tree as lines: indented names, with the number of samples in it, and of its own if there are any.
pub fn text(tree: &super::CallTree) -> Vec<String> {
    let lines = (0..tree.nodes.len() as u32).map(|id| {
        let node = &tree.nodes[id as usize];
        let own = if node.self_samples > 0 { format!(" own {}", node.self_samples) } else { String::new() };
        format!("{}{} {}{own}", " ".repeat(node.depth as usize), tree.name(id), node.total_samples)
    });
    lines.collect()
}
