//! Stacks that are right: what CI asserts of `benches/stacks.rs`, on counts of samples, never on time.

mod common;
#[path = "stacks/mod.rs"]
mod stacks;

use stacks::rows::ROWS;
use stacks::truth::{Build, Sabotage};
use stacks::{peers, reach, truth};

#[test]
fn each_sample_is_the_path_that_the_register_says() {
    if cfg!(not(target_arch = "x86_64")) {
        return common::skip::skip("each_sample_is_the_path_that_the_register_says", "r15 is x86-64's");
    }
    let recorded = peers::by_perf_data(&truth::words(Build::Plain, "2.2"));
    let tally = truth::judge(&recorded, Sabotage::None);
    println!("{}", tally.line());
    assert!(tally.by_path.len() >= 30, "only {} paths have samples", tally.by_path.len());
    assert!(tally.holds(), "{}\n{}", tally.line(), tally.worst(12));

    // The canary: a judge that does not see these sees nothing.
    for sabotage in [Sabotage::DropFrameOne, Sabotage::CutRoot] {
        let spoilt = truth::judge(&recorded, sabotage);
        println!("{sabotage:?}: {}", spoilt.line());
        assert!(!spoilt.holds(), "{sabotage:?} is not noticed: {}", spoilt.line());
        assert!(spoilt.wrong_of_1000() >= 10.0, "{sabotage:?}: {}", spoilt.line());
    }
}

/// Records the program of a row, live and with more flags, and asserts its promise.
fn check(test: &str, name: &str, more: &[&str]) {
    let row = ROWS.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"));
    assert!(row.asserted, "{name} is not said to be asserted");
    // What takes the place of other code is noticed a moment later where stacks are walked in the kernel: those of that moment are cut.
    let row = &match name == "libraries at one address" && more != BY_COPIES {
        true => row.only_marked(),
        false => *row,
    };
    let words = match (row.program)("0.7") {
        Ok(words) => words,
        Err(why) => return common::skip::skip(test, &why),
    };
    // What is read late, or works by the clock, is less on a busy machine: that is measured once more. What is wrong is not.
    let flags = [row.flags, more].concat();
    let mut ends = reach::ends(&peers::live(&flags, &words), row);
    if !ends.holds(row, 0.0, LEAST) && ends.unmarked == 0 && ends.bogus == 0 && ends.wrong == 0 {
        println!("once more: {}", figures(name, &ends));
        ends = reach::ends(&peers::live(&flags, &words), row);
    }
    println!("{}", figures(name, &ends));
    assert!(ends.holds(row, 0.0, LEAST), "{}\n{}", figures(name, &ends), ends.worst(6));
}

/// So many samples tell something.
const LEAST: usize = 60;

fn figures(name: &str, ends: &reach::Ends) -> String {
    format!(
        "{name}: {} samples, {:.2} % reach the entry, {} of {} leaves have their caller, {} are whole, {} are cut, {} are cut and \
         said to be whole, {} have bogus frames, {} are wrong",
        ends.samples,
        ends.reached_percent(),
        ends.leaves.1,
        ends.leaves.0,
        ends.complete,
        ends.marked,
        ends.unmarked,
        ends.bogus,
        ends.wrong,
    )
}

macro_rules! rows {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                check(stringify!($test), $name, &[]);
            }
        )*

        #[test]
        fn each_asserted_row_has_its_test() {
            let tested = [$($name),*];
            let missing: Vec<&str> =
                ROWS.iter().filter(|row| row.asserted && !tested.contains(&row.name)).map(|row| row.name).collect();
            assert!(missing.is_empty(), "rows without a test: {missing:?}");
        }
    };
}

rows! {
    c_without_frame_pointers: "C -O2";
    c_with_frame_pointers: "C with frame pointers";
    c_with_frame_pointers_by_chain: "C with frame pointers, --unwind fp";
    c_in_libc: "C in libc";
    c_static: "C static glibc";
    c_static_in_libc: "C static glibc in libc";
    c_musl_static: "C musl static";
    c_musl_dynamic: "C musl dynamic";
    c_debug_frame: "C .debug_frame only";
    c_no_unwind_tables: "C no unwind tables";
    c_stripped: "C stripped PIE";
    c_32_bit: "C -m32";
    c_32_bit_in_libc: "C -m32 in libc";
    rust_release: "Rust release";
    rust_abort: "Rust panic=abort";
    rust_abort_stripped: "Rust panic=abort, stripped";
    go: "Go";
    go_stripped: "Go -s -w";
    signal_handler: "signal handler";
    signal_handler_on_its_own_stack: "signal handler on its own stack";
    recursion_130: "recursion 130";
    recursion_3000: "recursion 3,000";
    recursion_50000: "recursion 50,000";
    large_frames: "120 frames of 0.5 KiB";
    large_local: "a local of 64 KiB";
    libraries_at_one_address: "libraries at one address";
}

/// Where BPF programs can walk stacks, the rows above are walked by them. Without those, as for a plain user:
const BY_COPIES: &[&str] = &["--bpf", "never"];

macro_rules! rows_by_copies {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                check(stringify!($test), $name, BY_COPIES);
            }
        )*
    };
}

rows_by_copies! {
    c_without_frame_pointers_by_copies: "C -O2";
    c_in_libc_by_copies: "C in libc";
    rust_release_by_copies: "Rust release";
    go_by_copies: "Go";
    signal_handler_by_copies: "signal handler";
    signal_handler_on_its_own_stack_by_copies: "signal handler on its own stack";
    recursion_50000_by_copies: "recursion 50,000";
    large_local_by_copies: "a local of 64 KiB";
    libraries_at_one_address_by_copies: "libraries at one address";
}

/// What of them is not in their copies is read late, which works by the clock: how many are whole says nothing on a busy machine.
#[test]
fn recursion_3000_by_copies_is_whole_or_marked() {
    let row = ROWS.iter().find(|row| row.name == "recursion 3,000").expect("there is such a row");
    let words = (row.program)("0.7").expect("a C compiler");
    let ends = reach::ends(&peers::live(&[row.flags, BY_COPIES].concat(), &words), row);
    println!("{}", figures(row.name, &ends));
    assert!(ends.samples >= LEAST && ends.complete > 0, "{}", figures(row.name, &ends));
    assert!(ends.unmarked == 0 && ends.bogus == 0 && ends.wrong == 0, "{}", ends.worst(6));
}
