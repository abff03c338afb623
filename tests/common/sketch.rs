//! Profiles made by hand, for tests of what is drawn from them.

#![allow(dead_code)]

use std::time::Duration;

use flameprofile::model::{
    EventId, FrameId, FrameKind, Function, ImageId, ImageKind, Line, Place, Profile, ProfileBuilder, Resolution,
    Sample, StackEnd, StackId, StringId, ThreadId, Timestamp, Truncation, Unit, Unnamed, off_cpu,
};

/// The period of the sketches' clock event, 99 Hz.
pub const PERIOD: u64 = 10_101_010;

/// A frame's lines (name, file, line), innermost first, or why it has none.
type Names = Result<Vec<(String, String, u32)>, Unnamed>;

/// Builds a profile whose frames have the names that they are given.
pub struct Sketch {
    pub builder: ProfileBuilder,
    pub image: ImageId,
    pub jit: ImageId,
    pub thread: ThreadId,
    resolutions: Vec<(FrameId, Names)>,
    offset: u64,
    time: u64,
}

impl Sketch {
    pub fn new() -> Sketch {
        let mut builder = ProfileBuilder::new();
        builder.add_event("cpu-clock", Unit::Nanoseconds, Some(PERIOD));
        let image = builder.add_image(ImageKind::File, "/usr/bin/server", None);
        let jit = builder.add_image(ImageKind::Jit(7), "[anonymous]", None);
        let process = builder.add_process(7, "server");
        let thread = builder.add_thread(process, 7, "main");
        Sketch { builder, image, jit, thread, resolutions: Vec::new(), offset: 0x1000, time: 0 }
    }

    pub fn thread(&mut self, pid: u32, comm: &str, tid: u32, name: &str) -> ThreadId {
        let process = self.builder.add_process(pid, comm);
        self.builder.add_thread(process, tid, name)
    }

    /// A frame of the program's with one name.
    pub fn frame(&mut self, name: &str) -> FrameId {
        self.frame_in(self.image, &[(name, "", 0)])
    }

    /// A frame of `image` with `lines`, innermost first.
    pub fn frame_in(&mut self, image: ImageId, lines: &[(&str, &str, u32)]) -> FrameId {
        self.offset += 0x10;
        let frame = self.builder.code_frame(image, self.offset);
        let lines = lines.iter().map(|(name, file, line)| (name.to_string(), file.to_string(), *line)).collect();
        self.resolutions.push((frame, Ok(lines)));
        frame
    }

    pub fn kernel(&mut self, name: &str) -> FrameId {
        self.frame_in(ProfileBuilder::KERNEL, &[(name, "", 0)])
    }

    pub fn unnamed(&mut self, image: ImageId, offset: u64, why: Unnamed) -> FrameId {
        let frame = self.builder.code_frame(image, offset);
        self.resolutions.push((frame, Err(why)));
        frame
    }

    /// The stack of `frames`, outermost first.
    pub fn stack(&mut self, frames: &[FrameId]) -> StackId {
        frames.iter().fold(StackId(0), |parent, frame| self.builder.stack(parent, *frame))
    }

    /// `times` samples with the stack of `frames`, outermost first.
    pub fn sample(&mut self, frames: &[FrameId], times: u64) {
        self.sample_as(self.thread, frames, StackEnd::Root, times);
    }

    pub fn sample_as(&mut self, thread: ThreadId, frames: &[FrameId], end: StackEnd, times: u64) {
        let stack = self.stack(frames);
        for _ in 0..times {
            self.row(thread, stack, end, PERIOD, 1);
        }
    }

    pub fn row(&mut self, thread: ThreadId, stack: StackId, end: StackEnd, value: u64, count: u32) {
        self.time += PERIOD;
        let time = Timestamp(self.time);
        self.builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event: EventId(0), value, count });
    }

    pub fn finish(mut self) -> Profile {
        let mut functions: Vec<Function> = Vec::new();
        let mut rows: Vec<Line> = Vec::new();
        let mut resolved = Vec::new();
        for (frame, lines) in &self.resolutions {
            let resolution = match lines {
                Err(why) => Resolution::Unknown { reason: *why, place: Place::Offset },
                Ok(lines) => {
                    let first = rows.len() as u32;
                    for (name, file, line) in lines {
                        let name = self.builder.string(name);
                        functions.push(Function { name, raw_name: name });
                        let file: StringId = self.builder.string(file);
                        let function = flameprofile::model::FunctionId::from_index(functions.len() - 1);
                        rows.push(Line { function, file, line: *line });
                    }
                    Resolution::Lines { first, count: lines.len() as u32 }
                }
            };
            resolved.push((*frame, resolution));
        }
        let mut profile = self.builder.finish();
        profile.functions = functions;
        profile.lines = rows;
        for (frame, resolution) in resolved {
            profile.frames[frame.index()].resolution = resolution;
        }
        let cpu: u64 = profile.samples.iter().map(|sample| sample.value).sum();
        profile.summarize();
        let stats = &mut profile.stats;
        stats.event = "cpu-clock".into();
        stats.rate = Some(99.0);
        stats.duration = Duration::from_millis(5_020);
        stats.cpu_time = Some(Duration::from_nanos(cpu));
        stats.coverage = (cpu > 0).then_some(1.0);
        stats.own_cpu = Duration::from_millis(12);
        stats.peak_rss_bytes = 18_400_000;
        stats.target = "server --port 80".into();
        stats.host = "box, Linux 6.12.0".into();
        stats.started_unix = 1_795_246_509;
        profile.check().expect("the sketch is sound");
        profile
    }
}

/// Time on and off the CPU, as `--wall --wakers` has it.
pub fn wall() -> Profile {
    let mut s = Sketch::new();
    let (main, work, read, write) = (s.frame("main"), s.frame("work"), s.frame("read"), s.frame("write"));
    let (schedule, wake) = (s.kernel("schedule"), s.kernel("try_to_wake_up"));
    let [off, runnable, still, before, woken_by] =
        [off_cpu::OFF_CPU, off_cpu::RUNNABLE, off_cpu::STILL_BLOCKED, off_cpu::BLOCKED_BEFORE, off_cpu::WOKEN_BY]
            .map(|name| s.builder.name_frame(name, FrameKind::OffCpu));
    s.sample(&[main, work], 10);
    s.sample(&[main, work, runnable], 4);
    s.sample(&[main, read, schedule, off, woken_by, wake, write, main], 30);
    s.sample(&[main, read, schedule, off], 6);
    s.sample(&[main, read, schedule, off, still], 20);
    s.sample(&[main, read, schedule, off, before], 5);
    s.sample(&[off], 1);
    s.finish()
}

/// A small profile with every kind of frame in it.
pub fn every_kind() -> Profile {
    let mut s = Sketch::new();
    let libc = s.builder.add_image(ImageKind::File, "/usr/lib/x86_64-linux-gnu/libc.so.6", None);
    let main = s.frame_in(s.image, &[("server::main", "/src/server/src/main.rs", 12)]);
    let accept = s.frame_in(s.image, &[("server::accept_loop", "/src/server/src/net.rs", 40)]);
    let parse = s.frame_in(
        s.image,
        &[
            ("core::str::pattern::TwoWaySearcher::next", "/rust/core/str/pattern.rs", 1301),
            ("alloc::vec::Vec<T, A>::push", "/rust/alloc/vec/mod.rs", 2440),
            ("server::http::parse_request", "/src/server/src/http.rs", 77),
        ],
    );
    let parse_later = s.frame_in(s.image, &[("server::http::parse_request", "/src/server/src/http.rs", 93)]);
    let render = s.frame_in(s.image, &[("server::template::Template<'_>::render", "/src/server/src/template.rs", 210)]);
    let memcpy = s.frame_in(libc, &[("__memmove_avx_unaligned_erms", "", 0)]);
    let read = s.frame_in(libc, &[("read", "", 0)]);
    let [entry, sys_read, tcp, copy] =
        ["entry_SYSCALL_64_after_hwframe", "ksys_read", "tcp_recvmsg", "_copy_to_iter"].map(|name| s.kernel(name));
    let jit = s.frame_in(s.jit, &[("LazyCompile:*route /srv/app.js:14", "", 0)]);
    let no_name = s.unnamed(s.jit, 0x7f00_1234, Unnamed::Anonymous);
    let stripped = s.builder.add_image(ImageKind::File, "/opt/vendor/libblob.so", None);
    let blob = s.unnamed(stripped, 0x1a2b, Unnamed::NoSymbols);
    let lost_map = s.unnamed(ProfileBuilder::UNMAPPED, 0xdead, Unnamed::NotMapped);

    s.sample(&[main, accept, parse], 110);
    s.sample(&[main, accept, parse, memcpy], 36);
    s.sample(&[main, accept, parse_later], 41);
    s.sample(&[main, accept, render], 64);
    s.sample(&[main, accept, render, memcpy], 22);
    s.sample(&[main, accept, read, entry, sys_read, tcp], 31);
    s.sample(&[main, accept, read, entry, sys_read, tcp, copy], 58);
    s.sample(&[main, accept, jit], 47);
    s.sample(&[main, accept, jit, no_name], 9);
    s.sample(&[main, blob], 12);
    s.sample(&[main], 3);
    let cut = StackEnd::Truncated(Truncation::NoUnwindInfo);
    s.sample_as(s.thread, &[lost_map, render], cut, 6);
    let logger = s.thread(8, "logger", 8, "logger");
    let write = s.frame("logger::flush");
    s.sample_as(logger, &[write, entry], StackEnd::Root, 28);
    let worker = s.thread(9, "server", 9, "worker");
    s.sample_as(worker, &[main, render, render], StackEnd::Root, 17);
    let missed = s.builder.name_frame("[not sampled]", FrameKind::Note);
    let missed = s.stack(&[missed]);
    s.row(s.thread, missed, StackEnd::Root, 8 * PERIOD + PERIOD / 2, 0);
    let mut profile = s.finish();
    profile.stats.lost = 3;
    profile.stats.coverage = Some(0.984);
    profile.stats.frames = [("unwind info", 300), ("frame pointer", 9)].into();
    profile
}

/// Numbers that look random, the same in every run (xorshift, Marsaglia 2003).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A profile whose tree has about `frames` frames, from `samples` samples, with names like those of real programs.
pub fn large(frames: usize, samples: usize) -> Profile {
    large_of(1, frames, samples)
}

/// The same of so many threads, which take turns.
pub fn large_of(threads: u32, frames: usize, samples: usize) -> Profile {
    let mut s = Sketch::new();
    let main = s.thread;
    let of = |number| if number == 0 { main } else { s.thread(7, "server", 7 + number, &format!("worker {number}")) };
    let threads: Vec<ThreadId> = (0..threads).map(of).collect();
    let mut dice = Dice(777);
    let crates = ["alloc", "core", "std", "serde_json", "tokio", "hyper", "regex_automata", "server", "rustls", "h2"];
    let modules = ["vec", "fmt", "de", "runtime", "io", "task", "proto", "http", "slice", "map", "client", "codec"];
    let types = ["Vec<T, A>", "Parser", "Deserializer<R>", "Context", "Handle", "Stream<B, P>", "Builder", "Inner"];
    let methods = ["push", "poll", "parse", "next", "read_buf", "with_capacity", "drop", "encode", "send", "lookup"];
    let pick = |dice: &mut Dice, words: &[&'static str]| words[dice.below(words.len() as u64) as usize];
    let mut code: Vec<FrameId> = Vec::new();
    for number in 0..2_000 {
        let name = format!(
            "{}::{}::{}::{}_{number}",
            pick(&mut dice, &crates),
            pick(&mut dice, &modules),
            pick(&mut dice, &types),
            pick(&mut dice, &methods)
        );
        code.push(match number % 10 {
            0 | 1 => s.kernel(&format!("__{}_{}_{number}", pick(&mut dice, &modules), pick(&mut dice, &methods))),
            2 => {
                let inlined = format!("core::{}::{}", pick(&mut dice, &modules), pick(&mut dice, &methods));
                s.frame_in(s.image, &[(&inlined, "/rust/core/x.rs", 7), (&name, "/src/lib.rs", number)])
            }
            3 => s.frame_in(s.jit, &[(&name, "", 0)]),
            _ => s.frame_in(s.image, &[(&name, "/src/server/src/lib.rs", number)]),
        });
    }
    let mut stacks = vec![(StackId(0), 0u32)];
    while stacks.len() < frames {
        let (mut at, mut depth) = stacks[dice.below(stacks.len() as u64) as usize];
        for _ in 0..=dice.below(4) {
            if depth >= 60 {
                break;
            }
            let frame = code[dice.below(code.len() as u64) as usize];
            at = s.builder.stack(at, frame);
            depth += 1;
            stacks.push((at, depth));
        }
    }
    for number in 0..samples {
        let (stack, _) = stacks[if number < stacks.len() { number } else { dice.below(stacks.len() as u64) as usize }];
        s.row(threads[number % threads.len()], stack, StackEnd::Root, PERIOD, 1);
    }
    s.finish()
}

/// One stack, `depth` frames deep, recursion through two functions.
pub fn deep(depth: usize) -> Profile {
    let mut s = Sketch::new();
    let frames = [s.frame("even"), s.frame("odd")];
    let stack = (0..depth).fold(StackId(0), |parent, at| s.builder.stack(parent, frames[at % 2]));
    s.row(s.thread, stack, StackEnd::Truncated(Truncation::TooDeep), PERIOD, 1);
    s.sample(&[frames[0]], 2);
    s.finish()
}

/// So many samples of one stack, one after the other.
pub fn steady(samples: u64) -> Profile {
    let mut s = Sketch::new();
    let main = s.frame("main");
    s.sample(&[main], samples);
    s.finish()
}

/// Names that try to be more than names.
pub fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        " ",
        ";",
        "a;b",
        "# comment",
        "name 5",
        "name 5 ",
        "tail 1.5",
        "<script>window.hit=1</script>",
        "\"]]><script>window.hit=1</script>",
        "]]>",
        "<!--",
        "<![CDATA[",
        "&amp;&#60;script&#62;",
        "' onload='window.hit=1",
        "\" onmouseover=\"window.hit=1",
        "javascript:window.hit=1",
        "</title></rect><script>window.hit=1</script>",
        "</text><image href=\"x\" onerror=\"window.hit=1\"/>",
        "two\nlines\r\nthree 7",
        "tab\tbell\x07null\0escape\x1b]0;title\x07\x1b[31mred",
        "c1\u{9b}31m\u{85}next",
        "\u{202e}evil\u{202c}",
        "\u{2066}isolate\u{2069}\u{200f}",
        "\u{feff}bom\u{fffe}\u{ffff}",
        "\u{2028}line\u{2029}",
        "größe::大きさ::🔥",
        "a::<b>::(c)",
        "::",
        "operator<<",
        "operator->",
        "<T as Trait<U>>::method",
        "std::map<int, std::vector<int>>::operator[](int const&)",
        "\u{a0}nbsp\u{3000}",
    ]
    .map(str::to_owned)
    .into();
    names.push("long::<x>;".repeat(3_000));
    names.push("x".repeat(30 * 1024));
    names
}

pub fn hostile() -> Profile {
    let mut s = Sketch::new();
    let main = s.frame("main");
    for name in hostile_names() {
        let image = s.builder.add_image(ImageKind::File, &format!("/tmp/{name}"), None);
        let frame = s.frame_in(image, &[(&name, &name, 3)]);
        s.sample(&[main, frame], 10);
        s.sample(&[frame, main], 1);
        let thread = s.thread(100, &name, 101, &name);
        s.sample_as(thread, &[main], StackEnd::Root, 5);
    }
    let mut profile = s.finish();
    let everything = hostile_names().join("\n");
    let stats = &mut profile.stats;
    stats.event = "<script>window.hit=1</script>".into();
    stats.target = everything.clone();
    stats.host = "</desc><script>window.hit=1</script>".into();
    stats.notes = vec![everything, "\x1b[2J".into()];
    profile
}
