//! `-f speedscope`: the rules of its schema, and speedscope itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flameprofile::export::speedscope;
use flameprofile::model::Profile;
use serde_json::Value;

use crate::driver::Browser;
use crate::{sketch, sketches, skip, sums, without_times};

/// Where `.ci/run` unpacks the npm package, below the folder of builds.
const PACKAGE: &str = "npm/speedscope-1.25.0";

fn written(profile: &Profile) -> Value {
    let mut out = Vec::new();
    speedscope::write(profile, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is a list"))
}

/// Holds all that the schema asks, and that every number leads somewhere.
fn check(what: &str, profile: &Profile) -> Value {
    let file = written(profile);
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    assert!(file["name"].is_string() && file["exporter"].is_string());
    let frames = list(&file["shared"], "frames");
    for frame in frames {
        assert!(frame["name"].as_str().is_some_and(|name| !name.is_empty()), "{what}: {frame}");
        assert!(frame.get("file").is_none_or(|file| file.as_str().is_some_and(|file| !file.is_empty())));
        assert!(frame.get("line").is_none_or(|line| line.as_u64().is_some_and(|line| line > 0)));
    }
    let mut found = Vec::new();
    for profile in list(&file, "profiles") {
        assert!(profile["type"] == "sampled" && profile["name"].is_string());
        assert!(["bytes", "nanoseconds", "none"].contains(&profile["unit"].as_str().unwrap()));
        let (samples, weights) = (list(profile, "samples"), list(profile, "weights"));
        assert_eq!(samples.len(), weights.len(), "{what}");
        let is_frame = |id: &Value| id.as_u64().is_some_and(|id| (id as usize) < frames.len());
        assert!(samples.iter().all(|stack| stack.as_array().unwrap().iter().all(is_frame)), "{what}");
        let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
        assert_eq!((profile["startValue"].as_u64(), profile["endValue"].as_u64()), (Some(0), Some(sum)));
        found.push(sum);
    }
    let mut expected: Vec<u64> = sums(profile).into_values().collect();
    if expected.is_empty() {
        expected.push(0);
    }
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{what}");
    assert!((file["activeProfileIndex"].as_u64().unwrap() as usize) < found.len());
    file
}

#[test]
fn speedscope_files_keep_the_rules_of_its_schema() {
    for (what, profile) in sketches() {
        let file = check(what, &profile);
        assert_eq!(file, written(&profile), "{what}: the same bytes each time");
    }
}

#[test]
fn a_function_is_one_frame_with_its_file_and_first_line() {
    let file = check("every kind", &sketch::every_kind());
    let frames = list(&file["shared"], "frames");
    let parse: Vec<&Value> = frames.iter().filter(|frame| frame["name"] == "server::http::parse_request").collect();
    assert_eq!(
        parse,
        [&serde_json::json!({
            "name": "server::http::parse_request", "file": "/src/server/src/http.rs", "line": 77
        })]
    );
    let inlined = frames.iter().find(|frame| frame["name"] == "core::str::pattern::TwoWaySearcher::next").unwrap();
    assert_eq!(inlined["line"], 1301);
    let of = |name: &str| frames.iter().find(|frame| frame["name"] == name).unwrap()["file"].clone();
    assert_eq!(of("tcp_recvmsg"), "[kernel]");
    assert_eq!(of("[libblob.so+0x1a2b]"), "/opt/vendor/libblob.so");
    assert!(of("[not sampled]").is_null());
    let names: Vec<&str> = list(&file, "profiles").iter().map(|profile| profile["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["server/main (7)", "logger (8)", "server/worker (9)"]);
}

#[test]
fn stacks_without_times_are_there_once() {
    let timed = check("timed", &sketch::every_kind());
    let folded = check("untimed", &without_times(sketch::every_kind()));
    let first = &list(&folded, "profiles")[0];
    assert_eq!(first["name"], "server/main (7) [no times: by stack]");
    let stacks: std::collections::BTreeSet<String> =
        list(first, "samples").iter().map(|stack| stack.to_string()).collect();
    assert_eq!(stacks.len(), list(first, "samples").len());
    assert_eq!(of_stacks(&timed), of_stacks(&folded));
}

/// The weight of each stack of each profile, by names.
fn of_stacks(file: &Value) -> BTreeMap<(usize, Vec<String>), u64> {
    let frames = list(&file["shared"], "frames");
    let mut weights = BTreeMap::new();
    for (at, profile) in list(file, "profiles").iter().enumerate() {
        for (stack, weight) in list(profile, "samples").iter().zip(list(profile, "weights")) {
            let names = stack.as_array().unwrap().iter();
            let names = names.map(|id| frames[id.as_u64().unwrap() as usize]["name"].as_str().unwrap().to_owned());
            *weights.entry((at, names.collect())).or_default() += weight.as_u64().unwrap();
        }
    }
    weights
}

/// The same of what speedscope saves: `O` opens a frame, `C` closes it, `at` a sum of weights.
fn of_events(file: &Value) -> BTreeMap<(usize, Vec<String>), u64> {
    let frames = list(&file["shared"], "frames");
    let mut weights = BTreeMap::new();
    for (at, profile) in list(file, "profiles").iter().enumerate() {
        let (mut stack, mut last) = (Vec::new(), 0);
        for event in list(profile, "events") {
            let now = event["at"].as_u64().unwrap();
            if now > last {
                *weights.entry((at, stack.clone())).or_default() += now - last;
            }
            last = now;
            let name = frames[event["frame"].as_u64().unwrap() as usize]["name"].as_str().unwrap().to_owned();
            match event["type"].as_str() {
                Some("O") => stack.push(name),
                _ => assert_eq!(stack.pop(), Some(name)),
            }
        }
        assert!(stack.is_empty());
    }
    weights
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..4 {
            let is_there = digit <= chunk.len();
            text.push(if is_there { DIGITS[(bits >> (18 - 6 * digit) & 63) as usize] as char } else { '=' });
        }
    }
    text
}

/// Opens the file in speedscope and returns what that saves of it.
fn through_speedscope(browser: &Browser, page: &Path, name: &str, profile: &Profile) -> Value {
    let mut out = Vec::new();
    speedscope::write(profile, &mut out).unwrap();
    let script = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.js"));
    // As the package's own command does it.
    let text = format!("speedscope.loadFileFromBase64(\"{name}.speedscope.json\", \"{}\")", base64(&out));
    std::fs::write(&script, text).unwrap();
    // Another page in between: a change of the hash alone loads nothing.
    browser.open(Path::new("/dev/null"));
    browser.open(Path::new(&format!("{}#localProfilePath={}", page.display(), script.display())));
    browser.wait_for("document.querySelector('canvas')");
    browser.run(
        "HTMLAnchorElement.prototype.click = () => {}; \
         URL.createObjectURL = blob => { blob.text().then(text => { window.saved = text }); return '' }",
    );
    // It saves nothing before the file is read.
    browser.wait_for("(window.dispatchEvent(new KeyboardEvent('keydown', {key: 's', ctrlKey: true})), window.saved)");
    assert_ne!(browser.run("return window.hit"), 1, "no name ran");
    serde_json::from_str(browser.run("return window.saved").as_str().unwrap()).unwrap()
}

#[test]
fn speedscope_reads_what_is_written() {
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(PACKAGE).join("dist/release/index.html");
    if !page.exists() {
        return skip::here("no speedscope 1.25.0 in target/npm, where .ci/run unpacks it");
    }
    let Some(browser) = Browser::start(1200, 700) else { return };
    for (name, profile) in sketches() {
        let saved = through_speedscope(&browser, &page, &name.replace(' ', "_"), &profile);
        let mut expected = of_stacks(&written(&profile));
        let mut found = of_events(&saved);
        // Time without a stack is a gap there.
        expected.retain(|(_, stack), weight| !stack.is_empty() && *weight > 0);
        found.retain(|(_, stack), _| !stack.is_empty());
        assert!(found == expected, "{name}: {} stacks, {} expected", found.len(), expected.len());
        browser.screenshot(&format!("speedscope_{}", name.replace(' ', "_")));
    }
}
