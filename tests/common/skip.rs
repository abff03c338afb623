//! A test that this machine or user cannot run says so aloud; `.ci/run` fails on a skip that nobody has explained.

use std::fs::OpenOptions;
use std::io::Write;
use std::{env, eprintln, thread};

/// Says that a test is skipped, on stderr and in the file that `PROFILE_SKIPS` names.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(path) = env::var_os("PROFILE_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        // One write, so that lines of tests that run at the same time do not mix.
        let line = format!("{test}: {reason}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file named by PROFILE_SKIPS is writable");
    }
}

/// Says that the running test, or a case of it, is skipped; the harness runs each test in a thread that has its name.
pub fn here(reason: &str) {
    let thread = thread::current();
    let test = thread.name().and_then(|path| path.rsplit("::").next()).unwrap_or("a test");
    skip(test, reason);
}

/// Leaves the test with a reason, unless the condition holds.
#[macro_export]
macro_rules! need {
    ($condition:expr, $test:expr, $reason:expr) => {
        if !$condition {
            return $crate::common::skip::skip($test, $reason);
        }
    };
}
