//! What CI runs a second time is what failed, and nothing but tests did.

use std::path::Path;
use std::process::Command;

/// Holds what `.ci/failed_tests` says of a log; nothing where it refuses.
#[track_caller]
fn check(log: &str, expected: Option<&str>) {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("log");
    std::fs::write(&path, log).expect("it can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/failed_tests");
    let output = Command::new(script).arg(&path).output().expect("there is an awk");
    let said = String::from_utf8(output.stdout).expect("it is text");
    match expected {
        Some(expected) => assert!(output.status.success() && said == expected, "{said}"),
        None => assert!(!output.status.success() && said.is_empty() && !output.stderr.is_empty(), "{said}"),
    }
}

/// What a target prints some of whose tests fail, as cargo 1.95 has it.
fn failed(program: &str, flags: &str, tests: &[&str]) -> String {
    let names: String = tests.iter().map(|name| format!("    {name}\n")).collect();
    format!(
        "     Running {program} (target/release/deps/x-1)\n\nrunning 9 tests\ntest a ... FAILED\n\nfailures:\n\n\
         ---- a stdout ----\nfailures:\n    no_name\n\n\nfailures:\n{names}\n\
         test result: FAILED. 7 passed; {} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
         error: test failed, to rerun pass `{flags}`\n",
        tests.len()
    )
}

const PASSED: &str = "     Running tests/c.rs (target/release/deps/c-1)\n\nrunning 1 test\ntest c ... ok\n\n\
                      test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n";

#[test]
fn failed_tests_are_named_by_target() {
    let of_library = failed("unittests src/lib.rs", "--lib", &["a::b", "c"]);
    check(&format!("{of_library}{PASSED}error: 1 target failed:\n    `--lib`\n"), Some("--lib -- a::b c\n"));
    let of_test = failed("tests/a.rs", "--test a", &["c"]);
    let both = format!("{of_library}{PASSED}{of_test}{PASSED}error: 2 targets failed:\n    `--lib`\n    `--test a`\n");
    check(&both, Some("--lib -- a::b c\n--test a -- c\n"));
}

#[test]
fn what_is_no_test_of_a_list_gets_no_second_run() {
    let of_test = failed("tests/a.rs", "--test a", &["c"]);
    // A program that dies has no list; nor must it have that of the one before.
    let died = "     Running tests/d.rs (target/release/deps/d-1)\n\nrunning 2 tests\nerror: test failed, to rerun pass `--test d`\n\n\
                Caused by:\n  process didn't exit successfully: `d` (signal: 6, SIGABRT: process abort signal)\n";
    check(&format!("{of_test}{died}error: 2 targets failed:\n    `--test a`\n    `--test d`\n"), None);
    check(&format!("{died}error: 1 target failed:\n    `--test d`\n"), None);
    let listed_and_died = of_test.replace("test result: FAILED. ", "");
    check(&format!("{listed_and_died}error: 1 target failed:\n    `--test a`\n"), None);
    // One that is named too little, and one that the end does not name.
    let unnamed = of_test.replace("1 failed", "2 failed");
    check(&format!("{unnamed}error: 1 target failed:\n    `--test a`\n"), None);
    check(&format!("{of_test}error: 2 targets failed:\n    `--test a`\n    `--test e`\n"), None);
    check(&of_test, None);
    let doctest = "   Doc-tests flameprofile\n\nrunning 1 test\ntest src/lib.rs - f (line 1) ... FAILED\n\nfailures:\n    \
                   src/lib.rs - f (line 1)\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n\n\
                   error: doctest failed, to rerun pass `--doc`\n";
    check(&format!("{of_test}{doctest}error: 2 targets failed:\n    `--test a`\n    `--doc`\n"), None);
    check("error: could not compile `flameprofile` (lib) due to 1 previous error\n", None);
    check("", None);
}
