//! Compiles and runs `testdata/perf_data/unwind_libdw.c`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs, process};

/// Path and offset in the file, innermost first.
pub type Stack = Vec<(String, u64)>;

/// A stack as libdw unwinds it.
#[derive(Clone, Debug)]
pub struct Theirs {
    pub tid: u32,
    /// Nanoseconds on the recording's clock.
    pub time: u64,
    pub frames: Stack,
    /// `end`, or what libdw says.
    pub end: String,
}

/// The program, if this machine has libdw's headers.
pub fn compiled() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(compile).as_deref()
}

fn compile() -> Option<PathBuf> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let probe = folder.join(format!("libdw-{}.c", process::id()));
    fs::write(&probe, "#include <elfutils/libdwfl.h>\n").expect("the target folder is writable");
    let has_headers =
        Command::new(&compiler).arg("-fsyntax-only").arg(&probe).output().is_ok_and(|done| done.status.success());
    fs::remove_file(&probe).expect("it was written");
    if !has_headers {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/perf_data/unwind_libdw.c");
    let output = folder.join(format!("unwind_libdw-{}", process::id()));
    let done = Command::new(&compiler).args(["-O2", "-o"]).arg(&output).arg(source).args(["-ldw", "-lelf"]).output();
    let done = done.expect("the compiler runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(output)
}

/// Unwinds all samples of a recording.
pub fn unwind(recording: &Path) -> Vec<Theirs> {
    let program = compiled().expect("it was compiled");
    let output = Command::new(program).arg(recording).output().expect("the harness runs");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let mut stacks: Vec<Theirs> = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("S ") {
            let mut words = words.splitn(4, ' ');
            let mut next = || words.next().expect("four words");
            let (tid, time, _frames) = (next().parse().expect("a number"), next().parse().expect("a number"), next());
            stacks.push(Theirs { tid, time, frames: Stack::new(), end: next().to_owned() });
        } else {
            let mut words = line.rsplitn(3, ' ');
            let (_address, offset) = (words.next(), words.next().expect("three words"));
            let path = words.next().expect("three words").to_owned();
            let offset = u64::from_str_radix(offset, 16).expect("a number");
            stacks.last_mut().expect("a stack comes first").frames.push((path, offset));
        }
    }
    stacks
}
