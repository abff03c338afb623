//! What is recorded, and how.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::account::{folder, have};
use crate::common::programs;
use crate::common::run::finish;

/// A command to record.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    /// Program and arguments.
    words: Vec<OsString>,
    /// So many stacks there must be, of both sizes together.
    pub at_least: usize,
    /// Where it works.
    folder: TempDir,
}

/// A recording, which is removed with this.
#[derive(Debug)]
pub struct Recording {
    pub path: PathBuf,
    _folder: TempDir,
}

impl Program {
    fn new(name: &'static str, at_least: usize, words: impl IntoIterator<Item = impl Into<OsString>>) -> Program {
        Program { name, words: words.into_iter().map(Into::into).collect(), at_least, folder: folder() }
    }

    /// Records it by perf, with copies of the stack of so many bytes.
    pub fn record(&self, size: u32) -> Recording {
        let folder = folder();
        let path = folder.path().join("perf.data");
        let mut command = Command::new("perf");
        // -B: perf 6.1 dies now and then of reading the kernel's build id. Without build ids the files of this machine are meant.
        command.args(["record", "-q", "-B", "-N", "-F", "997", "-m", "2048", "-e", "cpu-clock"]);
        command.arg("--call-graph").arg(format!("dwarf,{size}")).arg("-o").arg(&path).arg("--").args(&self.words);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finish(command.spawn());
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        Recording { path, _folder: folder }
    }
}

/// Six functions, in four threads.
pub fn c_threads() -> Option<Program> {
    let program = programs::c("shares");
    Some(Program::new("C, threads", 200, [program.into(), OsString::from("4"), "120".into()]))
}

/// All its time in libc.
pub fn c_in_libc() -> Option<Program> {
    let program = programs::c("libc_heavy");
    Some(Program::new("C, in libc", 500, [program.into(), OsString::from("1")]))
}

/// A Rust release program.
pub fn rust() -> Option<Program> {
    let program = programs::rust_with("rust_prog", &[]);
    Some(Program::new("Rust", 200, [program.into(), OsString::from("1")]))
}

/// Half in a signal handler, half in libraries that come and go at the same place.
pub fn handlers_and_libraries() -> Option<Program> {
    let program = programs::c("handlers");
    let libraries =
        [&["-shared", "-fPIC"][..], &["-shared", "-fPIC", "-O0"]].map(|flags| programs::c_with("late_library", flags));
    let words = [program.into(), OsString::from("1")].into_iter().chain(libraries.map(Into::into));
    Some(Program::new("C, handlers and libraries", 500, words))
}

/// A shell that forks and executes, many times.
pub fn shell_with_children() -> Option<Program> {
    let script = "for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
        ls -lR /usr/include | sort | tail -3 > /dev/null; (grep -r -c struct /usr/include/linux | wc -l) > /dev/null; done";
    Some(Program::new("a shell and its children", 300, ["sh", "-c", script]))
}

/// xz, of Debian: compressed with threads.
pub fn compression() -> Option<Program> {
    if !have("xz") {
        return None;
    }
    Some(Program::new("xz", 300, ["sh", "-c", "tar -c /usr/include | head -c 3000000 | xz -T2 -c > out.xz"]))
}

/// cargo and rustc on a small crate.
pub fn compiler() -> Option<Program> {
    if !have("cargo") {
        return None;
    }
    let program = Program::new("cargo build", 300, ["sh", "-c", "rm -rf target; cargo build -q --offline --release"]);
    let work = program.folder.path();
    std::fs::create_dir(work.join("src")).expect("/tmp is writable");
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    std::fs::write(work.join("Cargo.toml"), manifest).expect("/tmp is writable");
    let main = "use std::collections::BTreeMap;\nfn main() {\n    let mut words = BTreeMap::new();\n    for word in \
        std::env::args() {\n        *words.entry(word).or_insert(0u64) += 1;\n    }\n    println!(\"{words:?}\");\n}\n";
    std::fs::write(work.join("src/main.rs"), main).expect("/tmp is writable");
    Some(program)
}
