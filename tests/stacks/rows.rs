//! The programs whose stacks are judged, a row each: how it is built and run, where its stacks begin, and what is promised.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::peers::Words;
use crate::common::account::have;
use crate::common::programs;

/// What is promised of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Of the stacks 99 % reach the entry.
    Native,
    /// As many as in the better of perf's two modes, or more (within the noise of a percent).
    AsPerf,
    /// It cannot be had; what does not reach the entry says so.
    Marked,
}

/// A command to record, or why it cannot be had here.
pub type Program = Result<Words, String>;

/// A kind of program.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    /// For about so many seconds.
    pub program: fn(&str) -> Program,
    /// Flags of `profile record`.
    pub flags: &'static [&'static str],
    pub goal: Goal,
    /// Functions of the program at which its stacks begin, besides those of every program.
    entries: &'static [&'static str],
    /// Functions that nobody has called, besides those of every program.
    pub roots: &'static [&'static str],
    /// The same program with names, for one that has none.
    pub twin: Option<fn() -> PathBuf>,
    /// Leaves, and the functions that call them.
    pub leaves: Option<(&'static [&'static str], &'static [&'static str])>,
    /// Functions of the program, and all who call them.
    pub calls: &'static [(&'static str, &'static [&'static str])],
    /// How often a function is in whole stacks with `at_the_bottom`.
    pub depth: Option<(&'static str, usize)>,
    /// Functions of which no stack has both.
    pub never_together: &'static [[&'static str; 2]],
    /// Whether the test asserts it.
    pub asserted: bool,
}

impl Row {
    /// The same, of which any stack may be cut that says so.
    pub fn only_marked(&self) -> Row {
        Row { goal: Goal::Marked, leaves: None, ..*self }
    }
}

const fn row(name: &'static str, goal: Goal, program: fn(&str) -> Program) -> Row {
    Row {
        name,
        program,
        flags: &[],
        goal,
        entries: &[],
        roots: &[],
        twin: None,
        leaves: None,
        calls: CALLS,
        depth: None,
        never_together: &[],
        asserted: false,
    }
}

impl Row {
    const fn asserted(self) -> Row {
        Row { asserted: true, ..self }
    }

    const fn deep(self, depth: usize) -> Row {
        Row { depth: Some(("recurses", depth)), ..self }
    }

    const fn hot(self) -> Row {
        Row { leaves: Some((&["hot_a"], &["middle_a"])), ..self }
    }

    const fn roots(self, roots: &'static [&'static str]) -> Row {
        Row { roots, ..self }
    }

    const fn entries(self, entries: &'static [&'static str]) -> Row {
        Row { entries, ..self }
    }

    /// Whether a function is where the program's stacks begin.
    pub fn is_entry(&self, name: &str) -> bool {
        self.entries.contains(&name)
    }
}

/// Who calls whom in `testdata/programs`: a function has the same callers in each program of that language.
const CALLS: &[(&str, &[&str])] = &[
    ("hot_a", &["middle_a"]),
    ("hot_b", &["middle_b"]),
    ("middle_a", &["outer"]),
    ("middle_b", &["outer"]),
    ("libc_work", &["main"]),
    ("leaf_40", &["dispatch"]),
    ("one_round", &["work"]),
    ("at_the_bottom", &["recurses"]),
    ("recurses", &["recurses", "main"]),
    ("child_work", &["main"]),
    ("spawns", &["main"]),
    ("only_in_first", &["wants_first"]),
    ("only_in_second", &["wants_second"]),
    ("wants_first", &["main"]),
    ("wants_second", &["main"]),
    ("main.hotA", &["main.middle", "main.hotB"]),
    ("main.hotB", &["main.middle"]),
    ("main.middle", &["main.outer"]),
    ("main.sorts", &["main.outer"]),
];

const GO: &[&str] = &["runtime.mcall", "runtime.systemstack", "runtime.morestack"];

/// All rows.
pub const ROWS: &[Row] = &[
    row("C -O2", Goal::Native, |s| nested(s, &[])).hot().asserted(),
    row("C with frame pointers", Goal::Native, |s| nested(s, FP)).hot().asserted(),
    Row {
        flags: &["--unwind", "fp"],
        ..row("C with frame pointers, --unwind fp", Goal::Native, |s| nested(s, FP)).hot().asserted()
    },
    Row {
        flags: &["--unwind", "dwarf"],
        ..row("C with frame pointers, --unwind dwarf", Goal::Native, |s| nested(s, FP)).hot()
    },
    row("C, clang", Goal::Native, clang).hot(),
    row("C, linked by lld", Goal::Native, lld).hot(),
    row("C, 4 threads", Goal::Native, |_| c("shares", &[], &["4", "400"])).entries(&["thread_main"]),
    row("C in libc", Goal::Native, |s| c("libc_heavy", &[], &[s])).asserted(),
    row("C with frame pointers in libc", Goal::Native, |s| c("libc_heavy", FP, &[s])),
    row("C static glibc", Goal::Native, |s| nested(s, &["-static"])).hot().asserted(),
    row("C static glibc in libc", Goal::Native, |s| c("libc_heavy", &["-static"], &[s])).asserted(),
    row("C musl static", Goal::Native, |s| musl("nested", s, &["-static"])).hot().asserted(),
    row("C musl dynamic", Goal::Native, |s| musl("nested", s, &[])).hot().asserted(),
    row("C musl static in libc", Goal::AsPerf, |s| musl("libc_heavy", s, &["-static"])),
    row("C musl dynamic in libc", Goal::AsPerf, |s| musl("libc_heavy", s, &[])),
    row("C .debug_frame only", Goal::Native, |s| nested(s, &["-fno-asynchronous-unwind-tables", "-g"]))
        .hot()
        .asserted(),
    row("C .debug_frame compressed", Goal::Native, |s| nested(s, &["-fno-asynchronous-unwind-tables", "-g", "-gz"]))
        .hot(),
    row("C no unwind tables", Goal::Marked, |s| nested(s, NO_TABLES)).asserted(),
    row("C no unwind tables, frame pointers", Goal::AsPerf, |s| nested(s, &[NO_TABLES, FP].concat())),
    row("C stripped PIE", Goal::Native, |s| nested(s, &["-s"])).asserted(),
    row("C -m32", Goal::Native, |s| m32("nested", s, &[])).hot().asserted(),
    row("C -m32 with frame pointers", Goal::Native, |s| m32("nested", s, FP)).hot(),
    // glibc's memcpy for i386 has a `push` that its table does not know of: no return address is where the table says.
    row("C -m32 in libc", Goal::AsPerf, |s| m32("libc_heavy", s, &[])).asserted(),
    row("C -m32 static in libc", Goal::AsPerf, |s| m32("libc_heavy", s, &["-static"])),
    row("Rust release", Goal::Native, |s| rust(s, &[])).asserted(),
    row("Rust force-frame-pointers", Goal::Native, |s| rust(s, &["-Cforce-frame-pointers=yes"])),
    row("Rust panic=abort", Goal::Native, |s| rust(s, &["-Cpanic=abort"])).asserted(),
    // `main` is exported, so that a stack that reaches it can be known.
    row("Rust panic=abort, stripped", Goal::Native, |s| {
        rust(s, &["-Cpanic=abort", "-Cstrip=symbols", "-Clink-arg=-Wl,--export-dynamic-symbol=main"])
    })
    .asserted(),
    row("Rust panic=abort, no unwind tables", Goal::AsPerf, |s| {
        rust(s, &["-Cpanic=abort", "-Cforce-unwind-tables=no"])
    }),
    Row {
        leaves: Some((&["main.hotA"], &["main.middle", "main.hotB"])),
        ..row("Go", Goal::Native, |s| go(s, &[])).roots(GO).asserted()
    },
    Row {
        twin: Some(|| programs::go("nested", &["-ldflags=-w"])),
        ..row("Go -s -w", Goal::Native, |s| go(s, &["-ldflags=-s -w"])).roots(GO).asserted()
    },
    row("Node", Goal::AsPerf, |s| script("node", &[], "nested.js", s)).entries(NODE),
    row("Node --perf-basic-prof", Goal::AsPerf, |s| script("node", &["--perf-basic-prof"], "nested.js", s))
        .entries(NODE),
    row("Java 17", Goal::AsPerf, |s| java(s, &[])).entries(JAVA),
    row("Java 17 PreserveFramePointer", Goal::AsPerf, |s| java(s, &["-XX:+PreserveFramePointer"])).entries(JAVA),
    row("Python 3.11", Goal::AsPerf, |s| python("3.11", s, &[])),
    row("Python 3.12 -X perf", Goal::AsPerf, |s| python("3.12", s, &["-X", "perf"])),
    row("Python 3.13 -X perf", Goal::AsPerf, |s| python("3.13", s, &["-X", "perf"])),
    row("Ruby", Goal::AsPerf, |s| script("ruby", &[], "nested.rb", s)),
    row("PHP", Goal::AsPerf, |s| script("php", &[], "nested.php", s)),
    row("LuaJIT", Goal::AsPerf, |s| script("luajit", &[], "nested.lua", s)),
    row("signal handler", Goal::Native, handlers).asserted(),
    row("signal handler on its own stack", Goal::Marked, altstack).entries(&["thread_main"]).asserted(),
    row("recursion 60", Goal::Native, |s| c("deep", &[], &[s, "60"])).deep(60),
    row("recursion 130", Goal::Native, |s| c("deep", &[], &[s, "130"])).deep(130).asserted(),
    row("recursion 3,000", Goal::Native, |s| c("deep", &[], &[s, "3000"])).deep(3000).asserted(),
    row("recursion 50,000", Goal::Marked, |s| c("deep", &[], &[s, "50000"])).deep(50000).asserted(),
    row("60 frames of 0.5 KiB", Goal::Native, |s| c("deep", &["-DFRAME=512"], &[s, "60"])).deep(60),
    row("120 frames of 0.5 KiB", Goal::Native, |s| c("deep", &["-DFRAME=512"], &[s, "120"])).deep(120).asserted(),
    row("a local of 64 KiB", Goal::Native, |s| c("deep", &["-DFRAME=65536"], &[s, "1"])).deep(1).asserted(),
    row("-m32, recursion 3,000", Goal::Native, |s| c("deep", &["-m32"], &[s, "3000"])).deep(3000),
    row("forks", Goal::Native, |_| c("storm_procs", &[], &["fork", "800"])),
    row("forks and execs", Goal::Native, |_| c("storm_procs", &[], &["exec", "800"])),
    row("vforks and execs", Goal::Native, |_| c("vforks", &[], &["500"])),
    Row {
        never_together: &[["wants_first", "only_in_second"], ["wants_second", "only_in_first"]],
        leaves: Some((&["only_in_first", "only_in_second"], &["wants_first", "wants_second"])),
        ..row("libraries at one address", Goal::Native, reuse).asserted()
    },
];

const FP: &[&str] = &["-fno-omit-frame-pointer"];
const NO_TABLES: &[&str] = &["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
const NODE: &[&str] = &["Builtins_JSEntry", "JSEntry", "Builtins_JSRunMicrotasksEntry", "JSRunMicrotasksEntry"];
const JAVA: &[&str] = &["JavaMain", "call_stub", "thread_native_entry", "ThreadJavaMain"];

pub fn c(name: &str, flags: &[&str], arguments: &[&str]) -> Program {
    if flags.contains(&"-m32") && !compiles("cc", &["-m32"]) {
        return Err("no gcc-multilib".into());
    }
    Ok(Words::new([programs::c_with(name, flags)]).arguments(arguments))
}

pub fn nested(seconds: &str, flags: &[&str]) -> Program {
    c("nested", flags, &[seconds])
}

fn m32(name: &str, seconds: &str, flags: &[&str]) -> Program {
    c(name, &[&["-m32"], flags].concat(), &[seconds])
}

fn clang(seconds: &str) -> Program {
    if !have("clang") {
        return Err("no clang".into());
    }
    Ok(Words::new([programs::c_by("clang", "nested", &[])]).arguments(&[seconds]))
}

fn lld(seconds: &str) -> Program {
    if !have("ld.lld") {
        return Err("no lld".into());
    }
    nested(seconds, &["-fuse-ld=lld"])
}

fn musl(name: &str, seconds: &str, flags: &[&str]) -> Program {
    if !have("musl-gcc") {
        return Err("no musl-gcc".into());
    }
    Ok(Words::new([programs::c_by("musl-gcc", name, flags)]).arguments(&[seconds]))
}

pub fn rust(seconds: &str, flags: &[&str]) -> Program {
    Ok(Words::new([programs::rust_with("rust_prog", flags)]).arguments(&[seconds]))
}

pub fn go(seconds: &str, flags: &[&str]) -> Program {
    if !have("go") {
        return Err("no go".into());
    }
    Ok(Words::new([programs::go("nested", flags)]).arguments(&[seconds]))
}

pub fn handlers(seconds: &str) -> Program {
    let libraries =
        [&["-shared", "-fPIC"][..], &["-shared", "-fPIC", "-O0"]].map(|flags| programs::c_with("late_library", flags));
    let mut words = c("handlers", &[], &[seconds])?;
    words.words.extend(libraries.map(OsString::from));
    Ok(words)
}

fn altstack(seconds: &str) -> Program {
    Ok(super::truth::words(super::truth::Build::Plain, seconds).arguments(&["altstack"]))
}

fn reuse(seconds: &str) -> Program {
    let library = |name: &str| programs::c_with("late_library", &["-shared", "-fPIC", &format!("-Dlate_work={name}")]);
    let mut words = c("reuse", &[], &[seconds])?;
    words.words.extend(["only_in_first", "only_in_second"].map(library).map(OsString::from));
    Ok(words)
}

/// A script of `testdata/programs`, by an interpreter.
pub fn script(interpreter: &str, flags: &[&str], file: &str, seconds: &str) -> Program {
    if !have(interpreter) {
        return Err(format!("no {interpreter}"));
    }
    Ok(Words::new([interpreter]).arguments(flags).arguments(&[&programs::source_text(file), seconds]))
}

/// The JVM writes a perf map at its end, for names; stacks do not depend on it.
pub fn java(seconds: &str, flags: &[&str]) -> Program {
    if !have("javac") || !have("java") {
        return Err("no JDK".into());
    }
    let classes = programs::java("Nested");
    let words = Words::new(["java", "-XX:+UnlockDiagnosticVMOptions", "-XX:+DumpPerfMapAtExit"]).arguments(flags);
    Ok(words.arguments(&["-cp", classes.to_str().expect("test paths are UTF-8"), "Nested", seconds]))
}

pub fn python(version: &str, seconds: &str, flags: &[&str]) -> Program {
    let Some(python) = find_python(version) else { return Err(format!("no python{version}")) };
    Ok(Words::new([python]).arguments(flags).arguments(&[&programs::source_text("nested.py"), seconds]))
}

/// A Python of a version: on the path, or one of pyenv's (whose own programs of that name are shell scripts).
fn find_python(version: &str) -> Option<PathBuf> {
    let name = format!("python{version}");
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok()).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|entry| entry.path().join("bin").join(&name)).filter(|path| path.exists()).collect();
    found.push(Path::new("/usr/bin").join(&name));
    found.push(Path::new("/usr/local/bin").join(&name));
    found.into_iter().find(|path| Command::new(path).arg("--version").output().is_ok_and(|done| done.status.success()))
}

/// Whether a compiler can do something here.
fn compiles(compiler: &str, flags: &[&str]) -> bool {
    let mut command = Command::new(compiler);
    let script = ["-x", "c", "-", "-o", "/dev/null"];
    let child = command
        .args(flags)
        .args(script)
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    use std::io::Write;
    let told =
        child.stdin.take().map(|mut input| input.write_all(b"#include <stdlib.h>\nint main(void) { return 0; }\n"));
    told.is_some_and(|told| told.is_ok()) && child.wait().is_ok_and(|status| status.success())
}
