//! Samples with their stacks, as JSON of `profile` or text of `perf script` has them.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::Value;

/// What a frame is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file, the vDSO, or memory with code that a JIT wrote.
    User,
    /// The kernel.
    Kernel,
    /// Nothing that is mapped: no code is there.
    Unmapped,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its function, after those that were inlined into it; innermost first, never empty. `[unknown]` has no name.
    pub names: Vec<String>,
    /// The path of what it is in.
    pub image: String,
    pub place: Place,
    /// Where in the file; perf does not say.
    pub offset: Option<u64>,
}

impl Frame {
    /// The function that stands in the stack: the outermost of its names.
    pub fn name(&self) -> &str {
        self.names.last().expect("it is never empty")
    }

    /// The file's name without its folder.
    pub fn file(&self) -> &str {
        self.image.rsplit('/').next().unwrap_or_default()
    }
}

/// What whoever wrote a stack says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is whole.
    Complete,
    /// Callers are missing, and this is why.
    Marked(usize),
    /// Nothing.
    Silent,
}

/// A sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub tid: u32,
    /// Nanoseconds of the recording's clock.
    pub time: u64,
    pub claim: Claim,
    /// Row of `Seen::nodes`, of the innermost frame.
    node: Option<usize>,
}

/// All samples of a recording.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub samples: Vec<Sample>,
    frames: Vec<Frame>,
    /// A frame, and the node of its caller.
    nodes: Vec<(usize, Option<usize>)>,
    /// Why stacks are cut.
    pub reasons: Vec<String>,
}

/// Who writes the frames of what is not there.
const NOTES: &str = "note";

impl Seen {
    /// The frames of a sample, innermost first, the kernel's included.
    pub fn stack(&self, sample: &Sample) -> Vec<&Frame> {
        let mut frames = Vec::new();
        let mut next = sample.node;
        while let Some(node) = next {
            let (frame, caller) = self.nodes[node];
            frames.push(&self.frames[frame]);
            next = caller;
        }
        frames
    }

    /// Reads what `profile -f json` writes. Estimates of what was not sampled are left out.
    pub fn of_json(path: &Path) -> Seen {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json: Value = serde_json::from_reader(BufReader::with_capacity(1 << 16, file))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rows = |table: &str| json[table].as_array().unwrap_or_else(|| panic!("no table {table}")).iter();
        let row = |value: &Value| value.as_u64().expect("a row") as usize;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut seen = Seen::default();
        let mut is_note = Vec::new();
        for frame in rows("frames") {
            is_note.push(frame["kind"] == NOTES);
            let image = frame["image"].as_u64().map(|image| &json["images"][image as usize]);
            let kind = image.map_or(&frame["kind"], |image| &image["kind"]).as_str().unwrap_or_default();
            let place = match kind {
                "kernel" => Place::Kernel,
                "unmapped" => Place::Unmapped,
                _ => Place::User,
            };
            let mut names: Vec<String> =
                frame["lines"].as_array().into_iter().flatten().map(|line| text(&line["name"])).collect();
            if names.is_empty() {
                names.push(frame["name"].as_str().unwrap_or("[unknown]").to_owned());
            }
            let offset =
                frame["offset"].as_str().and_then(|offset| u64::from_str_radix(offset.strip_prefix("0x")?, 16).ok());
            let image = image.map_or_else(String::new, |image| text(&image["path"]));
            seen.frames.push(Frame { names, image, place, offset });
        }
        for stack in rows("stacks") {
            seen.nodes.push((row(&stack["frame"]), stack["parent"].as_u64().map(|parent| parent as usize)));
        }
        for sample in rows("samples").filter(|sample| sample["count"] != 0) {
            let claim = match sample["truncated"].as_str() {
                None => Claim::Complete,
                Some("not stated") => Claim::Silent,
                Some(why) => Claim::Marked(seen.reason(why)),
            };
            // A cut stack may stand on a frame that says so.
            let mut node = sample["stack"].as_u64().map(|node| node as usize);
            while let Some(at) = node.filter(|at| is_note[seen.nodes[*at].0]) {
                node = seen.nodes[at].1;
            }
            let tid = json["threads"][row(&sample["thread"])]["tid"].as_u64().expect("a number") as u32;
            seen.samples.push(Sample { tid, time: sample["time"].as_u64().expect("a number"), claim, node });
        }
        seen
    }

    /// Reads what `perf script --ns --no-inline -F tid,time,ip,sym,dso` writes.
    pub fn of_perf_script(text: &str) -> Seen {
        let mut seen = Seen::default();
        let mut known: HashMap<String, usize> = HashMap::new();
        // Of the sample that is being read: frames innermost first.
        let mut frames: Vec<usize> = Vec::new();
        let mut head: Option<(u32, u64)> = None;
        for line in text.lines().chain([""]) {
            if line.trim().is_empty() {
                if let Some((tid, time)) = head.take() {
                    let node = frames.iter().rev().fold(None, |caller, frame| {
                        seen.nodes.push((*frame, caller));
                        Some(seen.nodes.len() - 1)
                    });
                    seen.samples.push(Sample { tid, time, claim: Claim::Silent, node });
                }
                frames.clear();
            } else if head.is_some() {
                let key = line.trim();
                let frame = *known.entry(key.to_owned()).or_insert_with(|| {
                    seen.frames.push(frame_of_perf(key));
                    seen.frames.len() - 1
                });
                frames.push(frame);
            } else {
                head = Some(head_of_perf(line).unwrap_or_else(|| panic!("no head of a sample: {line:?}")));
            }
        }
        seen
    }

    fn reason(&mut self, why: &str) -> usize {
        self.reasons.iter().position(|known| known == why).unwrap_or_else(|| {
            self.reasons.push(why.to_owned());
            self.reasons.len() - 1
        })
    }
}

/// ` 4121 1234.567890123: `.
fn head_of_perf(line: &str) -> Option<(u32, u64)> {
    let mut words = line.split_whitespace();
    let tid = words.next()?.parse().ok()?;
    let (seconds, nanoseconds) = words.next()?.strip_suffix(':')?.split_once('.')?;
    Some((tid, seconds.parse::<u64>().ok()? * 1_000_000_000 + nanoseconds.parse::<u64>().ok()?))
}

/// `7f00dead main (/tmp/program)`.
fn frame_of_perf(line: &str) -> Frame {
    let (address, rest) = line.split_once(' ').unwrap_or((line, ""));
    let address = u64::from_str_radix(address, 16).unwrap_or_else(|_| panic!("no address: {line:?}"));
    let (name, image) = rest.rsplit_once(" (").unwrap_or((rest, "[unknown])"));
    let image = image.strip_suffix(')').unwrap_or(image);
    let place = match image {
        // The upper half of the addresses is the kernel's; Documentation/arch/x86/x86_64/mm.rst.
        _ if address >> 47 != 0 => Place::Kernel,
        "[unknown]" => Place::Unmapped,
        _ => Place::User,
    };
    // A name's version: `__libc_start_main@@GLIBC_2.34`.
    let name = name.split("@@").next().unwrap_or(name);
    Frame { names: vec![name.to_owned()], image: image.to_owned(), place, offset: None }
}

#[test]
fn text_of_perf_script_is_read() {
    let seen = Seen::of_perf_script(
        " 41  12.000000003: \n\tffffffff81000000 do_idle ([kernel.kallsyms])\n\t 7f01 f(int) (/tmp/a b)\n\t5 [unknown] ([unknown])\n\n 42 1.5: \n\n",
    );
    let stack = seen.stack(&seen.samples[0]);
    assert_eq!((seen.samples[0].tid, seen.samples[0].time, stack.len()), (41, 12_000_000_003, 3));
    assert_eq!(
        stack.iter().map(|frame| frame.place).collect::<Vec<_>>(),
        [Place::Kernel, Place::User, Place::Unmapped]
    );
    assert_eq!((stack[1].name(), stack[1].image.as_str(), stack[1].file()), ("f(int)", "/tmp/a b", "a b"));
    assert_eq!((seen.samples.len(), seen.stack(&seen.samples[1]).len()), (2, 0));
}
