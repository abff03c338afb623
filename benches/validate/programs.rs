//! The programs of `testdata/gate`, built in all ways that are compared.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A request server in one process, in C.
    Server,
    /// Packing and unpacking of records, in Rust.
    Codec,
    /// A server of three threads and one that makes requests, in C.
    Threads,
    /// JSON by CPython.
    Json,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 4] = [Program::Server, Program::Codec, Program::Threads, Program::Json];

    /// As it is named in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Program::Server => "server",
            Program::Codec => "codec",
            Program::Threads => "threads",
            Program::Json => "json",
        }
    }

    /// What `profile record` is told besides.
    ///
    /// Stacks of the interpreter are deeper than what a sample copies at this rate, and with inlined frames a run of it is 700 kB.
    /// Rust's names keep their hashes, which differ from build to build: matching them is the gate's business.
    pub fn record_options(self) -> &'static [&'static str] {
        match self {
            Program::Server | Program::Threads => &[],
            Program::Codec => &["--full-names"],
            Program::Json => &["--no-inline", "--stack-size", "65528"],
        }
    }
}

/// A way to build a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Which program.
    pub program: Program,
    /// The name of the build, and of its folder.
    pub name: String,
    /// Flags of the compiler besides those of all builds.
    pub flags: Vec<String>,
    /// Order of the server's objects when they are linked.
    pub order: [usize; 3],
}

impl Build {
    /// A build of all objects in their usual order.
    pub fn new(program: Program, name: impl Into<String>, flags: &[&str]) -> Build {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Build { program, name: name.into(), flags, order: [0, 1, 2] }
    }

    /// What is started: the program and its first arguments. It is built if it has not been.
    ///
    /// The file has the program's name in all builds, as stacks begin with the name of the process.
    pub fn command(&self, builds: &Path) -> Vec<PathBuf> {
        if self.program == Program::Json {
            return vec![interpreter(), source("documents.py")];
        }
        let folder = builds.join(format!("{}-{}", self.program.name(), self.name));
        let file = folder.join(self.program.name());
        if !file.exists() {
            fs::create_dir_all(&folder).expect("the folder of a build can be made");
            let unfinished = folder.join("unfinished");
            match self.program {
                Program::Codec => self.build_rust(&unfinished),
                _ => self.build_c(&unfinished),
            }
            fs::rename(&unfinished, &file).expect("a build can be renamed");
        }
        vec![file]
    }

    fn build_c(&self, into: &Path) {
        let sources: &[&str] = match self.program {
            Program::Server => &["server.c", "server_sums.c", "server_text.c"],
            _ => &["threads.c"],
        };
        let compiler = || {
            let mut command = Command::new(env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
            // Frame pointers and no jumps in place of calls, so that any way to walk stacks finds the same callers.
            command.args(["-O2", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"]);
            command
        };
        let object = |index: usize| into.with_file_name(format!("{index}.o"));
        for (index, name) in sources.iter().enumerate() {
            run(compiler().args(LINES).args(&self.flags).arg("-c").arg(source(name)).arg("-o").arg(object(index)));
        }
        let objects = self.order.iter().filter(|&&index| index < sources.len()).map(|&index| object(index));
        run(compiler().args(objects).arg("-o").arg(into));
    }

    fn build_rust(&self, into: &Path) {
        let mut command = Command::new(env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
        command.args(["--edition", "2021", "--crate-name", "codec", "-O", "-g", "-C", "force-frame-pointers=yes"]);
        // Another crate's version, so that each build has other hashes.
        command.args(["-C", &format!("metadata={}", self.name)]).args(&self.flags);
        command.args(["-C", "codegen-units=1", "-C", "llvm-args=-align-all-functions=6"]);
        run(command.arg(source("codec.rs")).arg("-o").arg(into));
    }
}

/// Each function begins at a line of the cache, so that what a plant adds to one does not shift the code of another within its lines:
/// by 16 bytes, `find_matches` changed by up to 8 %. Flags of a build that come later take that back.
const LINES: &[&str] = &["-falign-functions=64"];

/// A source of `testdata/gate`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/gate").join(name)
}

/// The interpreter itself, not a script that looks for it: that would be in the profile.
fn interpreter() -> PathBuf {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let output = output.expect("python3 can be started");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}
