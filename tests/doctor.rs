//! `doctor` as root, as a plain user, and with CAP_PERFMON alone: what it says must be what the kernel then does.
//!
//! Each case runs this test's own binary again, as another user by `setpriv` of util-linux, which takes root.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use flameprofile::sampler::facts::{Capability, Facts};
use flameprofile::session::doctor::{Ability, Verdict, doctor};

#[path = "../src/cli/doctor.rs"]
mod table;

/// Set in the environment of the process that is to examine itself.
const CHILD: &str = "FLAMEPROFILE_DOCTOR_CHILD";

/// The plain user: `nobody`.
const NOBODY: u32 = 65_534;

/// Not a test by itself: what the other tests run as other users.
#[test]
fn examine_this_process() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    for Ability { name, verdict, why, fix } in doctor() {
        println!("\nABILITY\t{name}\t{verdict:?}\t{why}\t{}", fix.unwrap_or_default());
    }
}

/// What doctor says when this binary is run behind `prefix`; `None`, said aloud, where that cannot be done.
fn doctor_as(prefix: &[&str]) -> Option<BTreeMap<String, (String, String, String)>> {
    let mut copy = None;
    let mut program = std::env::current_exe().expect("the test's own binary");
    if !prefix.is_empty() {
        // The other user may not be able to enter the build directory.
        let directory = tempfile::tempdir().expect("a temporary directory");
        open_to_all(directory.path().into());
        let target = directory.path().join("doctor");
        // By another process: a child of another test may hold what this one has open for writing (ETXTBSY, execve(2)).
        let status = Command::new("cp").arg("--").args([&program, &target]).status();
        assert!(status.is_ok_and(|status| status.success()), "a copy of the test's binary");
        open_to_all(target.clone());
        program = target;
        copy = Some(directory);
    }
    let mut words = prefix.iter().map(|word| (*word).to_owned());
    let mut command = match words.next() {
        Some(first) => Command::new(first),
        None => Command::new(&program),
    };
    command.args(words);
    if !prefix.is_empty() {
        command.arg(&program);
    }
    let output =
        command.args(["--exact", "examine_this_process", "--nocapture"]).env(CHILD, "1").current_dir("/").output();
    drop(copy);
    let output = match output {
        Ok(output) => output,
        Err(error) => return skip(&format!("{prefix:?}: {error}")),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && errors.contains("setpriv:") {
        return skip(errors.trim());
    }
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    let rows = text.lines().filter_map(|line| line.strip_prefix("ABILITY\t")).map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        let mut field = || fields.next().expect("four fields");
        (field(), (field(), field(), field()))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    assert_eq!(rows.len(), 12, "{text}");
    Some(rows)
}

fn open_to_all(path: PathBuf) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("own file");
}

fn skip<T>(reason: &str) -> Option<T> {
    // Not by eprintln: the harness keeps that to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    None
}

/// Whether this is the real root, with nothing between it and the kernel.
fn is_root() -> bool {
    let facts = Facts::read();
    facts.user == 0 && facts.initial_user_namespace && !facts.seccomp_filter
}

/// As `nobody`, with these capabilities and no others.
fn as_nobody<'a>(ids: &'a [String; 2], capabilities: &'a [String]) -> Vec<&'a str> {
    let mut prefix = vec!["setpriv", &ids[0], &ids[1], "--clear-groups"];
    prefix.extend(capabilities.iter().map(String::as_str));
    prefix
}

fn ids() -> [String; 2] {
    [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]
}

#[track_caller]
fn says(rows: &BTreeMap<String, (String, String, String)>, name: &str, verdict: Verdict, fix: &str) {
    let row = &rows[name];
    assert_eq!(row.0, format!("{verdict:?}"), "{name}: {row:?}");
    assert!(row.2.contains(fix), "{name}: {row:?}");
    assert_eq!(row.2.is_empty(), verdict == Verdict::Yes, "{name}: {row:?}");
}

#[test]
fn root_may_do_all_but_what_the_machine_lacks() {
    let facts = Facts::read();
    if !is_root() || !facts.can(Capability::Perfmon) || !facts.can(Capability::Syslog) {
        skip::<()>("not root with CAP_PERFMON and CAP_SYSLOG");
        return;
    }
    let Some(rows) = doctor_as(&[]) else { return };
    for name in ["own processes", "other users' processes", "system-wide", "kernel frames", "stack copies", "rings"] {
        says(&rows, name, Verdict::Yes, "");
    }
    if facts.kptr_restrict != Some(2) {
        says(&rows, "kernel names", Verdict::Yes, "");
    }
    // Whether there is a PMU is the machine's affair; that it is said is ours.
    let pmu = &rows["PMU (cycles)"];
    assert!(pmu.0 == "Yes" || pmu.2.contains("cpu-clock"), "{pmu:?}");
}

#[test]
fn a_plain_user_is_told_what_to_type() {
    if !is_root() {
        skip::<()>("not root, so this cannot become another user");
        return;
    }
    let none = ["--inh-caps=-all".to_owned(), "--bounding-set=-all".to_owned()];
    let Some(rows) = doctor_as(&as_nobody(&ids(), &none)) else { return };
    let level = Facts::read().paranoid.unwrap_or(2);
    let own = if level <= 2 { Verdict::Yes } else { Verdict::No };
    says(&rows, "own processes", own, "");
    says(&rows, "stack copies", own, "");
    says(&rows, "other users' processes", Verdict::No, "sudo");
    if level >= 1 {
        says(&rows, "system-wide", Verdict::No, "kernel.perf_event_paranoid=0");
    }
    if level >= 2 {
        says(&rows, "kernel frames", Verdict::No, "kernel.perf_event_paranoid=1");
    }
    says(&rows, "kernel names", Verdict::No, "sudo");
    says(&rows, "tracepoints", Verdict::No, "sudo");
    says(&rows, "BPF", Verdict::No, "");
}

#[test]
fn cap_perfmon_alone_opens_events_and_no_more() {
    if !is_root() {
        skip::<()>("not root, so this cannot give a capability to another user");
        return;
    }
    let perfmon = ["--inh-caps=-all,+perfmon".to_owned(), "--ambient-caps=-all,+perfmon".to_owned()];
    let Some(rows) = doctor_as(&as_nobody(&ids(), &perfmon)) else { return };
    for name in ["own processes", "other users' processes", "system-wide", "kernel frames", "stack copies"] {
        says(&rows, name, Verdict::Yes, "");
    }
    says(&rows, "kernel names", Verdict::No, "cap_syslog");
    says(&rows, "BPF", Verdict::No, "");
}

#[test]
fn the_table_has_a_line_for_each_ability() {
    let abilities = doctor();
    let text = table::render(&abilities, false, 100);
    for ability in &abilities {
        assert!(text.lines().any(|line| line.contains(ability.name)), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100 || !line.contains("  ")), "{text}");
    assert!(!text.contains('\x1b'));
}
