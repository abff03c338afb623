//! Whether `profile diff` tells changes from chance: runs of programs whose changes are known, and what is said of them.
//!
//! `cargo bench --bench validate -- [record|evaluate] [--pool DIR] [--short]`. `record` fills a folder with runs (about an hour on
//! two CPUs that are otherwise idle; `--short` a minute or two), and goes on where it was broken off. `evaluate` makes the table of
//! them, and needs no more recordings. Without either word both are done. `PROFILE_BINARY` names another `profile`.
//!
//! `--same N`, `--planted N`, `--layouts N`, `--drifts N` say how many runs there are to be (of a side, or blocks), and `--only TEXT`
//! leaves out cells without this text in their names. A pool that has fewer is filled up, one that has more stays as it is.
//! `--margin SHARE` and `--scale NAME` are those of the gate.
//!
//! The programs are described in `testdata/gate/README.md`.

// Cargo compiles a bench with `cfg(test)`, but nobody calls its tests here: `tests/validate.rs` does.
#![allow(dead_code, unused_imports)]

#[path = "validate/mod.rs"]
mod validate;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, fs};

use flameprofile::gate::{Scale, Settings};
use validate::cells::{Cell, Size, cells};
use validate::found::Evaluate;
use validate::pool::{Pool, Run};
use validate::{gate, load, naive, record, table};

/// The false alarms that a gate allows itself.
const ALPHA: f64 = 0.01;

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [word, cpu] = &arguments[..]
        && word == "burn"
    {
        load::burn(cpu.parse().unwrap_or(0));
    }
    let Some(asked) = asked(&arguments) else {
        eprintln!("error: `{}` is not understood; {USAGE}", arguments.join(" "));
        return ExitCode::from(2);
    };
    match run(&asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

const USAGE: &str = "usage: validate [record|evaluate] [--pool DIR] [--short] [--same N] [--planted N] [--layouts N] [--drifts N] [--only TEXT] [--margin SHARE] [--scale NAME]";

/// What is asked for.
struct Asked {
    size: Size,
    folder: PathBuf,
    only: String,
    margin: Option<f64>,
    scale: Scale,
    records: bool,
    evaluates: bool,
}

/// Reads the arguments; nothing if one of them is not known, or has no value.
fn asked(arguments: &[String]) -> Option<Asked> {
    let is_short = arguments.iter().any(|argument| argument == "--short");
    let usual = if is_short { "target/validate-short" } else { "target/validate" };
    let mut asked = Asked {
        size: if is_short { Size::SHORT } else { Size::LONG },
        folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(usual),
        only: String::new(),
        margin: None,
        scale: Scale::Work,
        records: true,
        evaluates: true,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number = || rest.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            "--short" => {}
            "record" => asked.evaluates = false,
            "evaluate" => asked.records = false,
            "--same" => asked.size.same = number()?,
            "--planted" => asked.size.planted = number()?,
            "--layouts" => asked.size.layouts = number()?,
            "--drifts" => asked.size.drifts = number()?,
            "--margin" => asked.margin = Some(rest.next()?.parse().ok()?),
            "--scale" => {
                let name = rest.next()?;
                asked.scale = Scale::ALL.into_iter().find(|scale| scale.name() == name)?;
            }
            "--only" => asked.only = rest.next()?.clone(),
            "--pool" => asked.folder = PathBuf::from(rest.next()?),
            _ => return None,
        }
    }
    Some(asked)
}

fn run(asked: &Asked) -> std::io::Result<()> {
    let cells: Vec<Cell> = cells(asked.size).into_iter().filter(|cell| cell.name.contains(&asked.only)).collect();
    // Commands name their files by paths that hold wherever they are started.
    fs::create_dir_all(&asked.folder)?;
    let mut pool = Pool::open(&fs::canonicalize(&asked.folder)?)?;
    if asked.records {
        let profile = env::var_os("PROFILE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_profile").into(), PathBuf::from);
        record::record(&mut pool, &cells, &profile)?;
    }
    if asked.evaluates {
        println!("{}\n{}", heading(&pool), table::summary(&pool));
        let settings = Settings { margin: asked.margin, scale: asked.scale, ..Settings::default() };
        let evaluate = |base: &[&Run], new: &[&Run]| gate::evaluate(&settings, base, new);
        print_gate("profile diff --gate, alpha 1 %", &pool, &cells, &evaluate);
        print_gate("a share of 0.5 % or more that grew by 10 %, for comparison", &pool, &cells, &naive::evaluate);
    }
    Ok(())
}

/// Date, machine and command.
fn heading(pool: &Pool) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("", |(_, model)| model.trim());
    let cpus = processor.lines().filter(|line| line.starts_with("processor")).count();
    let start = pool.runs.first().map_or(0.0, |run| run.started);
    format!(
        "Recorded {} UTC, {} runs; {model}, {cpus} CPUs, Linux {}; `make validate`.\n",
        said("date", &["-u", "-d", &format!("@{start:.0}"), "+%Y-%m-%d %H:%M"]),
        pool.runs.len(),
        said("uname", &["-r"]),
    )
}

fn print_gate(name: &str, pool: &Pool, cells: &[Cell], evaluate: &Evaluate) {
    println!("### {name}\n\n| test | goal | measured | 95 % interval | |\n| --- | --- | --- | --- | --- |");
    for row in table::rows(pool, cells, ALPHA, evaluate) {
        println!("{}", row.line());
    }
    for (cell, function) in
        [("server-quiet-same", "crc"), ("server-quiet-same", "parity"), ("codec-quiet-same", "codec::Crc")]
    {
        let Some(cell) = cells.iter().find(|each| each.name == cell) else { continue };
        if let Some(seen) = table::visible(pool, cell, function, 5, evaluate) {
            let ratio = seen.predicted / seen.observed;
            println!(
                "| smallest visible change of `{function}` in {}, k = 5 | within 25 % | predicted {:.1} %, observed {:.1} % | | {} |",
                cell.name,
                100.0 * seen.predicted,
                100.0 * seen.observed,
                if (0.75..=1.25).contains(&ratio) { "ok" } else { "MISS" },
            );
        }
    }
    println!();
}
