//! A stripped program whose debug information is elsewhere, a recording of it, and what `profile` makes of that.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::programs;
use crate::common::run::{binary, finish, stderr};

/// A stripped program, its debug file, and a folder for caches and results.
pub struct Hidden {
    pub folder: TempDir,
    pub program: PathBuf,
    pub debug: PathBuf,
    pub build_id: String,
}

/// What a result says of the program.
#[derive(Debug, PartialEq)]
pub struct Known {
    /// The functions of the program that were sampled, with file and line of one sample each.
    pub lines: Vec<(String, String)>,
    pub samples: u64,
    pub skipped: Vec<String>,
    pub notes: String,
}

impl Hidden {
    pub fn new() -> Hidden {
        let folder = tempfile::tempdir().unwrap();
        let whole = programs::c_with("hidden", &["-g", "-Wl,--build-id=sha1"]);
        // Beside the program, or by a name that it tells, the debug file would be found.
        fs::create_dir(folder.path().join("apart")).unwrap();
        let [program, debug] = ["hidden", "apart/debug"].map(|name| folder.path().join(name));
        run("objcopy", &[OsStr::new("--only-keep-debug"), whole.as_os_str(), debug.as_os_str()]);
        run("objcopy", &[OsStr::new("--strip-all"), whole.as_os_str(), program.as_os_str()]);
        let build_id = build_id(&program);
        Hidden { folder, program, debug, build_id }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is asked of a server for the debug file.
    pub fn request(&self) -> String {
        format!("/buildid/{}/debuginfo", self.build_id)
    }

    /// `profile` with a cache and without any server that is not named.
    pub fn profile(&self, cache: &str) -> Command {
        self.with_cache(Command::new(binary()), cache)
    }

    /// Gives a command that leads to `profile` the same surroundings.
    pub fn with_cache(&self, mut command: Command, cache: &str) -> Command {
        command.env_remove("DEBUGINFOD_URLS").env("DEBUGINFOD_CACHE_PATH", self.path(cache));
        for limit in ["TIMEOUT", "MAXTIME", "MAXSIZE", "PROGRESS"] {
            command.env_remove(format!("DEBUGINFOD_{limit}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Records the program as records.
    pub fn record(&self) -> PathBuf {
        let data = self.path("hidden.data");
        let mut command = self.profile("unused");
        command.args(["-F", "499", "-o"]).arg(&data).arg("--").arg(&self.program).arg("0.5");
        succeed(&mut command);
        data
    }

    /// Imports the recording with more arguments; a result that is none fails the test.
    pub fn import(&self, data: &Path, cache: &str, arguments: &[&str], limits: &[(&str, &str)]) -> Known {
        let result = self.path(&format!("{cache}.json"));
        let mut command = self.profile(cache);
        command.arg("import").arg(data).arg("-o").arg(&result).args(arguments).envs(limits.iter().copied());
        succeed(&mut command);
        self.known(&fs::read_to_string(result).unwrap())
    }

    /// Reads a result.
    pub fn known(&self, json: &str) -> Known {
        let profile: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}\n{json}"));
        let images = profile["images"].as_array().unwrap();
        let is_ours = |image: &Value| {
            let image = &images[image.as_u64().unwrap() as usize];
            image["build_id"] == self.build_id.as_str()
        };
        let frames = profile["frames"].as_array().unwrap().iter();
        let ours = frames.filter(|frame| frame.get("image").is_some_and(is_ours));
        let lines = ours.filter_map(|frame| frame["lines"].as_array()).flatten();
        let mut lines: Vec<(String, String)> = lines
            .map(|line| {
                let file = line["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                assert!(file.is_empty() || line["line"].as_u64() > Some(0), "{line}");
                (line["name"].as_str().unwrap().to_owned(), file)
            })
            .collect();
        lines.sort();
        lines.dedup();
        let stats = &profile["stats"];
        let skipped = stats["skipped"].as_object().map(|skipped| skipped.keys().cloned().collect());
        let notes: Vec<&str> = stats["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        Known {
            lines,
            samples: stats["samples"].as_u64().unwrap(),
            skipped: skipped.unwrap_or_default(),
            notes: notes.join("\n"),
        }
    }
}

impl Known {
    /// Whether the functions of the program have names and lines, those that were inlined too.
    pub fn is_named(&self) -> bool {
        let has = |name: &str| self.lines.contains(&(name.to_owned(), "hidden.c".to_owned()));
        has("hidden_work") && has("hidden_turn") && has("main")
    }

    /// Whether a reason was counted.
    pub fn has_skipped(&self, reason: &str) -> bool {
        self.skipped.iter().any(|skipped| skipped.contains(reason))
    }
}

/// The build id of a file, as `readelf` reads it.
pub fn build_id(path: &Path) -> String {
    let text = run("readelf", &[OsStr::new("-n"), path.as_os_str()]);
    let id = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    id.unwrap_or_else(|| panic!("{} has no build id", path.display())).to_owned()
}

/// Runs a program that must succeed; what it printed.
pub fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `profile`, which must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = finish(command.spawn());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr(&output));
    output
}
