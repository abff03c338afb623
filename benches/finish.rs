//! How long one waits for the picture: from the end of a recording of `cargo build` of ripgrep to the written SVG.
//!
//! `cargo bench --bench finish`. The crate's source comes from the registry by Cargo itself. The same build is recorded by
//! `perf record --call-graph dwarf` and read by `perf script`, folded by inferno, if perf is there: the ratio is of one run.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use common::account;
use common::run::{binary, text};
use common::summary::Summary;
use inferno::collapse::Collapse;
use inferno::collapse::perf::{Folder, Options};

/// The crate and the version that is built, so that runs can be compared.
const CRATE: (&str, &str) = ("ripgrep", "14.1.1");

/// Seconds from the end of the recording to the picture, for this many samples.
const GOAL: (f64, f64) = (1.0, 20_000.0);

fn main() {
    let folder = account::folder();
    let source = match fetch(folder.path()) {
        Ok(source) => source,
        Err(reason) => return println!("SKIPPED finish: {reason}"),
    };
    let end = folder.path().join("end");
    // The last thing the recorded command does is to note the time.
    let build = |target: &str| {
        let target = text(&folder.path().join(target));
        let script =
            "cd \"$1\" && cargo build --offline --locked --quiet --release --target-dir \"$2\"; date +%s.%N > \"$3\"";
        ["sh", "-c", script, "sh", &text(&source), &target, &text(&end)].map(str::to_owned)
    };

    let (picture, stats) = (folder.path().join("out.svg"), folder.path().join("stats.json"));
    let mut command = Command::new(binary());
    command.args(["-F", "499", "-o"]).arg(&picture).arg("--stats").arg(&stats).arg("--").args(build("ours"));
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status().expect("profile can be started");
    assert!(status.success() && picture.exists(), "profile: {status}");
    let ours = since(&end);
    let summary = Summary::parse(&fs::read_to_string(&stats).expect("--stats was written"));
    let samples = summary.count("samples") as f64;
    let scaled = ours * GOAL.1 / samples;
    println!(
        "picture of `cargo build` of {} {} at 499 Hz, {samples} samples, lost {}",
        CRATE.0,
        CRATE.1,
        summary.count("lost")
    );
    println!(
        "  {:.3} s from its end to the SVG of {} KiB",
        ours,
        fs::metadata(&picture).expect("it is there").len() / 1024
    );
    let verdict = if scaled <= GOAL.0 { "ok  " } else { "MISS" };
    println!("{verdict} for {} samples                 goal <= {} s measured {scaled:.3} s", GOAL.1, GOAL.0);

    if !account::have("perf") {
        return println!("SKIPPED finish, ratio: there is no perf");
    }
    let recording = folder.path().join("perf.data");
    let mut command = Command::new("perf");
    command
        .args(["record", "-q", "-e", "cpu-clock", "-F", "499", "--call-graph", "dwarf", "-o"])
        .arg(&recording)
        .arg("--")
        .args(build("theirs"));
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status().expect("perf can be started");
    if !status.success() {
        return println!("SKIPPED finish, ratio: perf record: {status}");
    }
    match script(&recording) {
        Ok((theirs, theirs_samples)) => {
            let theirs_scaled = theirs.as_secs_f64() * GOAL.1 / theirs_samples as f64;
            println!(
                "  perf script --no-inline and inferno: {theirs:.1?} for {theirs_samples} samples, {theirs_scaled:.1} s scaled"
            );
            println!("  ours takes {:.4} of it", scaled / theirs_scaled);
        }
        Err(error) => println!("SKIPPED finish, ratio: perf script: {error}"),
    }
}

/// Fetches the crate's source and all it depends on, and copies it where it can be built.
fn fetch(folder: &Path) -> Result<PathBuf, String> {
    // A package that depends on it: Cargo then downloads it, checks its sum and unpacks it.
    let package = folder.join("fetch");
    let (name, version) = CRATE;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[dependencies]\n{name} = \"={version}\"\n\n[workspace]\n"
    );
    fs::create_dir_all(package.join("src")).map_err(|error| error.to_string())?;
    fs::write(package.join("src/lib.rs"), "").map_err(|error| error.to_string())?;
    fs::write(package.join("Cargo.toml"), manifest).map_err(|error| error.to_string())?;
    cargo_fetch(&package)?;
    let home = env::var_os("CARGO_HOME")
        .map_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"), PathBuf::from);
    let registries = fs::read_dir(home.join("registry/src")).map_err(|error| error.to_string())?;
    let unpacked = registries
        .filter_map(|entry| Some(entry.ok()?.path().join(format!("{name}-{version}"))))
        .find(|path| path.exists());
    let unpacked = unpacked.ok_or("Cargo did not unpack the crate")?;
    let source = folder.join("source");
    let copied = Command::new("cp").arg("-r").arg(&unpacked).arg(&source).status();
    if !copied.is_ok_and(|status| status.success()) {
        return Err(format!("cannot copy {}", unpacked.display()));
    }
    cargo_fetch(&source)?;
    Ok(source)
}

fn cargo_fetch(package: &Path) -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["fetch", "--quiet"])
        .current_dir(package)
        .output()
        .map_err(|error| error.to_string())?;
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| format!("cargo fetch: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Seconds since the time that is written in a file.
fn since(file: &Path) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs_f64();
    let then: f64 =
        fs::read_to_string(file).expect("the command noted its end").trim().parse().expect("date prints seconds");
    now - then
}

/// Reads a recording with perf and folds it with inferno; how long that took, and how many samples there were.
fn script(recording: &Path) -> io::Result<(Duration, u64)> {
    let begin = Instant::now();
    let mut child = Command::new("timeout")
        .args(["900", "perf", "script", "--no-inline", "-i"])
        .arg(recording)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take().expect("it is piped");
    let mut counted = Counted { inner: output, samples: 0, last: b'\n' };
    Folder::from(Options::default()).collapse(io::BufReader::new(&mut counted), io::sink())?;
    let samples = counted.samples;
    let status = child.wait()?;
    if !status.success() {
        return Err(io::Error::other(status.to_string()));
    }
    Ok((begin.elapsed(), samples))
}

/// Counts the samples of `perf script` as they pass: each ends with an empty line.
struct Counted<R> {
    inner: R,
    samples: u64,
    last: u8,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        for &byte in &buffer[..length] {
            self.samples += u64::from(byte == b'\n' && self.last == b'\n');
            self.last = byte;
        }
        Ok(length)
    }
}
