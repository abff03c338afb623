//! Compiles the programs of `testdata/programs`, each once per content and flags.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{env, fs, process};

/// Held while compiling, so that threads of one test process do not compile the same thing twice.
static COMPILING: Mutex<()> = Mutex::new(());

/// Compiles `testdata/programs/NAME.c` with `cc -O2`.
pub fn c(name: &str) -> PathBuf {
    c_with(name, &[])
}

/// Compiles `testdata/programs/NAME.c` with `cc -O2` and more flags.
pub fn c_with(name: &str, flags: &[&str]) -> PathBuf {
    c_by(&env::var("CC").unwrap_or_else(|_| "cc".to_owned()), name, flags)
}

/// Compiles `testdata/programs/NAME.c` with another compiler.
pub fn c_by(compiler: &str, name: &str, flags: &[&str]) -> PathBuf {
    let mut command = Command::new(compiler);
    command.args(["-O2", "-pthread"]).args(flags).arg(source(&format!("{name}.c"))).arg("-ldl");
    build(name, &["leaves.h", "truth.h", "waited.h", &format!("{name}.c")], command)
}

/// Compiles `testdata/programs/NAME.cpp` with `c++ -O2` and more flags.
pub fn cpp_with(name: &str, flags: &[&str]) -> PathBuf {
    let mut command = Command::new(env::var("CXX").unwrap_or_else(|_| "c++".to_owned()));
    command.args(["-O2", "-std=c++17"]).args(flags).arg(source(&format!("{name}.cpp")));
    build(name, &[&format!("{name}.cpp")], command)
}

/// Compiles `testdata/programs/NAME.rs` with `rustc -O` and more flags.
pub fn rust_with(name: &str, flags: &[&str]) -> PathBuf {
    let mut command = Command::new(env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
    command.args(["--edition", "2021", "-O"]).args(flags).arg(source(&format!("{name}.rs")));
    build(name, &[&format!("{name}.rs")], command)
}

/// Compiles `testdata/programs/NAME.go` with `go build` and more flags.
pub fn go(name: &str, flags: &[&str]) -> PathBuf {
    let mut command = Command::new("go");
    command.arg("build").args(flags);
    build_with(name, &[&format!("{name}.go")], command, &[source(&format!("{name}.go"))])
}

/// Compiles `testdata/programs/NAME.java`; the folder with the classes.
pub fn java(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs/java");
    let done = Command::new("javac").arg("-d").arg(&folder).arg(source(&format!("{name}.java"))).output();
    let done = done.unwrap_or_else(|error| panic!("cannot run javac: {error}"));
    assert!(done.status.success(), "javac failed:\n{}", String::from_utf8_lossy(&done.stderr));
    folder
}

/// The path of a file of `testdata/programs`, as an argument.
pub fn source_text(file: &str) -> String {
    source(file).to_str().expect("test paths are UTF-8").to_owned()
}

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/programs").join(file)
}

/// Runs `command -o OUTPUT` unless a file made from the same sources by the same command is there.
///
/// The output is written beside and renamed: other test processes may want the same program at the same time.
fn build(name: &str, sources: &[&str], command: Command) -> PathBuf {
    build_with(name, sources, command, &[])
}

/// The same for `command -o OUTPUT LAST..`, where the sources must stand last.
fn build_with(name: &str, sources: &[&str], mut command: Command, last: &[PathBuf]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    for file in sources {
        let path = source(file);
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display())).hash(&mut hasher);
    }
    format!("{command:?}").hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("programs/{:016x}", hasher.finish()));
    let output = folder.join(name);
    let _alone = COMPILING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if output.exists() {
        return output;
    }
    fs::create_dir_all(&folder).expect("the target folder is writable");
    let partial = folder.join(format!("{name}.{}", process::id()));
    let done = command
        .arg("-o")
        .arg(&partial)
        .args(last)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(done.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&done.stderr));
    fs::rename(&partial, &output).expect("the compiled program is there");
    output
}
