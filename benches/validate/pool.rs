//! A folder of runs with an index: `index.jsonl`, a line of JSON for each run.
//!
//! ```text
//! POOL/index.jsonl
//! POOL/server-quiet-same/00000-base.folded      names sort in order of time
//! POOL/server-quiet-crc20/00001-new.folded
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What is known of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The cell that it is of.
    pub cell: String,
    /// Its place in the cell, from 0.
    pub sequence: usize,
    /// Which build.
    pub build: String,
    /// Whether it is of the new side.
    pub is_new: bool,
    /// Whether there was a load beside it.
    pub is_loaded: bool,
    /// When it began: seconds since 1970.
    pub started: f64,
    /// How long it took, with the start of `profile` and the naming.
    pub seconds: f64,
    /// CPU time of the program, in seconds.
    pub cpu_seconds: f64,
    /// Samples.
    pub samples: u64,
    /// Samples that the kernel lost.
    pub lost: u64,
    /// Share of the stacks that reach the root.
    pub complete: f64,
    /// Samples a second that were asked for.
    pub rate: u32,
    /// Its folded stacks.
    pub file: PathBuf,
}

/// A folder of runs.
#[derive(Debug)]
pub struct Pool {
    /// Where.
    pub folder: PathBuf,
    /// All runs, in order of time.
    pub runs: Vec<Run>,
}

impl Pool {
    /// Opens a folder, which need not be there. What a run that was broken off has left is not counted.
    pub fn open(folder: &Path) -> io::Result<Pool> {
        fs::create_dir_all(folder)?;
        let index = folder.join("index.jsonl");
        let text = fs::read_to_string(&index).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            File::options().write(true).open(&index)?.set_len(whole as u64)?;
        }
        let runs = text[..whole].lines().enumerate().map(|(number, line)| {
            read(line, folder)
                .ok_or_else(|| io::Error::other(format!("{}:{}: is no run of a pool", index.display(), number + 1)))
        });
        Ok(Pool { folder: folder.to_owned(), runs: runs.collect::<io::Result<_>>()? })
    }

    /// The runs of a cell, in order of time.
    pub fn of(&self, cell: &str) -> Vec<&Run> {
        self.runs.iter().filter(|run| run.cell == cell).collect()
    }

    /// The file of a run.
    pub fn file(&self, cell: &str, sequence: usize, is_new: bool) -> PathBuf {
        self.folder.join(cell).join(format!("{sequence:05}-{}.folded", if is_new { "new" } else { "base" }))
    }

    /// Adds a run, whose file is there.
    pub fn add(&mut self, run: Run) -> io::Result<()> {
        let file = run.file.strip_prefix(&self.folder).unwrap_or(&run.file);
        let line = json!({
            "cell": run.cell, "sequence": run.sequence, "build": run.build, "is_new": run.is_new, "is_loaded": run.is_loaded,
            "started": run.started, "seconds": run.seconds, "cpu_seconds": run.cpu_seconds, "samples": run.samples,
            "lost": run.lost, "complete": run.complete, "rate": run.rate, "file": file,
        });
        let mut index = OpenOptions::new().create(true).append(true).open(self.folder.join("index.jsonl"))?;
        index.write_all(format!("{line}\n").as_bytes())?;
        self.runs.push(run);
        Ok(())
    }
}

fn read(line: &str, folder: &Path) -> Option<Run> {
    let value: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| value[name].as_f64();
    Some(Run {
        cell: value["cell"].as_str()?.to_owned(),
        sequence: value["sequence"].as_u64()? as usize,
        build: value["build"].as_str()?.to_owned(),
        is_new: value["is_new"].as_bool()?,
        is_loaded: value["is_loaded"].as_bool()?,
        started: number("started")?,
        seconds: number("seconds")?,
        cpu_seconds: number("cpu_seconds")?,
        samples: value["samples"].as_u64()?,
        lost: value["lost"].as_u64()?,
        complete: number("complete")?,
        rate: value["rate"].as_u64()? as u32,
        file: folder.join(value["file"].as_str()?),
    })
}

#[cfg(test)]
pub mod tests {
    use std::io::Write;

    use super::{Pool, Run};

    /// A run of a cell.
    pub fn run(cell: &str, sequence: usize, is_new: bool) -> Run {
        Run {
            cell: cell.to_owned(),
            sequence,
            build: "base".to_owned(),
            is_new,
            is_loaded: false,
            started: 1.5 + sequence as f64,
            seconds: 0.5,
            cpu_seconds: 0.4,
            samples: 1600,
            lost: 0,
            complete: 1.0,
            rate: 4000,
            file: format!("{cell}/{sequence}").into(),
        }
    }

    #[test]
    fn a_pool_goes_on_where_it_was_broken_off() {
        let folder = tempfile::tempdir().expect("there is room");
        let mut pool = Pool::open(folder.path()).expect("it can be made");
        let mut one = run("a", 0, false);
        one.file = folder.path().join(one.file);
        pool.add(one.clone()).expect("it can be written");
        let index = folder.path().join("index.jsonl");
        let mut file = std::fs::OpenOptions::new().append(true).open(&index).expect("it is there");
        file.write_all(b"{\"cell\":\"a\",\"seq").expect("it can be written");
        let mut pool = Pool::open(folder.path()).expect("a torn line is left out");
        assert_eq!(pool.runs, [one.clone()]);
        pool.add(Run { sequence: 1, ..one }).expect("it can be written");
        assert_eq!(Pool::open(folder.path()).expect("all lines are whole").of("a").len(), 2);
        std::fs::write(&index, "{}\n").expect("it can be written");
        assert!(Pool::open(folder.path()).is_err());
    }
}
