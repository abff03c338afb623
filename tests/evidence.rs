//! Pictures of a comparison of runs, as files: what the still picture says, what is in its data, and that they are read back.

use std::process::Command;

use flameprofile::formats::picture::{MARK, Unpacked};
use flameprofile::import::{ImportOptions, Input, import};
use flameprofile::render::{DiffWidth, PictureOptions, Shape};

#[path = "common/compared.rs"]
mod compared;
#[path = "common/sketch.rs"]
mod sketch;

use compared::{EVIL, compared};

/// What is in the text of a picture before its data: what shows where no script runs.
fn still(picture: &str) -> &str {
    let begin = picture.find("<svg").unwrap();
    let data = picture.find(MARK).filter(|at| *at > begin).unwrap_or(picture.len());
    &picture[begin..data]
}

fn header(picture: &str) -> serde_json::Value {
    let data = picture.split(MARK).nth(1).unwrap();
    let data = &data[data.find('>').unwrap() + 1..data.find('<').unwrap()];
    Unpacked::read(data.as_bytes()).unwrap().header
}

/// The `<rect>` of the first frame of a name, with its words, and what follows it.
fn frame<'a>(picture: &'a str, name: &str) -> (&'a str, &'a str) {
    let at = picture.find(&format!("><title>{name}\n")).unwrap_or_else(|| panic!("no frame {name}"));
    let begin = picture[..at].rfind("<rect").unwrap();
    let end = begin + picture[begin..].find("</rect>\n").unwrap() + 8;
    (&picture[begin..end], &picture[end..])
}

#[test]
fn the_still_picture_has_verdict_marks_and_causes() {
    let compared = compared();
    for picture in [compared.svg(&PictureOptions::default()), compared.html(&PictureOptions::default())] {
        let still = still(&picture);
        assert!(still.contains("1 regression · total +"), "{still}");
        assert!(still.contains("5 vs 5 runs · α 1 % · scale work"));
        assert!(still.contains("grey: cannot be told from chance"));
        for mark in [">▲ crc<", ">⇄ scan<", ">▼ hash<", ">△ render<", ">⇄ parse<"] {
            assert!(still.contains(mark), "{mark}");
        }
        // Grey, as its p is 0.8.
        assert!(frame(still, "layout").0.contains("fill=\"#e4e4e8\""));
        let (crc, after) = frame(still, "crc");
        assert!(!crc.contains("#e4e4e8") && crc.contains("stroke=\"#1b1b1f\""), "{crc}");
        assert!(crc.contains("per request (+29.") && crc.contains("adjusted p 0.004"), "{crc}");
        assert!(after.starts_with("<path"), "its edge says that what it calls took more: {}", &after[..90]);
        // Its own part did not change, what it calls did.
        let (handle, after) = frame(still, "handle");
        assert!(handle.contains("fill=\"#e4e4e8\"") && after.starts_with("<path"));
        assert!(handle.contains("explained by crc"), "{handle}");
        assert!(frame(still, "scan").0.contains("moved: scan +182 ms ⇆ parse, within handle"));
        assert!(frame(still, "parse").0.contains("moved: scan +182 ms ⇆ parse, within handle"));
        for said in [
            "What changed",
            "▲ regression: crc: ",
            "△ suspect: it would be a regression at α 5 %: render: ",
            "252 relabellings",
            "kernels differ",
        ] {
            assert!(still.contains(said), "{said}");
        }
        assert!(!picture.contains("<script>window.hit") && !still.contains('\u{202e}') && !still.contains("]]>"));
    }
}

#[test]
fn the_data_carry_what_was_found() {
    let compared = compared();
    let header = header(&compared.svg(&PictureOptions::default()));
    let found = &header["comparison"];
    assert_eq!((&found["version"], &found["scale"]), (&1.into(), &"work".into()));
    assert_eq!(found["rows"].as_array().unwrap().len(), 27);
    // Everything first, then by fate.
    let crc = &found["rows"][1];
    assert_eq!((&crc[0], &crc[1], &crc[2], &crc[8]), (&"crc".into(), &0.into(), &1.into(), &"regression".into()));
    assert_eq!((crc[6].as_array().unwrap().len(), crc[10].as_array().unwrap().len()), (15, 10));
    assert_eq!(crc[6][3], 0.004);
    assert_eq!(found["runs"].as_array().unwrap().len(), 10);
    assert_eq!(found["moved"][0][0], "scan");
    let text = header.to_string();
    assert!(!text.contains('\u{202e}') && text.contains("\\\"]]>\u{fffd}line"), "{text}");
    // Data of functions that are new have no end.
    let rows = found["rows"].as_array().unwrap();
    let arrived = rows.iter().find(|row| row[0] == "arrived").unwrap();
    assert!(arrived[6][0].is_null() && arrived[6][2].is_null());
}

#[test]
fn widths_are_those_that_are_asked_for() {
    let compared = compared();
    let wide = |diff_width, name: &str| {
        let picture = compared.svg(&PictureOptions { diff_width, ..PictureOptions::default() });
        let at = picture.find(&format!("><title>{name}\n")).map(|at| picture[..at].rfind("width=\"").unwrap() + 7);
        at.map_or(0.0, |at| picture[at..].split('"').next().unwrap().parse::<f64>().unwrap())
    };
    assert_eq!(wide(DiffWidth::New, "retired"), 0.0);
    assert_eq!(wide(DiffWidth::Base, "arrived"), 0.0);
    assert!(wide(DiffWidth::Delta, "retired") > 2.0 * wide(DiffWidth::Both, "retired"));
    assert_eq!(wide(DiffWidth::Delta, "layout"), 0.0);
}

#[test]
fn charts_of_both_sides() {
    let compared = compared();
    let options = PictureOptions { shape: Shape::Chart, ..PictureOptions::default() };
    let picture = compared.svg(&options);
    let still = still(&picture);
    for lane in ["base: main-7 (base: server)", "new: main-7 (new: server)", "base: worker-8", "new: worker-8"] {
        assert!(still.contains(lane), "{lane}");
    }
    // Of one name below each other, base first.
    let at = |lane: &str| still.find(lane).unwrap();
    assert!(at("base: main-7") < at("new: main-7") && at("new: main-7") < at("base: worker-8"));
    assert!(still.contains("of the base side the first run is drawn, base/0.data"));
    assert!(still.contains("▲ crc") && still.contains("1 regression · total"));
    assert!(frame(still, "layout").0.contains("#e4e4e8"));
    let header = header(&picture);
    assert_eq!((&header["view"], &header["kind"]), (&"chart".into(), &serde_json::Value::Null));
    // Without runs that were compared, colours are of the counts.
    let plain = flameprofile::render::Difference { comparison: None, ..compared.difference() };
    let mut out = Vec::new();
    flameprofile::render::html::write_diff(&plain, &options, &mut out).unwrap();
    assert!(!self::header(std::str::from_utf8(&out).unwrap())["changes"].as_array().unwrap().is_empty());
    // Folded stacks have no times.
    let mut folded = self::compared();
    folded.new.samples.change(|sample| sample.time = flameprofile::model::Timestamp::UNKNOWN);
    let error = flameprofile::render::svg::write_diff(&folded.difference(), &options, &mut Vec::new()).unwrap_err();
    assert!(
        error.to_string().contains("samples without times cannot be drawn as a flame chart: those of the new side")
    );
}

#[test]
fn pictures_of_comparisons_are_read_back() {
    let compared = compared();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("d.svg", compared.svg(&PictureOptions::default())),
        ("d.html", compared.html(&PictureOptions::default())),
        ("c.svg", compared.svg(&PictureOptions { shape: Shape::Chart, ..PictureOptions::default() })),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, &text).unwrap();
        let profile = import(vec![Input::Path(path.clone())], &ImportOptions::default(), &mut |_| ()).unwrap();
        profile.check().unwrap();
        let events: Vec<_> = profile.events.iter().map(|event| profile.strings.get(event.name)).collect();
        if name == "c.svg" {
            assert_eq!(profile.samples.len(), compared.base.samples.len() + compared.new.samples.len());
            continue;
        }
        assert_eq!(events, ["base", "new"]);
        let out = Command::new(env!("CARGO_BIN_EXE_profile")).args(["diff", "-f", "top"]).arg(&path).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let table = String::from_utf8(out.stdout).unwrap();
        assert!(table.contains("crc") && !table.contains(EVIL), "{table}");
    }
}

#[test]
fn the_same_bytes_each_time() {
    let options = PictureOptions::default();
    assert_eq!(compared().svg(&options), compared().svg(&options));
    assert_eq!(compared().html(&options), compared().html(&options));
}

/// A run of a program whose names have another hash in each build; `more` samples of a hundred are added to one function.
fn run(build: u64, number: u64, more: u64) -> flameprofile::model::Profile {
    let mut s = sketch::Sketch::new();
    let mut dice = sketch::Dice(build * 77 + number * 3 + 1);
    let named = |name: &str| format!("server::{name}::h{build:016x}");
    let [main, parse, crc] = ["main", "parse", "crc"].map(|name| s.frame(&named(name)));
    let lines = [(named("step"), "/src/step.rs", 7), (named("hash"), "/src/hash.rs", 3)];
    let lines: Vec<(&str, &str, u32)> = lines.iter().map(|(name, file, line)| (name.as_str(), *file, *line)).collect();
    let hash = s.frame_in(s.image, &lines);
    s.sample(&[main, parse], 300 + dice.below(12));
    s.sample(&[main, crc], (300 + dice.below(12)) * (100 + more) / 100);
    s.sample(&[main, hash], 300 + dice.below(12));
    s.finish()
}

/// What the gate calls a function and what the tree calls it are one name.
#[test]
fn runs_that_are_compared_are_drawn_with_their_evidence() {
    use flameprofile::analyze::{DiffTree, View};
    use flameprofile::gate::{Matching, Outcome, RunInput, Runs, Settings, Side};
    let mut runs = Runs::new(Matching::default(), true);
    for number in 0..5 {
        for (side, build, more, turn) in [(Side::Base, 1, 0, 0), (Side::New, 2, 40, 1)] {
            let label = format!("{}-{number}.data", side.name());
            let order = Some(2 * number as u32 + if number % 2 == 0 { turn } else { 1 - turn });
            runs.add(
                side,
                RunInput { label, profile: run(build, number, more), work: 1.0, order, series: String::new() },
            );
        }
    }
    let comparison = runs.compare(&Settings::default(), None);
    let [base, new] = runs.merged().unwrap();
    let diff = DiffTree::build(&base, &new, &View::default(), false);
    let difference =
        flameprofile::render::Difference { base: &base, new: &new, diff: &diff, comparison: Some(&comparison) };
    let mut out = Vec::new();
    flameprofile::render::svg::write_diff(&difference, &PictureOptions::default(), &mut out).unwrap();
    let picture = String::from_utf8(out).unwrap();
    let still = still(&picture);
    assert_eq!(comparison.verdict.outcome, Outcome::Regression, "{still}");
    for (name, fate) in [("server::crc", "regression: "), ("server::parse", "not told from chance: ")] {
        let (of, _) = frame(still, name);
        assert!(of.contains(&format!("<title>{name}\n{fate}")) && of.contains("5 vs 5 runs"), "{of}");
    }
    assert!(still.contains(">▲ server::crc<") && !frame(still, "server::parse").0.contains("stroke"));
    // Inlined into another function it is tested as what it is.
    assert!(frame(still, "server::step").0.contains("not told from chance: "), "{}", frame(still, "server::step").0);
}
