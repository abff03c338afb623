//! Our stacks as simpleperf's `stackcollapse.py` shows them, and its own.
//!
//! What it does that we do not, each a step below:
//! - the innermost frame is left out: it walks the chain that its library gives, which begins with the caller;
//! - frames of Android's interpreter (libart, and its trampolines) next to Java methods are left out, and a method that was compiled
//!   while it was interpreted is shown once (`CallChainReportBuilder`, report_utils.cpp);
//! - names have parameters, and marks if it was asked for them; what has no name is `unknown`, or an address;
//! - the first frame is the thread's name when the sample was taken, perhaps with its ids; ours is the last name, so it is not compared.

use std::collections::BTreeMap;

use flameprofile::model::{FrameId, FrameKey, Profile, Resolution};

/// Weight by stack, outermost first, without the name of the thread.
pub type Stacks = BTreeMap<Vec<String>, u64>;

/// Reads what the script wrote.
pub fn parse(text: &str) -> Stacks {
    let mut stacks = Stacks::new();
    for line in text.lines() {
        let (frames, weight) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no weight: {line}"));
        let frames = frames.split(';').skip(1).map(plain).collect();
        *stacks.entry(frames).or_default() += weight.parse::<u64>().expect("a weight is a number");
    }
    stacks
}

/// A name without marks and parameters.
fn plain(name: &str) -> String {
    let name = name.trim_end_matches("_[j]").trim_end_matches("_[k]");
    if name.contains("[+") {
        return "unknown".to_owned();
    }
    name.split('(').next().unwrap_or(name).to_owned()
}

/// What a frame is to Android's runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Interpreted,
    Compiled,
    Runtime,
    Other,
}

/// The main event's stacks, as the script would show them.
pub fn as_the_script_does(profile: &Profile) -> Stacks {
    let mut stacks = Stacks::new();
    for sample in profile.samples.iter().filter(|sample| sample.event == profile.main) {
        let mut frames = Vec::new();
        let mut stack = sample.stack;
        while stack.0 != 0 {
            let row = profile.stacks[stack.index()];
            frames.push(frame(profile, row.frame));
            stack = row.parent;
        }
        let mut shown = without_runtime(frames);
        // Innermost first: it is left out.
        shown.drain(..1.min(shown.len()));
        shown.reverse();
        *stacks.entry(shown.into_iter().map(|(name, _)| name).collect()).or_default() += sample.value;
    }
    stacks
}

fn frame(profile: &Profile, id: FrameId) -> (String, Kind) {
    let frame = &profile.frames[id.index()];
    let FrameKey::Code { image, .. } = frame.key else { return ("a note".to_owned(), Kind::Other) };
    let path = profile.strings.get(profile.images[image.index()].path);
    let name = match frame.resolution {
        Resolution::Lines { first, count } => {
            let line = profile.lines[(first + count - 1) as usize];
            plain(profile.strings.get(profile.functions[line.function.index()].name))
        }
        _ => "unknown".to_owned(),
    };
    let kind = if path.contains("jit_app_cache") || path.contains("jit_zygote_cache") {
        Kind::Compiled
    } else if [".jar", ".vdex", ".odex", ".apk", ".dex"].iter().any(|end| path.ends_with(end)) {
        Kind::Interpreted
    } else if path.ends_with("/libart.so") || path.ends_with("/libartd.so") || name == "art_jni_trampoline" {
        Kind::Runtime
    } else {
        Kind::Other
    };
    (name, kind)
}

/// Leaves out the runtime's frames next to Java methods, but for what is called by way of a trampoline, which is a native method; and
/// interpreted methods that go on as compiled ones. Innermost first.
fn without_runtime(frames: Vec<(String, Kind)>) -> Vec<(String, Kind)> {
    let mut hidden = vec![false; frames.len()];
    let mut near_java = false;
    for (row, (_, kind)) in frames.iter().enumerate() {
        match kind {
            Kind::Interpreted | Kind::Compiled => {
                near_java = true;
                for before in (0..row).rev().take_while(|before| frames[*before].1 == Kind::Runtime) {
                    hidden[before] = true;
                }
            }
            Kind::Runtime if near_java => hidden[row] = true,
            Kind::Runtime | Kind::Other => near_java = false,
        }
    }
    for row in 1..frames.len() {
        if hidden[row] && frames[row].0.ends_with("jni_trampoline") {
            hidden[row - 1] = false;
        }
    }
    let mut shown: Vec<(String, Kind)> = Vec::new();
    for (frame, _) in frames.into_iter().zip(hidden).filter(|(_, hidden)| !hidden) {
        let goes_on = shown.last().is_some_and(|(name, kind)| *kind == Kind::Compiled && *name == frame.0);
        if !(goes_on && frame.1 == Kind::Interpreted) {
            shown.push(frame);
        }
    }
    shown
}
