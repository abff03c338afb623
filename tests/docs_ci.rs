//! The jobs of `docs/ci`, as far as they can be run here: the shell parts for real, with two small programs and with stand-ins for the
//! servers' own commands.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::run::{binary, finish, stderr};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci").join(name)
}

/// A folder with commands of these names and texts, and with `profile`.
fn commands(texts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(binary(), folder.path().join("profile")).unwrap();
    for (name, text) in texts {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Runs a script of the docs in a folder, with those commands before all others.
fn script(name: &str, arguments: &[&str], folder: &Path, commands: &Path, environment: &[(&str, &str)]) -> Output {
    let path = format!("{}:{}", commands.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.arg(docs(name)).args(arguments).current_dir(folder).env("PATH", path);
    ["GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "JENKINS_URL"].iter().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(environment.iter().copied());
    finish(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn())
}

/// Two programs: one does half as much again as the other, in one function.
fn two_programs(folder: &Path) -> Option<(String, String)> {
    const SOURCE: &str = "
        static volatile unsigned sink;
        __attribute__((noinline)) static void same(void) { for (unsigned i = 0; i < 100000000; i++) sink += i; }
        __attribute__((noinline)) static void slower(void) { for (unsigned i = 0; i < 50000000u * FACTOR; i++) sink += i; }
        int main(void) { same(); slower(); return 0; }";
    fs::write(folder.join("prog.c"), SOURCE).unwrap();
    let build = |name: &str, factor: u32| {
        let mut compiler = Command::new("cc");
        compiler.args(["-g", "-O1", "-o", name, &format!("-DFACTOR={factor}"), "prog.c"]).current_dir(folder);
        compiler.status().is_ok_and(|status| status.success()).then(|| format!("./{name}"))
    };
    build("base", 1).zip(build("new", 2))
}

#[test]
fn scripts_are_read_by_the_shell() {
    for name in ["gate.sh", "post-comment.sh", "buildkite.sh"] {
        let status = Command::new("sh").arg("-n").arg(docs(name)).status().unwrap();
        assert!(status.success(), "{name}");
        assert_ne!(fs::metadata(docs(name)).unwrap().permissions().mode() & 0o111, 0, "{name} can be run");
    }
    // What the jobs call is there.
    for job in ["github-record.yml", "github-comment.yml", "gitlab.yml", "buildkite.yml", "Jenkinsfile"] {
        let text = fs::read_to_string(docs(job)).unwrap();
        let calls: Vec<&str> = text.split("docs/ci/").skip(1).map(|rest| rest.split(' ').next().unwrap()).collect();
        assert!(!calls.is_empty(), "{job} calls no script");
        calls.iter().for_each(|script| assert!(docs(script).is_file(), "{job}: {script}"));
    }
}

#[test]
fn gate_finds_what_was_planted_and_writes_every_report() {
    let folder = tempfile::tempdir().unwrap();
    let (base, new) = two_programs(folder.path()).expect("a C compiler");
    let commands = commands(&[]);
    let run = |base: &str, new: &str| script("gate.sh", &[base, new], folder.path(), commands.path(), &[("RUNS", "6")]);
    let found = run(&base, &new);
    assert_eq!(found.status.code(), Some(1), "{}", stderr(&found));
    let report = |name: &str| fs::read_to_string(folder.path().join("reports").join(name)).unwrap();
    assert!(report("report.md").starts_with("❌ **profile**: **"), "{}", report("report.md"));
    assert!(report("report.md").contains("| `slower` self |"), "{}", report("report.md"));
    assert_eq!(report("status"), "1\n");
    let json: serde_json::Value = serde_json::from_str(&report("report.json")).unwrap();
    assert_eq!((&json["format"], &json["verdict"]["exit_status"]), (&"flameprofile-gate".into(), &1.into()));
    assert!(report("report.html").contains("slower"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&report("report.sarif")).unwrap()["version"], "2.1.0");
    let junit = report("report.junit.xml");
    let junit = roxmltree::Document::parse(&junit).unwrap();
    assert!(junit.descendants().any(|node| node.has_tag_name("failure")));
    // A command that is not there is a failure, and not a pass.
    let failed = run(&base, "./nowhere");
    assert_eq!(failed.status.code(), Some(2), "{}", stderr(&failed));
    assert_eq!(report("status"), "2\n");
}

#[test]
fn gate_without_commands_says_how_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let output = script("gate.sh", &["one"], folder.path(), commands(&[]).path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("usage: "));
}

/// A stand-in for GitHub's command: it knows the comments of `comments.txt` and notes what it is told.
const GH: &str = r#"#!/bin/sh
echo "$*" >> calls
case "$*" in
*--paginate*) cat comments.txt ;;
esac
"#;

#[test]
fn comment_is_updated_and_not_repeated() {
    let commands = commands(&[("gh", GH)]);
    let folder = tempfile::tempdir().unwrap();
    let environment = [("GITHUB_REPOSITORY", "me/it")];
    let post = |report: &str, number: &str, comments: &str| {
        let at = |name: &str| folder.path().join(name);
        fs::write(at("report.md"), report).unwrap();
        fs::write(at("comments.txt"), comments).unwrap();
        let _ = fs::remove_file(at("calls"));
        let output = script("post-comment.sh", &["report.md", number], folder.path(), commands.path(), &environment);
        (output.status.code(), fs::read_to_string(at("calls")).unwrap_or_default())
    };
    let report = "✅ **profile**: $(touch hacked) `touch hacked`\n\n<!-- flameprofile-gate: profile -->\n";
    let (status, calls) = post(report, "12", "");
    assert_eq!(status, Some(0));
    assert!(calls.ends_with("api --method POST repos/me/it/issues/12/comments --field body=@report.md\n"), "{calls}");
    let (_, calls) = post(report, "12", "77\n78\n");
    assert!(calls.ends_with("api --method PATCH repos/me/it/issues/comments/77 --field body=@report.md\n"), "{calls}");
    // What is no report, or no number, is not posted.
    assert_eq!(post("hello\n", "12", ""), (Some(2), String::new()));
    assert_eq!(post(report, "12; touch hacked", ""), (Some(2), String::new()));
    assert_eq!(post(&format!("{}{report}", "x".repeat(66_000)), "12", ""), (Some(2), String::new()));
    assert!(!folder.path().join("hacked").exists());
}

#[test]
fn annotation_of_buildkite_has_the_status_of_the_gate() {
    const PROFILE: &str = "#!/bin/sh\necho '⚠️ report' > \"$REPORTS/report.md\"\nexit \"$WILL\"\n";
    const AGENT: &str = "#!/bin/sh\necho \"$*\" >> calls\ncat > /dev/null\n";
    let commands = commands(&[("buildkite-agent", AGENT)]);
    fs::remove_file(commands.path().join("profile")).unwrap();
    fs::write(commands.path().join("profile"), PROFILE).unwrap();
    fs::set_permissions(commands.path().join("profile"), fs::Permissions::from_mode(0o755)).unwrap();
    for (status, style) in [(0, "success"), (1, "error"), (2, "error"), (3, "warning")] {
        let folder = tempfile::tempdir().unwrap();
        let will = status.to_string();
        let environment = [("WILL", will.as_str()), ("REPORTS", "out")];
        let output = script("buildkite.sh", &["a", "b"], folder.path(), commands.path(), &environment);
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        assert!(calls.starts_with(&format!("annotate --style {style} --context profile\n")), "{calls}");
    }
}
