//! The table of functions, and the trees of callers and callees.

#[path = "common/sketch.rs"]
mod sketch;

use flameprofile::analyze::{CallTree, Direction, Relatives, Top, View, Waiting};
use flameprofile::model::{FrameKind, Profile, StackEnd};
use flameprofile::render::bar::Bars;
use flameprofile::render::name::columns;
use flameprofile::render::relatives;
use flameprofile::render::top::{self, TopOptions};

use sketch::{PERIOD, Sketch};

fn tree_of(profile: &Profile) -> CallTree {
    CallTree::build(profile, &View::default())
}

fn table(profile: &Profile, options: &TopOptions) -> String {
    let mut out = Vec::new();
    top::write(&tree_of(profile), profile, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn related(profile: &Profile, name: &str, direction: Direction, options: &TopOptions) -> String {
    let tree = tree_of(profile);
    let mut out = Vec::new();
    relatives::write(&tree, top::find(&tree, name).unwrap(), direction, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The self and total value of a function, in samples of the sketches' event.
fn row(top: &Top, tree: &CallTree, name: &str) -> (FrameKind, u64, u64) {
    let mut rows = top.functions.iter().filter(|function| tree.names.get(function.name) == name);
    let row = rows.next().unwrap_or_else(|| panic!("{name} is there"));
    assert!(rows.next().is_none(), "{name} is there once");
    (row.kind, row.self_value / PERIOD, row.total_value / PERIOD)
}

#[test]
fn a_wait_is_in_the_function_that_waited() {
    let profile = sketch::wall();
    let tree = tree_of(&profile);
    let top = Top::build(&tree);
    assert_eq!(row(&top, &tree, "work"), (FrameKind::User, 14, 14));
    // Not of the kernel's scheduler, which every wait ends in.
    assert_eq!(row(&top, &tree, "read"), (FrameKind::User, 61, 61));
    assert_eq!(row(&top, &tree, "schedule"), (FrameKind::Kernel, 0, 61));
    assert_eq!(row(&top, &tree, "main"), (FrameKind::User, 0, 75));
    // Of what has no stack but the mark, the process is what is known.
    assert_eq!(row(&top, &tree, "server"), (FrameKind::Task, 1, 76));
    assert!(top.functions.iter().all(|function| function.kind != FrameKind::OffCpu));
    assert!(!top.functions.iter().any(|function| tree.names.get(function.name) == "try_to_wake_up"));
    let own: u64 = top.functions.iter().map(|function| function.self_value).sum();
    assert_eq!(own, tree.root().total_value);
    let parts: Vec<(Waiting, u64)> = top.waits.iter().map(|(what, value)| (*what, value / PERIOD)).collect();
    use Waiting::{Blocked, BlockedBefore, OnCpu, Runnable, StillBlocked};
    assert_eq!(parts, [(OnCpu, 10), (Blocked, 37), (Runnable, 4), (BlockedBefore, 5), (StillBlocked, 20)]);
    let text = table(&profile, &TopOptions::default());
    assert!(text.contains("threads were: 13.16 % on the CPU (101 ms), 48.68 % blocked (374 ms), "), "{text}");
    assert!(!text.contains("[off-CPU]"), "{text}");
    assert_eq!(Top::build(&tree_of(&sketch::every_kind())).waits, []);
}

#[test]
fn a_function_is_one_row_whether_it_is_called_or_inlined() {
    let mut s = Sketch::new();
    let main = s.frame("main");
    let called = s.frame("push");
    let inlined = s.frame_in(s.image, &[("push", "", 0), ("extend", "", 0)]);
    let of_kernel = s.kernel("push");
    let in_kernel = s.frame_in(flameprofile::model::ProfileBuilder::KERNEL, &[("push", "", 0), ("sys", "", 0)]);
    s.sample(&[main, called], 2);
    s.sample(&[main, inlined], 3);
    s.sample(&[main, called, inlined], 4);
    s.sample(&[main, of_kernel], 5);
    s.sample(&[main, in_kernel], 6);
    let profile = s.finish();
    let tree = tree_of(&profile);
    let rows: Vec<_> = Top::build(&tree).functions.into_iter().filter(|f| tree.names.get(f.name) == "push").collect();
    let rows: Vec<_> = rows.iter().map(|f| (f.kind, f.self_samples, f.total_samples)).collect();
    assert_eq!(rows, [(FrameKind::Kernel, 11, 11), (FrameKind::User, 9, 9)]);
}

/// Figures of so many digits that they are as wide as their columns.
fn large_figures() -> Profile {
    let mut s = Sketch::new();
    let (main, work, rest) = (s.frame("main"), s.frame("work"), s.frame("rest"));
    for (frame, value) in [(work, 99_999_999_000_000_000), (work, 5), (rest, 123_456_000_000_000)] {
        let stack = s.stack(&[main, frame]);
        s.row(s.thread, stack, StackEnd::Root, value, u32::MAX);
    }
    s.finish()
}

#[test]
fn columns_are_as_wide_as_their_figures() {
    let profile = large_figures();
    let options = TopOptions { bars: Bars::None, limit: Some(1), ..TopOptions::default() };
    let table = table(&profile, &options);
    let rows: Vec<&str> = table.lines().skip_while(|line| !line.contains("SELF")).collect();
    assert_eq!(
        rows,
        [
            "     SELF     TOTAL          TIME        SAMPLES  FUNCTION  MODULE",
            "  99.88 %   99.88 %  99,999,999 s  8,589,934,590  work      server",
            "   0.12 %               123,456 s  4,294,967,295  2 more",
        ]
    );
    let text = related(&profile, "main", Direction::Callees, &options);
    assert!(text.contains("\n    100 %     100 %  100,123,455 s  main\n"), "{text}");
}

/// `work` from two places, once through itself.
fn related_functions() -> Profile {
    let mut s = Sketch::new();
    let names = ["main", "serve", "batch", "work", "log", "rare"];
    let [main, serve, batch, work, log, rare] = names.map(|name| s.frame(name));
    s.sample(&[main, serve, work], 300);
    s.sample(&[main, batch, work, log], 500);
    s.sample(&[main, batch, work, log, work], 199);
    s.sample(&[main, rare, work], 1);
    s.sample(&[main, batch], 1_000);
    s.finish()
}

#[test]
fn callers_and_callees_have_shares_of_the_function() {
    let profile = related_functions();
    let options = TopOptions { bars: Bars::None, ..TopOptions::default() };
    let trimmed = |text: String| text.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
    assert_eq!(
        trimmed(related(&profile, "work", Direction::Callers, &options)),
        "callers of work: 50.00 % of all, 10.1 s\n\
         OF IT    OF ALL      TIME  FUNCTION\n\
         100 %   50.00 %    10.1 s  work\n\
         69.90 %   34.95 %    7.06 s    batch\n\
         69.90 %   34.95 %    7.06 s    main\n\
         69.90 %   34.95 %    7.06 s    server\n\
         30.00 %   15.00 %    3.03 s    serve\n\
         30.00 %   15.00 %    3.03 s    main\n\
         30.00 %   15.00 %    3.03 s    server\n\
         0.10 %    0.05 %   10.1 ms    (1 more)\n"
    );
    assert_eq!(
        trimmed(related(&profile, "wor", Direction::Callees, &options)),
        "callees of work: 50.00 % of all, 10.1 s\n\
         OF IT    OF ALL      TIME  FUNCTION\n\
         100 %   50.00 %    10.1 s  work\n\
         69.90 %   34.95 %    7.06 s    log\n\
         50.00 %   25.00 %    5.05 s      (itself)\n\
         19.90 %    9.95 %    2.01 s      work\n\
         30.10 %   15.05 %    3.04 s    (itself)\n"
    );
    let tree = tree_of(&profile);
    let work = top::find(&tree, "work").unwrap();
    for direction in [Direction::Callers, Direction::Callees] {
        let relatives = Relatives::build(&tree, work, direction);
        assert_eq!(relatives.nodes[0].value, 1_000 * PERIOD, "recursion counts once");
        assert_eq!(relatives.nodes.iter().map(|node| node.own_value).sum::<u64>(), 1_000 * PERIOD);
    }
}

#[test]
fn a_name_that_is_not_clear_is_refused_with_those_it_may_mean() {
    let tree = tree_of(&related_functions());
    assert_eq!(tree.names.get(top::find(&tree, "log").unwrap()), "log");
    assert_eq!(tree.names.get(top::find(&tree, "tch").unwrap()), "batch");
    let error = top::find(&tree, "r").unwrap_err();
    assert_eq!(error.to_string(), "3 functions have r in their names, and none has it for its name");
    assert_eq!(error.hint(), Some("say which: work, serve, rare"));
    let error = top::find(&tree, "absent").unwrap_err();
    assert_eq!(error.to_string(), "no function has absent in its name");
    assert!(error.hint().unwrap().contains(" main, "));
    assert!(top::find(&tree_of(&Profile::default()), "x").is_err());
    // Those of a process are no functions.
    assert!(top::find(&tree, "server").is_err());
}

#[test]
fn no_line_is_longer_than_the_terminal_and_nothing_in_it_acts() {
    let long = {
        let mut s = Sketch::new();
        let frame = s.frame(&"x::<y>".repeat(200_000));
        s.sample(&[frame], 3);
        s.finish()
    };
    for profile in [
        sketch::every_kind(),
        sketch::hostile(),
        sketch::deep(2_000),
        sketch::wall(),
        large_figures(),
        long,
        Profile::default(),
    ] {
        let tree = tree_of(&profile);
        let names: Vec<String> = Top::build(&tree)
            .functions
            .iter()
            .filter(|function| function.kind != FrameKind::Task)
            .map(|function| tree.names.get(function.name).to_owned())
            .collect();
        for width in [1, 9, 10, 37, 59, 60, 72, 80, 111, 200] {
            for bars in [Bars::Blocks, Bars::Ascii, Bars::None] {
                let options = TopOptions { width: Some(width), bars, limit: Some(30), color: false };
                let mut texts = vec![table(&profile, &options)];
                for name in names.iter().take(3) {
                    texts.extend(
                        [Direction::Callers, Direction::Callees].map(|to| related(&profile, name, to, &options)),
                    );
                }
                for text in texts {
                    let widest = text.lines().map(columns).max().unwrap_or(0);
                    assert!(widest <= width, "{widest} of {width}: {text:.2000}");
                    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
                    assert!(text.lines().count() < 150, "{}", text.lines().count());
                }
            }
        }
    }
}

#[test]
fn signs_and_colours_are_those_that_are_asked_for() {
    let profile = sketch::every_kind();
    let ascii = TopOptions { width: Some(70), bars: Bars::Ascii, ..TopOptions::default() };
    assert!(table(&profile, &ascii).is_ascii() && table(&profile, &ascii).contains("##"));
    assert!(related(&profile, "tcp_recvmsg", Direction::Callers, &ascii).is_ascii());
    let plain = TopOptions::default();
    assert!(table(&profile, &plain).contains("██") && !table(&profile, &plain).contains('\x1b'));
    let colored = TopOptions { color: true, ..plain };
    let text = table(&profile, &colored) + &related(&profile, "tcp_recvmsg", Direction::Callees, &colored);
    assert!(text.contains("\x1b[34mtcp_recvmsg"), "the kernel is blue");
    // Each that begins ends in its line.
    for line in text.lines() {
        assert_eq!(line.matches("\x1b[0m").count() * 2, line.matches('\x1b').count(), "{line:?}");
    }
}

#[test]
fn what_a_cut_stack_stands_on_is_among_the_callers() {
    let mut s = Sketch::new();
    let work = s.frame("work");
    s.sample_as(s.thread, &[work], StackEnd::Truncated(flameprofile::model::Truncation::TooDeep), 3);
    let text = related(&s.finish(), "work", Direction::Callers, &TopOptions::default());
    assert!(text.contains("[truncated: too deep]") && text.contains("server"), "{text}");
}
