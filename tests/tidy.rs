//! Holds the house in order: who may import whom, where `unsafe` may stand, how long a file may be, what is documented.
//!
//! The rules read Rust by its tokens, with comments, strings and `#[cfg(test)]` items taken out, so that a path counts
//! wherever it stands: in a `use`, in an expression, in a macro. Each rule is proven by a planted violation below.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "tidy/abi.rs"]
mod abi;
#[path = "tidy/ci.rs"]
mod ci;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/tokens.rs"]
mod tokens;

use tokens::{Token, tokens, without_tests};

/// The rooms, and which others each may import besides itself, `model` and `error`.
///
/// Change the table when the design must change; never go round it.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("model", &[]),
    ("perf", &["formats"]),
    ("image", &[]),
    ("process", &[]),
    ("debuginfod", &[]),
    ("analyze", &[]),
    ("formats", &[]),
    ("gate", &["analyze"]),
    ("unwind", &["image", "process"]),
    ("symbolize", &["image", "process"]),
    ("render", &["analyze", "formats", "gate"]),
    ("export", &["formats"]),
    ("sampler", &["perf"]),
    ("sampler::bpf", &["perf", "image", "process", "unwind"]),
    ("recorder", &["perf", "image", "process", "unwind"]),
    ("import", &["recorder", "perf", "formats", "image", "process", "symbolize", "debuginfod"]),
    ("baseline", &["import", "export", "gate"]),
    ("session", &["sampler", "recorder", "symbolize", "image", "process", "perf", "debuginfod"]),
];

/// No room: how a test says that it is skipped. It is compiled for tests alone, so nothing else can import it.
const SKIP: &str = "skip";

/// Where `unsafe` may stand: the system calls, the ring, the BPF calls, and the one place that maps files.
const UNSAFE: &[&str] = &["src/sampler/sys.rs", "src/sampler/ring.rs", "src/sampler/bpf/", "src/image/mapped_file.rs"];

/// No file of the sources is longer.
const LINES: usize = 600;

// --- the rules ---

/// All that a source file does against the rules.
fn faults_of_source(path: &str, text: &str) -> Vec<String> {
    let tokens = without_tests(&tokens(text));
    let mut faults = imports(path, &tokens);
    faults.extend(words(path, &tokens));
    if text.lines().count() > LINES {
        faults.push(format!("{path}: {} lines, more than {LINES}: two concepts live here", text.lines().count()));
    }
    if !text.trim_start().starts_with("//!") {
        faults.push(format!("{path}: does not begin with its purpose (`//!`)"));
    }
    faults
}

/// Rule: a room imports only what the table allows it, and nobody imports the library's face.
fn imports(path: &str, tokens: &[Token]) -> Vec<String> {
    if path == "src/lib.rs" {
        return Vec::new();
    }
    let module = module_of(path);
    let is_binary = module.is_empty() || module[0] == "cli";
    let mut faults = Vec::new();
    for (first, line) in crate_paths(&module, tokens) {
        let at = format!("{path}:{line}");
        match first {
            Reached::Crate(room) if is_binary => {
                if is_room(&room) {
                    faults.push(format!(
                        "{at}: the binary reaches into `{room}`; it uses the library's face, `flameprofile::`"
                    ));
                }
            }
            Reached::Crate(name) if name == SKIP => {}
            Reached::Crate(room) if !is_room(&room) => {
                faults.push(format!("{at}: `crate::{room}` goes through lib.rs; import from the room that defines it"));
            }
            Reached::Crate(room) => {
                if !may_import(&module, &room) {
                    faults.push(format!("{at}: `{}` may not import `{room}`", module.join("::")));
                }
            }
            Reached::Library if !is_binary => {
                faults.push(format!("{at}: nobody inside imports the library by its name"));
            }
            Reached::Library => {}
        }
    }
    faults
}

/// Rules about single words: `unsafe`, `todo!`, `#[path]` and the like.
fn words(path: &str, tokens: &[Token]) -> Vec<String> {
    let may_be_unsafe = UNSAFE.iter().any(|place| path == *place || (place.ends_with('/') && path.starts_with(place)));
    let mut faults = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).map_or("", |token| token.text.as_str());
        let allows =
            || tokens[..index].iter().rev().take(8).any(|before| before.text == "allow" || before.text == "expect");
        let fault = match token.text.as_str() {
            "unsafe" if !may_be_unsafe => "`unsafe` may not stand here",
            "unsafe_code" if !may_be_unsafe && allows() => "`unsafe` may not be allowed here",
            "todo" | "unimplemented" | "dbg" if next == "!" => "unfinished: `todo!`, `unimplemented!`, `dbg!`",
            "include" if next == "!" => "`include!` goes round the table of rooms",
            "path" if next == "=" && index >= 2 && tokens[index - 1].text == "[" && tokens[index - 2].text == "#" => {
                "`#[path]` goes round the table of rooms"
            }
            _ => continue,
        };
        faults.push(format!("{path}:{}: {fault}", token.line));
    }
    faults
}

/// Rule: every file of test data is named by the README of its folder or of one above it.
fn faults_of_testdata(files: &[(String, String)]) -> Vec<String> {
    let readme = |folder: &str| {
        let name = format!("{folder}/README.md");
        files.iter().find(|(path, _)| *path == name).map(|(_, text)| text.as_str())
    };
    let mut faults = Vec::new();
    for (path, _) in files.iter().filter(|(path, _)| !path.ends_with("/README.md")) {
        let mut folder = path.as_str();
        let found = loop {
            let Some((above, _)) = folder.rsplit_once('/') else { break None };
            folder = above;
            if let Some(text) = readme(folder) {
                break Some(text);
            }
        };
        let Some(text) = found else {
            faults.push(format!("{path}: no README says what it is"));
            continue;
        };
        // By its name, by that of its case (`case` for case.input and case.svg), or by that of the folder below the README in
        // which it lies (`case/`).
        let below = &path[folder.len() + 1..];
        let name = below.rsplit('/').next().unwrap_or(below);
        let case = below.split_once('/').map(|(case, _)| format!("{case}/"));
        let stem = format!("`{}`", name.split('.').next().unwrap_or(name));
        if !text.contains(name) && !text.contains(&stem) && !case.is_some_and(|case| text.contains(&case)) {
            faults.push(format!("{path}: {folder}/README.md does not name it"));
        }
    }
    faults
}

/// Rule: nothing that is checked in tells of the machine it was written on.
fn faults_of_machine_paths(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file passes its own rule.
    let homes = ["work", "root", "home/runner"].map(|home| format!("/{home}/"));
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for home in &homes {
            let is_first = |at: usize| {
                let before = line[..at].chars().next_back();
                // `/proc/PID/root/` is no machine's path.
                before.is_none_or(|before| before.is_whitespace() || "\"'`(=:,<[@".contains(before))
            };
            if line.match_indices(home.as_str()).any(|(at, _)| is_first(at)) {
                faults.push(format!("{path}:{}: names a path of one machine, {home}", number + 1));
            }
        }
    }
    faults
}

// --- modules ---

/// The module that a source file is: `src/sampler/bpf/map.rs` is `sampler::bpf::map`; empty for main.rs.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap_or(path).strip_suffix(".rs").unwrap_or(path);
    let mut names: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|name| name == "mod" || name == "main" || name == "lib") {
        names.pop();
    }
    names
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, _)| *room == name)
}

fn may_import(module: &[String], room: &str) -> bool {
    let own = module[0].as_str();
    if room == own || room == "error" || (room == "model" && own != "error") {
        return true;
    }
    let of = |name: &str| ROOMS.iter().find(|(room, _)| *room == name).map_or(&[][..], |(_, allowed)| allowed);
    let nested = module.get(1).map(|inner| format!("{own}::{inner}"));
    of(own).contains(&room) || nested.is_some_and(|nested| of(&nested).contains(&room))
}

/// What a path reaches from the top.
#[derive(Debug, PartialEq)]
enum Reached {
    /// This name, below the crate's root; `*`, `self` or nothing for the root itself.
    Crate(String),
    /// The library by its own name.
    Library,
}

/// Every path that starts at the crate's root, by `crate::`, by enough `super::`, or by the library's name.
fn crate_paths(module: &[String], tokens: &[Token]) -> Vec<(Reached, usize)> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut reached = Vec::new();
    let mut index = 0;
    // Names of the inline modules around the current token, each with the depth of braces at which it opened.
    let (mut depth, mut inline): (usize, Vec<usize>) = (0, Vec::new());
    while index < tokens.len() {
        let line = tokens[index].line;
        match text(index) {
            "{" => {
                depth += 1;
                if index >= 2 && text(index - 2) == "mod" {
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "crate" if text(index + 1) == "::" => {
                reached.extend(heads(tokens, index + 2).into_iter().map(|name| (Reached::Crate(name), line)));
            }
            // `use crate as other;`
            "crate" if text(index + 1) == "as" => reached.push((Reached::Crate("self".to_owned()), line)),
            "super" if index == 0 || text(index - 1) != "::" || text(index.wrapping_sub(2)) != "super" => {
                let mut ups = 1;
                while text(index + 1) == "::" && text(index + 2) == "super" {
                    ups += 1;
                    index += 2;
                }
                if ups >= module.len() + inline.len() && text(index + 1) == "::" {
                    reached.extend(heads(tokens, index + 2).into_iter().map(|name| (Reached::Crate(name), line)));
                }
            }
            "flameprofile" if text(index + 1) == "::" || text(index + 1) == "as" => {
                reached.push((Reached::Library, line))
            }
            _ => {}
        }
        index += 1;
    }
    reached
}

/// The first names of a path or of a braced group of paths.
fn heads(tokens: &[Token], start: usize) -> Vec<String> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    if text(start) != "{" {
        return vec![text(start).to_owned()];
    }
    let (mut names, mut depth, mut index, mut expects) = (Vec::new(), 0_usize, start, true);
    while index < tokens.len() {
        match text(index) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," if depth == 1 => expects = true,
            name if expects => {
                names.push(name.to_owned());
                expects = false;
            }
            _ => {}
        }
        index += 1;
    }
    names
}

// --- the repository ---

/// The files of a folder and below, with their text; bytes that are no text become marks.
fn files_below(folder: &str) -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned();
                let text = String::from_utf8_lossy(&fs::read(&path).expect("the file can be read")).into_owned();
                found.push((name, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(root, &root.join(folder), &mut found);
    found.sort();
    found
}

/// The files that git keeps; all but the build's if this is no checkout.
fn tracked_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Files that are not ignored and not yet added count too: they are about to be kept.
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    if let Ok(listed) = listed.as_ref()
        && listed.status.success()
        && !listed.stdout.is_empty()
    {
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        return names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    }
    let folders = ["src", "tests", "testdata", "benches", "fuzz", ".ci"];
    let below = folders.iter().flat_map(|folder| files_below(folder)).map(|(name, _)| PathBuf::from(name));
    below.chain(["Cargo.toml", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "Makefile"].map(PathBuf::from)).collect()
}

/// Source files that are modules of tests only: `#[cfg(test)] mod NAME;`.
fn test_only_modules(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, text) in sources {
        let tokens = tokens(text);
        let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
        for start in 0..tokens.len() {
            if (0..7).any(|offset| word(start + offset) != ["#", "[", "cfg", "(", "test", ")", "]"][offset]) {
                continue;
            }
            // `pub(super) mod tests;`
            let module = (start + 7..start + 12).find(|&index| word(index) == "mod" && word(index + 2) == ";");
            if let Some(name) = module.map(|index| word(index + 1)) {
                let folder = if ["mod.rs", "lib.rs", "main.rs"].iter().any(|root| path.ends_with(&format!("/{root}"))) {
                    path.rsplit_once('/').map_or("", |(folder, _)| folder)
                } else {
                    path.strip_suffix(".rs").unwrap_or(path)
                };
                names.insert(format!("{folder}/{name}"));
            }
        }
    }
    names
}

fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn sources_keep_the_rules() {
    let sources: Vec<_> = files_below("src").into_iter().filter(|(path, _)| path.ends_with(".rs")).collect();
    assert!(sources.iter().any(|(path, _)| path == "src/model/profile.rs"), "the sources were found");
    let tests = test_only_modules(&sources);
    let is_test =
        |path: &str| tests.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")));
    assert_none(
        sources
            .iter()
            .filter(|(path, _)| !is_test(path))
            .flat_map(|(path, text)| faults_of_source(path, text))
            .collect(),
    );
}

#[test]
fn rooms_stand_in_the_table() {
    let mut faults = Vec::new();
    for (path, _) in files_below("src").iter().filter(|(path, _)| path.ends_with(".rs")) {
        match module_of(path).first() {
            Some(room) if room != "cli" && !is_room(room) => {
                faults.push(format!("{path}: `{room}` is no room of the table"))
            }
            _ => {}
        }
    }
    assert_none(faults);
}

#[test]
fn test_data_is_described() {
    assert_none(faults_of_testdata(&files_below("testdata")));
}

#[test]
fn no_path_of_a_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for name in tracked_files() {
        // A binary fixture holds the paths of whoever built it; its README says who did.
        if let Ok(text) = fs::read_to_string(root.join(&name)) {
            faults.extend(faults_of_machine_paths(&name.to_string_lossy(), &text));
        }
    }
    assert_none(faults);
}

#[test]
fn programs_and_loader_state_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("it is checked in");
    let rust = read("src/sampler/bpf/abi.rs") + &read("src/unwind/table/format.rs");
    let (c, rust) = (abi::of_c(&read("src/sampler/bpf/c/abi.h")), abi::of_rust(&rust));
    let differ: Vec<_> = c.keys().chain(rust.keys()).filter(|name| c.get(*name) != rust.get(*name)).collect();
    assert!(differ.is_empty() && c.len() > 80, "{differ:?} are not the same in C and in Rust");
}
