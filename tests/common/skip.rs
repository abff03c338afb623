//! A test that this machine or user cannot run says so aloud; `.ci/run` fails on a skip that nobody has explained.

use std::fs::OpenOptions;
use std::io::Write;
use std::{env, eprintln};

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

/// Leaves the test with a reason, unless the condition holds.
#[macro_export]
macro_rules! need {
    ($condition:expr, $test:expr, $reason:expr) => {
        if !$condition {
            return $crate::common::skip::skip($test, $reason);
        }
    };
}
