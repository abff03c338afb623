//! Several runs a side to one verdict: what changed, what is chance, and what causes it.
//!
//! ```text
//! Profile of each run -> names normalised -> CallTree -> RunTree (all runs, one tree)
//!                                                            |
//!                     per function and run: own, inclusive   v
//!                     logarithms on three scales -> moderated t -> largest of all under relabellings -> Comparison
//! ```
//!
//! Counts of samples vary by counting (about Poisson) and from run to run (layout, frequency, neighbours). The second is not to be had
//! from one run, so a gate needs several: variances of all functions are moderated towards a common one (Smyth 2004, "limma"), and the
//! largest t over all functions is held against the largest under relabellings of the runs (Westfall and Young 1993), which keeps the
//! error of the whole comparison, however functions depend on each other.
//!
//! Everything here is a pure function of its arguments: the same runs in any order give the same bytes.

mod causes;
mod check;
mod compare;
mod comparison;
mod config;
mod draw;
mod glob;
mod inlined;
mod look;
mod math;
mod moderate;
mod moves;
mod names;
mod noise;
mod relabel;
mod rename;
mod repeated;
mod rise;
mod runs;
mod settings;
mod table;
mod verdict;
mod which;

pub use comparison::{
    Check, Comparison, Estimate, Fate, FunctionFacts, Level, Method, Moved, Outcome, Part, Renamed, Row, RunFacts,
    Side, Verdict,
};
pub use config::{Config, FailOn};
pub use draw::Random;
pub use glob::Glob;
pub use names::{Matching, Step};
pub use noise::{Noise, OwnCosts, noise_of};
pub use runs::{RunInput, Runs};
pub use settings::{Allowed, Day, FileGlob, Rule, Scale, Settings, Which};

#[cfg(test)]
mod tests;
