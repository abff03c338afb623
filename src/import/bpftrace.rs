//! The maps that bpftrace prints, whose keys hold stacks.
//!
//! ```text
//! @[
//!     vfs_read+1                      a stack, innermost first: the kernel's, if there are two
//!     do_syscall_64+93
//! ,
//!     __read+16                       the program's
//!     main+20
//! , cat, 4121]: 12                    the rest of the key (a word is the process, a number its id), and the value
//! ```
//! bpftrace's manual, "kstack", "ustack" and "Map Printing". Maps without stacks, and values that are no number (histograms,
//! averages), are passed over and counted.

use std::io::Read;

use rustc_hash::FxHashMap;

use super::lines::Lines;
use super::source::refused;
use super::tasks::Tasks;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    EventId, FrameId, FrameKind, Origin, Profile, ProfileBuilder, Sample, StackEnd, StackId, Timestamp, Unit, Unnamed,
};

/// Whether text begins with what bpftrace prints.
pub(super) fn is_applicable(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    lines.take(50).any(|line| map_name(line).is_some())
}

/// `@name` of `@name[...`.
fn map_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"@")?;
    let open = rest.iter().position(|byte| *byte == b'[')?;
    let is_name = rest[..open].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| (&rest[..open], &rest[open + 1..]))
}

/// Reads maps; `name` is what errors call them.
pub(super) fn read(name: &str, text: impl Read) -> Result<Profile> {
    let mut reader = Reader::default();
    let mut lines = Lines::new(text);
    while let Some(line) = lines.next().map_err(|error| refused(name, &error))? {
        reader.line(line);
    }
    if reader.entry.is_some() {
        reader.pass("entries that are cut");
    }
    if reader.stacks == 0 {
        let message = format!("none of the {} lines of {name} ends an entry of a map of stacks", lines.number());
        return Err(Error::new(ErrorKind::Malformed, message).with_hint("bpftrace prints `@[`, a stack, and `]: 12`"));
    }
    Ok(reader.finish(lines.number()))
}

#[derive(Default)]
struct Reader {
    builder: ProfileBuilder,
    tasks: Tasks,
    events: FxHashMap<Box<[u8]>, EventId>,
    entry: Option<Entry>,
    stacks: u64,
    skipped: FxHashMap<&'static str, u64>,
}

/// A key that is being read.
#[derive(Default)]
struct Entry {
    map: Box<[u8]>,
    /// Stacks, in the order of the key.
    stacks: Vec<Vec<Box<[u8]>>>,
    /// Whether lines that follow belong to the last of them.
    in_stack: bool,
    comm: Option<String>,
    pid: Option<u32>,
}

impl Reader {
    fn pass(&mut self, what: &'static str) {
        *self.skipped.entry(what).or_default() += 1;
    }

    fn line(&mut self, line: &[u8]) {
        if let Some((map, rest)) = map_name(line) {
            if self.entry.replace(Entry { map: map.into(), ..Entry::default() }).is_some() {
                self.pass("entries that are cut");
            }
            return self.key(rest);
        }
        let Some(entry) = &mut self.entry else {
            if !line.trim_ascii().is_empty() {
                self.pass("lines outside of maps");
            }
            return;
        };
        match line.first() {
            Some(b' ' | b'\t') => {
                if !entry.in_stack {
                    entry.stacks.push(Vec::new());
                    entry.in_stack = true;
                }
                let stack = entry.stacks.last_mut().expect("one was pushed");
                stack.push(line.trim_ascii().into());
            }
            None => {}
            Some(_) => self.key(line),
        }
    }

    /// A piece of a key that is no stack: `, cat]: 12`, `cat, `.
    fn key(&mut self, text: &[u8]) {
        let Some(entry) = &mut self.entry else { return };
        entry.in_stack = false;
        // A command may hold brackets: what ends the key is the last `]: `.
        let end = text.windows(3).rposition(|window| window == b"]: ");
        let words = String::from_utf8_lossy(&text[..end.unwrap_or(text.len())]).into_owned();
        for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.parse() {
                Ok(number) if entry.pid.is_none() => entry.pid = Some(number),
                Ok(_) => {}
                Err(_) => entry.comm = Some(word.to_owned()),
            }
        }
        if let Some(end) = end {
            let value = std::str::from_utf8(text[end + 3..].trim_ascii()).ok().and_then(|value| value.parse().ok());
            self.close(value);
        }
    }

    fn close(&mut self, value: Option<u64>) {
        let Some(entry) = self.entry.take() else { return };
        let Some(value) = value else { return self.pass("values that are no number") };
        if entry.stacks.is_empty() {
            return self.pass("entries without a stack");
        }
        self.stacks += 1;
        let builder = &mut self.builder;
        let event = *self.events.entry(entry.map).or_insert_with_key(|map| match map.is_empty() {
            true => builder.add_event("count", Unit::Count, None),
            false => builder.add_event(&String::from_utf8_lossy(map), Unit::Count, None),
        });
        let comm = entry.comm.as_deref().unwrap_or("bpftrace");
        let pid = entry.pid.unwrap_or(0);
        let thread = self.tasks.thread(builder, pid, pid, comm);
        let last = entry.stacks.len() - 1;
        let mut stack = StackId(0);
        for (row, frames) in entry.stacks.iter().enumerate().rev() {
            let kind = if row < last { FrameKind::Kernel } else { FrameKind::User };
            for text in frames.iter().rev() {
                let frame = frame(builder, text, kind);
                stack = builder.stack(stack, frame);
            }
        }
        let (time, cpu, end) = (Timestamp(0), Sample::NO_CPU, StackEnd::Root);
        let count = u32::try_from(value).unwrap_or(u32::MAX);
        builder.add_sample(Sample { time, thread, cpu, stack, end, event, value, count });
    }

    fn finish(self, lines: u64) -> Profile {
        let mut profile = self.builder.finish();
        profile.choose_main();
        let stats = &mut profile.stats;
        stats.origin = Origin::Stacks;
        stats.records.insert("lines".into(), lines);
        stats.records.insert("stacks".into(), self.stacks);
        stats.skipped.extend(self.skipped.into_iter().map(|(what, count)| (what.to_owned(), count)));
        profile
    }
}

/// `vfs_read+1`, `ffffffff81 vfs_read+1 (/lib/x)` (`kstack(perf)`), or an address.
fn frame(builder: &mut ProfileBuilder, text: &[u8], kind: FrameKind) -> FrameId {
    let text = String::from_utf8_lossy(text);
    let is_hex = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let symbol = match text.split_once(' ') {
        Some((address, symbol)) if address.len() >= 6 && is_hex(address) => symbol.trim_start(),
        _ => &*text,
    };
    let symbol = match symbol.rsplit_once(" (") {
        Some((symbol, object)) if object.ends_with(')') && !symbol.is_empty() => symbol,
        _ => symbol,
    };
    let symbol = match symbol.rsplit_once('+') {
        Some((symbol, offset)) if is_hex(offset.strip_prefix("0x").unwrap_or(offset)) && !symbol.is_empty() => symbol,
        _ => symbol,
    };
    let address = symbol.strip_prefix("0x").unwrap_or(symbol);
    if symbol == "[unknown]" || address.len() >= 6 && is_hex(address) {
        let is_kernel = kind == FrameKind::Kernel || address.len() == 16 && address.starts_with("ffff");
        let kind = if is_kernel { FrameKind::Kernel } else { kind };
        return builder.nameless_frame("[unknown]", kind, Unnamed::NotInInput);
    }
    builder.name_frame(symbol, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FrameKey;

    fn lines_of(profile: &Profile) -> Vec<String> {
        profile.check().unwrap();
        let line = |sample: Sample| {
            let thread = &profile.threads[sample.thread.index()];
            let process = &profile.processes[thread.process.index()];
            let mut names: Vec<String> = profile
                .frames_of(sample.stack)
                .map(|frame| match profile.frames[frame.index()].key {
                    FrameKey::Name { name, kind: FrameKind::Kernel } => format!("{}_[k]", profile.strings.get(name)),
                    FrameKey::Name { name, .. } => profile.strings.get(name).to_owned(),
                    FrameKey::Code { .. } => unreachable!(),
                })
                .collect();
            names.push(format!("{}-{}", profile.strings.get(process.name), process.pid));
            names.reverse();
            let event = profile.strings.get(profile.events[sample.event.index()].name);
            format!("{event} {} {}", names.join(";"), sample.value)
        };
        profile.samples.iter().map(line).collect()
    }

    #[test]
    fn stacks_in_keys() {
        let text = "Attaching 2 probes...\n\n\n@start[12]: 999\n@bytes[\n    vfs_read+1\n    do_syscall_64+93\n, \n    __read+16\n    \
                    main+20\n, my cat, 4121]: 12\n@[dd, \n    ffffffff81 submit_bio+0x10 (x)\n    0x7f1234567890\n]: 5\n@[\n    f+1\n]:\n\
                    [0, 1]  3 |@@@|\n@h[\n    g+1\n]: count 5, average 3\n@[\n    cut";
        assert!(is_applicable(text.as_bytes()));
        let profile = read("x", text.as_bytes()).unwrap();
        assert_eq!(
            lines_of(&profile),
            ["bytes my cat-4121;main;__read;do_syscall_64_[k];vfs_read_[k] 12", "count dd-0;[unknown];submit_bio 5",]
        );
        let skipped: Vec<&str> = profile.stats.skipped.keys().map(String::as_str).collect();
        assert_eq!(
            skipped,
            ["entries that are cut", "entries without a stack", "lines outside of maps", "values that are no number"]
        );
        for end in 0..text.len() {
            let _ = read("x", &text.as_bytes()[..end]).map(|profile| profile.check().unwrap());
        }
    }

    #[test]
    fn other_text_is_refused() {
        assert!(read("x", &b"hello\n"[..]).is_err());
        assert!(!is_applicable(b"hello@[\n"));
    }
}
