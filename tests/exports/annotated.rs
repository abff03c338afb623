//! Folded stacks with hints at the kind of their functions.

use flameprofile::analyze::{CallTree, View};
use flameprofile::import::{ImportOptions, Input, Kind, import};
use flameprofile::model::{FrameKind, Profile, StackEnd, off_cpu};
use flameprofile::render::folded::{self, FoldedOptions};

use crate::sketch::{self, Sketch};

fn folded(profile: &Profile, annotate: bool) -> String {
    let mut out = Vec::new();
    folded::write(profile, &View::default(), &FoldedOptions { annotate }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn read(text: &str) -> Profile {
    let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_owned()));
    let options = ImportOptions { from: Some(Kind::Folded), ..ImportOptions::default() };
    import(vec![Input::Stream { name: "x".into(), reader }], &options, &mut |_| {}).unwrap()
}

/// Name and kind of each node of the tree, in order, but the process: text does not say that a first name is one.
fn kinds(profile: &Profile) -> Vec<(String, FrameKind)> {
    let tree = CallTree::build(profile, &View::default());
    tree.nodes.iter().map(|node| (tree.names.get(node.name).to_owned(), node.kind)).collect()
}

/// A wait, with who woke it: user code and the kernel's.
fn woken() -> Profile {
    let mut s = Sketch::new();
    let (main, read, write) = (s.frame("main"), s.frame("read"), s.frame("write"));
    let (schedule, wake) = (s.kernel("schedule"), s.kernel("try_to_wake_up"));
    let copied = s.frame_in(s.image, &[("memcpy", "", 0), ("fill", "", 0)]);
    let woken_by = s.builder.name_frame(off_cpu::WOKEN_BY, FrameKind::OffCpu);
    let interrupt = s.builder.name_frame(off_cpu::INTERRUPT, FrameKind::OffCpu);
    let runnable = s.builder.name_frame(off_cpu::RUNNABLE, FrameKind::OffCpu);
    s.sample(&[main, read, schedule], 3);
    s.sample(&[main, read, runnable], 4);
    s.sample(&[main, read, schedule, woken_by, wake, write, main], 5);
    s.sample(&[main, read, schedule, woken_by, wake, copied], 2);
    s.sample(&[main, write], 6);
    s.sample_as(s.thread, &[main, read, schedule, woken_by, interrupt, wake], StackEnd::Root, 1);
    s.finish()
}

#[test]
fn wakers_have_a_hint_and_others_theirs() {
    let expected = "server;main;read;[runnable] 4\n\
                    server;main;read;schedule_[k] 3\n\
                    server;main;read;schedule_[k];[woken by];[interrupt];try_to_wake_up_[k] 1\n\
                    server;main;read;schedule_[k];[woken by];try_to_wake_up_[k];fill_[w];memcpy_[i] 2\n\
                    server;main;read;schedule_[k];[woken by];try_to_wake_up_[k];write_[w];main_[w] 5\n\
                    server;main;write 6\n";
    assert_eq!(folded(&woken(), true), expected);
    let plain = ["_[k]", "_[w]", "_[i]"].iter().fold(expected.to_owned(), |text, hint| text.replace(hint, ""));
    assert_eq!(folded(&woken(), false), plain);
}

#[test]
fn an_import_has_the_kinds_again() {
    let profiles = [("woken", woken()), ("every kind", sketch::every_kind()), ("large", sketch::large(2_000, 4_000))];
    for (what, profile) in profiles {
        let text = folded(&profile, true);
        let again = read(&text);
        assert_eq!(folded(&again, true), text, "{what}");
        assert_eq!(kinds(&again), kinds(&profile), "{what}");
    }
}

#[test]
fn inferno_draws_all_of_it() {
    for profile in [woken(), sketch::every_kind(), sketch::hostile()] {
        for annotate in [true, false] {
            let text = folded(&profile, annotate);
            let mut options = inferno::flamegraph::Options::default();
            let mut picture = Vec::new();
            inferno::flamegraph::from_lines(&mut options, text.lines(), &mut picture).unwrap();
            let picture = String::from_utf8(picture).unwrap();
            let sum: u64 = text.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
            let all = format!("<title>all ({sum} samples, 100%)</title>");
            assert!(picture.replace(',', "").contains(&all.replace(',', "")), "{all}");
            assert!(!picture.contains("_[k] ("), "it takes the hint for one");
        }
    }
}
