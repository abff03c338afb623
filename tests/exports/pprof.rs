//! `-f pprof`, as `go tool pprof` reads it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use flameprofile::export::pprof;
use flameprofile::model::{BuildId, ImageKind, Profile};

use crate::{sketch, skip, without_times};

/// What `go tool pprof FLAGS.. FILE` prints of it; nothing, said aloud, without Go.
fn go_pprof(name: &str, profile: &Profile, flags: &[&str]) -> Option<String> {
    let mut out = Vec::new();
    pprof::write(profile, &mut out).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{name}.pb.gz"));
    std::fs::write(&file, out).unwrap();
    let mut command = Command::new("go");
    // It looks for programs on this machine, which are not those of the sketch.
    command.args(["tool", "pprof", "-symbolize=none"]).args(flags).arg(&file);
    command.env("PPROF_TMPDIR", &folder).env("PPROF_BINARY_PATH", &folder).env("GOFLAGS", "-mod=mod");
    let Ok(output) = command.output() else {
        skip::here("there is no go");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {flags:?}: {said:.3000}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The rows of `-raw` below a head: `Samples:`, `Locations`, `Mappings`.
fn part<'a>(raw: &'a str, head: &str, end: &str) -> Vec<&'a str> {
    let (_, rest) = raw.split_once(&format!("\n{head}\n")).unwrap_or_else(|| panic!("{head} in {raw:.500}"));
    rest.split_once(end).map_or(rest, |(part, _)| part).lines().collect()
}

fn with_build_ids() -> Profile {
    let mut profile = sketch::every_kind();
    for image in profile.images.iter_mut().filter(|image| image.kind == ImageKind::File) {
        image.build_id = BuildId::new(&[0xab; 20]);
    }
    profile
}

#[test]
fn go_reads_values_labels_lines_and_build_ids() {
    let profile = with_build_ids();
    let Some(raw) = go_pprof("raw", &profile, &["-raw"]) else { return };
    assert!(raw.contains("PeriodType: cpu-clock nanoseconds\nPeriod: 10101010\n"), "{raw:.300}");
    assert!(raw.contains("\nDuration: 5.02\n") || raw.contains("\nDuration: 5.0"), "{raw:.300}");
    assert!(raw.contains("samples/count cpu-clock/nanoseconds"), "{raw:.300}");
    let (mut sums, mut labels) = ([0u64; 2], BTreeMap::<String, usize>::new());
    for line in part(&raw, "Samples:", "\nLocations").into_iter().skip(1) {
        // `count value: locations`, then a line of text labels and one of numbers.
        let numbers = line.split_once(':').map(|(numbers, _)| numbers.split_whitespace().map(str::parse::<u64>));
        match numbers.and_then(|numbers| numbers.collect::<Result<Vec<u64>, _>>().ok()) {
            Some(values) if values.len() == 2 => (0..2).for_each(|at| sums[at] += values[at]),
            _ => *labels.entry(line.trim().to_owned()).or_default() += 1,
        }
    }
    let value: u64 = profile.samples.iter().map(|sample| sample.value).sum();
    let count: u64 = profile.samples.iter().map(|sample| u64::from(sample.count)).sum();
    assert_eq!(sums, [count, value]);
    let has = |text: &str| labels.keys().any(|line| line.contains(text));
    for label in ["process:[server]", "thread:[worker]", "pid:[9", "tid:[9"] {
        assert!(has(label), "{label} in {labels:?}");
    }
    let locations = part(&raw, "Locations", "\nMappings").join("\n");
    // Innermost first, as many lines as functions.
    let inlined = ["TwoWaySearcher::next", "Vec<T, A>::push", "parse_request /src/server/src/http.rs:77"];
    let mut rest = &locations[..];
    for function in inlined {
        let at = rest.find(function).unwrap_or_else(|| panic!("{function} in {locations}"));
        rest = &rest[at..];
    }
    let mappings = part(&raw, "Mappings", "\u{0}").join("\n");
    assert!(mappings.contains(&format!("/usr/bin/server {}", "ab".repeat(20))), "{mappings}");
}

#[test]
fn go_finds_the_same_totals() {
    for (name, profile) in [("every_kind", with_build_ids()), ("untimed", without_times(sketch::every_kind()))] {
        let Some(top) =
            go_pprof(name, &profile, &["-top", "-nodecount=1000", "-nodefraction=0", "-unit=ns", "-functions"])
        else {
            return;
        };
        let value: u64 = profile.samples.iter().map(|sample| sample.value).sum();
        assert!(top.contains(&format!("{value}ns")), "{value} in {top}");
        let tree = flameprofile::analyze::CallTree::build(&profile, &flameprofile::analyze::View::default());
        let ours = flameprofile::analyze::Top::build(&tree);
        for function in ours.functions.iter().filter(|function| function.self_value > 0) {
            let name = tree.names.get(function.name);
            // What has no name has its address there, and two of ours have one name.
            if name.starts_with('[') {
                continue;
            }
            let bare = name.split(['<', '(']).next().unwrap();
            let row = top.lines().find(|line| line.contains(bare)).unwrap_or_else(|| panic!("{name} in {top}"));
            let columns: Vec<&str> = row.split_whitespace().collect();
            assert_eq!((columns[0], columns[3]), (&*ns(function.self_value), &*ns(function.total_value)), "{row}");
        }
    }
}

fn ns(value: u64) -> String {
    match value {
        0 => "0".to_owned(),
        value => format!("{value}ns"),
    }
}

#[test]
fn go_reads_hostile_names_and_deep_stacks() {
    for (name, profile) in
        [("hostile", sketch::hostile()), ("deep", sketch::deep(3_000)), ("large", sketch::large(2_000, 4_000))]
    {
        let Some(raw) = go_pprof(name, &profile, &["-raw"]) else { return };
        let rows = part(&raw, "Samples:", "\nLocations").len();
        assert!(rows > 1, "{name}: {rows}");
    }
}
