//! BPF programs, maps and links that a process holds: by its file descriptors, and by `bpftool`.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What `bpftool` calls the kinds, and how `/proc/PID/fdinfo` names their ids (`bpf_prog_show_fdinfo` and the like in the kernel's
/// `kernel/bpf/syscall.c`).
const KINDS: [(&str, &str); 3] = [("prog", "prog_id:"), ("map", "map_id:"), ("link", "link_id:")];

/// Kind and id of all that a process holds, and of the maps of its programs.
pub fn by(pid: u32) -> BTreeSet<(&'static str, u64)> {
    let mut held = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        for (kind, key) in KINDS {
            let id = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
            held.extend(id.map(|id| (kind, id)));
        }
    }
    let maps: Vec<u64> = programs(&held).iter().flat_map(maps_of).collect();
    held.extend(maps.into_iter().map(|id| ("map", id)));
    held
}

/// What `bpftool` shows of the programs among what is held.
pub fn programs(held: &BTreeSet<(&'static str, u64)>) -> Vec<Value> {
    let ids = held.iter().filter(|(kind, _)| *kind == "prog");
    ids.filter_map(|(kind, id)| {
        let shown = Command::new("bpftool").args(["-j", kind, "show", "id", &id.to_string()]).output().ok()?;
        serde_json::from_slice(&shown.stdout).ok()
    })
    .collect()
}

/// Whether it is still in the kernel.
pub fn is_there(kind: &str, id: u64) -> bool {
    let mut command = Command::new("bpftool");
    command.args([kind, "show", "id", &id.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("bpftool can be started").success()
}

fn maps_of(program: &Value) -> Vec<u64> {
    program["map_ids"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// The maps of a name that a process holds.
pub fn maps_named(pid: u32, name: &str) -> Vec<u64> {
    let maps = by(pid).into_iter().filter(|(kind, _)| *kind == "map").map(|(_, id)| id);
    maps.filter(|id| map(*id, "show")["name"] == name).collect()
}

/// Whether a `profile` has told its programs to begin: their only variable, in the map `.bss`, is no zero then.
pub fn has_begun(pid: u32) -> bool {
    let is_set = |entries: Value| {
        let entry = &entries.as_array().into_iter().flatten().next()?["value"];
        Some(entry.as_array()?.iter().any(|byte| byte != "0x00"))
    };
    maps_named(pid, ".bss").into_iter().any(|id| is_set(map(id, "dump")).unwrap_or(false))
}

/// What `bpftool map VERB id ID` prints; null if the map is not there.
fn map(id: u64, verb: &str) -> Value {
    let shown = Command::new("bpftool").args(["-j", "map", verb, "id", &id.to_string()]).output();
    shown.ok().and_then(|shown| serde_json::from_slice(&shown.stdout).ok()).unwrap_or(Value::Null)
}
