//! Parses Rust sources, over and over, on several threads: `parse_load FOLDER SECONDS THREADS`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use syn::visit::Visit;

/// Counts what a source has in it.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.0.push(ident.to_string());
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn work(text: &str, words: &regex::Regex) -> usize {
    let mut sum = words.find_iter(text).map(|found| found.len()).sum::<usize>();
    if let Ok(file) = syn::parse_file(text) {
        let mut names = Names::default();
        names.visit_file(&file);
        let json = serde_json::to_string(&names.0).expect("strings");
        let back: serde_json::Value = serde_json::from_str(&json).expect("what was written");
        sum += back.as_array().map_or(0, Vec::len) + format!("{file:?}").len();
    }
    sum
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("FOLDER SECONDS THREADS");
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).expect("a number");
    let (seconds, threads): (u64, u64) = (number(arguments.next()), number(arguments.next()));
    let mut paths = Vec::new();
    sources(Path::new(&folder), &mut paths);
    let texts: Vec<String> = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let sum: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads as usize)
            .map(|first| {
                let texts = &texts;
                scope.spawn(move || {
                    let words = regex::Regex::new(r"(?i)\b(fn|struct|enum)\s+([a-z_][a-z0-9_]*)").expect("a pattern");
                    let mut sum = 0;
                    for text in texts.iter().cycle().skip(first * 7) {
                        if Instant::now() >= end {
                            break;
                        }
                        sum += work(text, &words);
                    }
                    sum
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
    });
    println!("{sum}");
}
