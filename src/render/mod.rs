//! What is to be shown, as text and pictures: folded stacks, the top table, the summary, the SVG.
//!
//! Names of functions, files, processes and commands come from outside and are data in every output: they pass through
//! [`name::printable`] and the escaping of the format they go into, and nothing in them can become a line, markup, script
//! or a terminal's escape sequence. The same input gives the same bytes.

pub mod bar;
mod beside;
mod comparison_data;
mod data;
pub mod diff;
mod difference;
mod evidence;
pub mod folded;
pub mod html;
pub mod label;
pub mod layout;
pub mod name;
pub mod number;
mod picture;
pub mod relatives;
pub mod report;
mod summary;
pub mod svg;
pub mod top;
mod verdict;
mod viewer;

pub use crate::formats::stats_json;
pub use difference::Difference;
pub use picture::{DiffWidth, Palette, PictureOptions, Shape};
pub use summary::{Fact, facts, summary, warnings};
