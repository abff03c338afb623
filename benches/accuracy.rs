//! Prints the figures of accuracy: goal and measured, for each that `tests/figures.rs` asserts.
//!
//! `cargo bench --bench accuracy [-- WORD..]`; words choose the figures whose name has one of them.

#[path = "../tests/common/mod.rs"]
mod common;

use std::env;

use common::account::{self, Account};
use common::figure::{self, Figure, Ordinary, Storm};

/// A group of figures: its name, and how it is measured as an account.
type Group = (&'static str, fn(Account) -> Vec<Figure>);

const GROUPS: &[Group] = &[
    ("shares 1", |account| figure::shares(account, 1)),
    ("shares 8", |account| figure::shares(account, 8)),
    ("shares 200", |account| figure::shares(account, 200)),
    ("rate 99", |account| figure::rate(account, 99)),
    ("rate 999", |account| figure::rate(account, 999)),
    ("rate 4999", |account| figure::rate(account, 4999)),
    ("main c", |account| figure::main_reached(account, Ordinary::C)),
    ("main rust", |account| figure::main_reached(account, Ordinary::Rust)),
    ("main libc", |account| figure::main_reached(account, Ordinary::Libc)),
    ("lockstep 99", |account| figure::lockstep(account, 99)),
    ("lockstep 100", |account| figure::lockstep(account, 100)),
    ("lockstep 101", |account| figure::lockstep(account, 101)),
    ("storm threads 99", |account| figure::storm(account, Storm::Threads, 99)),
    ("storm threads 999", |account| figure::storm(account, Storm::Threads, 999)),
    ("storm forks 99", |account| figure::storm(account, Storm::Forks, 99)),
    ("storm forks 999", |account| figure::storm(account, Storm::Forks, 999)),
    ("storm execs 99", |account| figure::storm(account, Storm::Execs, 99)),
    ("storm execs 999", |account| figure::storm(account, Storm::Execs, 999)),
];

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let accounts: &[Account] = if account::is_root() { &[Account::Own, Account::Plain] } else { &[Account::Plain] };
    let (mut kept, mut all) = (0, 0);
    for (name, measure) in GROUPS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        for &account in accounts {
            for figure in measure(account) {
                println!("{}", figure.line());
                kept += usize::from(figure.holds);
                all += 1;
            }
        }
    }
    println!("{kept} of {all} figures hold");
}
