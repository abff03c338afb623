//! The rules find what they are for: planted violations, and what only looks like one.

use super::{LINES, faults_of_machine_paths, faults_of_source, faults_of_testdata};

#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let faults = faults_of_source(path, &format!("//! Purpose.\n{text}"));
    assert_eq!(faults.len(), expected.len(), "{text:?} gives {faults:#?}");
    for (fault, part) in faults.iter().zip(expected) {
        assert!(fault.contains(part), "{fault:?} does not say {part:?}");
    }
}

#[test]
fn imports_against_the_table_are_found() {
    check("src/model/profile.rs", "use crate::error::Error;", &[]);
    check("src/model/profile.rs", "use crate::perf::Record;", &["`model::profile` may not import `perf`"]);
    check(
        "src/perf/attr.rs",
        "fn f() { let x = crate::process::list(); }",
        &["src/perf/attr.rs:2: `perf::attr` may not"],
    );
    check("src/perf/attr.rs", "use crate::{error::Error, model::{Unit, self}, image::Elf};", &["import `image`"]);
    check("src/perf/mod.rs", "use super::image::Elf;", &["import `image`"]);
    check("src/perf/attr.rs", "use super::record::Record; use super::super::image::Elf;", &["import `image`"]);
    check(
        "src/perf/attr.rs",
        "mod a { use super::super::model::Unit; use super::super::super::image::Elf; }",
        &["import `image`"],
    );
    check("src/sampler/open.rs", "use crate::unwind::Unwinder;", &["import `unwind`"]);
    check("src/sampler/bpf/load.rs", "use crate::unwind::Unwinder; use crate::perf::Record;", &[]);
    check("src/session/run.rs", "pub(in crate::session) fn f() {}\nuse crate::unwind::Unwinder;", &["run.rs:3"]);
    check("src/export/a.rs", "macro_rules! m { () => { $crate::render::f() } }", &["import `render`"]);
    check(
        "src/perf/attr.rs",
        "/// See crate::render.\n/* crate::a /* crate::b */ */ const X: &str = \"crate::c \\\" crate::d\";",
        &[],
    );
    check(
        "src/perf/attr.rs",
        "const X: &str = r#\"a\" crate::c\"#; const Y: char = '\"'; use crate::render::f; // '",
        &["render"],
    );
    check("src/perf/attr.rs", "fn f<'a>(x: &'a str) -> u8 { b'\"' } use crate::render::f;", &["render"]);
    check(
        "src/perf/attr.rs",
        "#[cfg(test)]\nmod tests { use crate::render::f; }\nuse crate::image::Elf;",
        &["import `image`"],
    );
    check("src/perf/attr.rs", "#[cfg(test)] use crate::render::f; use crate::image::Elf;", &["import `image`"]);
    check("src/perf/attr.rs", "#[cfg(not(test))] use crate::render::f;", &["import `render`"]);
}

#[test]
fn imports_of_the_face_are_found() {
    check("src/perf/attr.rs", "use crate::Error;", &["goes through lib.rs"]);
    check("src/perf/attr.rs", "use crate::*;", &["goes through lib.rs"]);
    check("src/perf/attr.rs", "use crate::{Result, model::Unit};", &["goes through lib.rs"]);
    check("src/perf/attr.rs", "use crate as face;", &["goes through lib.rs"]);
    check("src/perf/mod.rs", "use super::Error;", &["goes through lib.rs"]);
    check("src/perf/mod.rs", "use flameprofile::Error;", &["by its name"]);
    check("src/main.rs", "mod cli; use flameprofile::Error; fn f() { crate::cli::run(); cli::run(); }", &[]);
    check("src/cli/mod.rs", "use crate::cli::record; use super::cli::record;", &[]);
    check("src/cli/record.rs", "use crate::session::Session;", &["the binary reaches into `session`"]);
}

#[test]
fn unsafe_and_unfinished_code_is_found() {
    check("src/sampler/ring.rs", "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }", &[]);
    check("src/sampler/open.rs", "fn f() { unsafe { g() } }", &["`unsafe` may not stand here"]);
    check("src/image/elf.rs", "#![allow(unsafe_code)]", &["may not be allowed here"]);
    check("src/image/elf.rs", "// unsafe\n#![deny(unsafe_code)] const X: &str = \"unsafe\";", &[]);
    check("src/image/elf.rs", "fn f() { todo!() } fn g() { dbg!(1); unimplemented!() }", &["unfinished"; 3]);
    check("src/image/elf.rs", "#[path = \"../perf/attr.rs\"] mod attr; include!(\"x.rs\");", &["#[path]", "include!"]);
    check("src/image/elf.rs", "fn path(todo: u8) { let path = todo; }", &[]);
}

#[test]
fn long_and_purposeless_files_are_found() {
    check("src/image/elf.rs", &"\n".repeat(LINES), &["two concepts"]);
    check("src/image/elf.rs", &"\n".repeat(LINES - 1), &[]);
    assert_eq!(faults_of_source("src/image/elf.rs", "use std::fs;").len(), 1);
}

#[test]
fn undescribed_test_data_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let readme = file("testdata/a/README.md", "`one.bin`, the case `two/` and the case `three`");
    let faults = |files: &[(String, String)]| faults_of_testdata(files);
    assert!(
        faults(&[
            readme.clone(),
            file("testdata/a/one.bin", ""),
            file("testdata/a/two/input", ""),
            file("testdata/a/three.svg", "")
        ])
        .is_empty()
    );
    assert_eq!(faults(&[readme.clone(), file("testdata/a/other.bin", "")]).len(), 1);
    assert_eq!(faults(&[readme, file("testdata/b/one.bin", "")]).len(), 1);
}

#[test]
fn paths_of_a_machine_are_found() {
    let home = format!("/{}/", "root");
    assert_eq!(faults_of_machine_paths("a.md", &format!("see {home}x")).len(), 1);
    assert_eq!(faults_of_machine_paths("a.md", &format!("a\n\"{home}x\"")).len(), 1);
    assert_eq!(faults_of_machine_paths("a.md", &format!("/proc/PID{home}x, {{pid}}{home}x")).len(), 0);
}
