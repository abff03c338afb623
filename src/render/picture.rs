//! What SVG and HTML have in common: what a picture is of, how it is drawn, and the data in it.

use serde_json::{Value, json};

use super::difference::Difference;
use super::name::{printable, shorten};
use super::summary::{facts, warnings};
use super::{beside, comparison_data, data, verdict};
use crate::analyze::{CallTree, Direction, Leaves, NodeId, View};
use crate::error::Result;
use crate::model::{CaptureStats, Profile};

/// How a picture is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureOptions {
    /// The title; what was recorded, if it is empty.
    pub title: String,
    /// Width in pixels, as long as no script changes it to that of the window; at least 320.
    pub width: u32,
    /// Frames narrower than this many pixels are merged.
    pub min_width: f64,
    /// At most so many rows; deeper frames are merged.
    pub max_rows: u32,
    /// At most so many frames are drawn: `min_width` is doubled until they suffice.
    pub max_frames: usize,
    /// What is drawn of the profile, and what a viewer shows first.
    pub shape: Shape,
    /// The function of [`Shape::Sandwich`].
    pub function: Option<String>,
    /// What colours say.
    pub palette: Palette,
    /// How wide frames of a difference are.
    pub diff_width: DiffWidth,
}

impl Default for PictureOptions {
    fn default() -> Self {
        PictureOptions {
            title: String::new(),
            width: 1200,
            min_width: 0.1,
            max_rows: 1_000,
            max_frames: 50_000,
            shape: Shape::Flame,
            function: None,
            palette: Palette::Type,
            diff_width: DiffWidth::Both,
        }
    }
}

/// A view of a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Callees above callers.
    #[default]
    Flame,
    /// Callees below callers.
    Icicle,
    /// From the innermost functions to who called them, callers below.
    Reverse,
    /// In order of time, a lane a thread.
    Chart,
    /// The callers and the callees of one function.
    Sandwich,
}

/// What the colour of a frame says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// What sort of code it is.
    #[default]
    Type,
    /// What program or library it is in.
    Binary,
    /// Its name, so that equal names have equal colours.
    Hash,
    /// How much of its value is its own; not of a [`Shape::Chart`].
    Own,
}

/// What the width of a frame of a difference is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiffWidth {
    /// The larger of both values.
    #[default]
    Both,
    /// The new value: what has vanished has no width.
    New,
    /// The base's value: what is new has no width.
    Base,
    /// By how much it changed, whichever way: what a function and its callees gained and lost adds up.
    Delta,
}

/// What a picture is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Profile {
        profile: &'a Profile,
        view: &'a View,
    },
    Diff(&'a Difference<'a>),
    /// Both sides in order of time, as one profile.
    Beside {
        difference: &'a Difference<'a>,
        both: &'a Profile,
        view: &'a View,
    },
}

impl<'a> Subject<'a> {
    /// Whose facts are told: the new one's of two.
    pub fn profile(&self) -> &'a Profile {
        match *self {
            Subject::Profile { profile, .. } => profile,
            Subject::Diff(Difference { new, .. }) => new,
            Subject::Beside { both, .. } => both,
        }
    }

    /// The two sides, if there are two.
    pub fn difference(&self) -> Option<&'a Difference<'a>> {
        match *self {
            Subject::Profile { .. } => None,
            Subject::Diff(difference) | Subject::Beside { difference, .. } => Some(difference),
        }
    }

    pub fn title(&self, options: &PictureOptions) -> String {
        let target = |stats: &CaptureStats| stats.target.replace(['\n', '\t'], " ");
        let what = match options.shape {
            _ if matches!(self, Subject::Diff(_)) => "Difference",
            _ if matches!(self, Subject::Beside { .. }) => "Flame charts",
            Shape::Flame | Shape::Icicle => "Flame graph",
            Shape::Reverse => "Bottom-up flame graph",
            Shape::Chart => "Flame chart",
            Shape::Sandwich => "Callers and callees",
        };
        let what = match (&options.function, options.shape) {
            (Some(name), Shape::Sandwich) => format!("{what} of {}", shorten(name, 80)),
            _ => what.to_owned(),
        };
        let title = match (options.title.as_str(), self) {
            ("", Subject::Profile { profile, .. }) if profile.stats.target.is_empty() => what.clone(),
            ("", Subject::Profile { profile, .. }) => match options.shape {
                Shape::Sandwich => format!("{what}, {}", target(&profile.stats)),
                _ => format!("{what} of {}", target(&profile.stats)),
            },
            (
                "",
                Subject::Diff(Difference { base, new, .. })
                | Subject::Beside { difference: Difference { base, new, .. }, .. },
            ) => {
                let [base, new] = [base, new].map(|profile| match target(&profile.stats) {
                    text if text.is_empty() => "?".to_owned(),
                    text => text,
                });
                format!("{what}: {base} → {new}")
            }
            (title, _) => title.to_owned(),
        };
        shorten(&printable(&title), 1_000).into_owned()
    }

    /// What is to be known, and what is to be warned of.
    pub fn said(&self) -> (Vec<(String, String)>, Vec<String>) {
        let of = |stats: &CaptureStats, side: &str| {
            let facts = facts(stats).into_iter().map(|fact| (format!("{side}{}", fact.about), fact.text));
            let warnings = warnings(stats).into_iter().map(|warning| format!("{side}{warning}"));
            (facts.collect::<Vec<_>>(), warnings.collect::<Vec<_>>())
        };
        let Some(Difference { base, new, comparison, .. }) = self.difference() else {
            return of(&self.profile().stats, "");
        };
        let (mut facts, mut warnings) = of(&new.stats, "new ");
        let (of_base, warnings_of_base) = of(&base.stats, "base ");
        facts.extend(of_base);
        warnings.extend(warnings_of_base);
        if let Some(comparison) = comparison {
            warnings.splice(0..0, verdict::warnings(comparison));
        }
        if matches!(self, Subject::Beside { .. }) {
            facts.extend(beside::note(*comparison).map(|note| ("note".to_owned(), note)));
        }
        (facts, warnings)
    }

    /// The data that the picture carries; `drawn` is a tree that is at hand and may be the one that is wanted.
    pub fn data(&self, options: &PictureOptions, drawn: Option<&CallTree>, empty: &str) -> Result<String> {
        let (facts, warnings) = self.said();
        let facts: Vec<_> = facts.iter().map(|(about, text)| json!([about, printable(text)])).collect();
        let warnings: Vec<_> = warnings.iter().map(|text| json!(printable(text))).collect();
        let mut header = json!({
            "title": self.title(options),
            "facts": facts,
            "warnings": warnings,
            "empty": empty,
            "view": match options.shape {
                Shape::Flame => "flame",
                Shape::Icicle => "icicle",
                Shape::Reverse => "reverse",
                Shape::Chart => "chart",
                Shape::Sandwich => "sandwich",
            },
            "focus": options.function,
            "palette": match options.palette {
                Palette::Type => "type",
                Palette::Binary => "binary",
                Palette::Hash => "hash",
                Palette::Own => "self",
            },
        });
        if let Some(difference) = self.difference() {
            match difference.comparison {
                Some(comparison) => header["comparison"] = comparison_data::pack(difference, comparison),
                None if matches!(self, Subject::Beside { .. }) => {
                    header["changes"] = comparison_data::pack_changes(difference);
                }
                None => {}
            }
        }
        match *self {
            Subject::Beside { both, view, .. } => {
                header["beside"] = json!(beside::MARKS);
                pack_samples(both, view, None, self, header)
            }
            Subject::Profile { profile, view } => {
                let plain = View { event: view.event, ..View::default() };
                let is_plain = *view == plain && matches!(options.shape, Shape::Flame | Shape::Icicle);
                pack_samples(profile, view, drawn.filter(|_| is_plain), self, header)
            }
            Subject::Diff(difference) => {
                let Difference { new, diff, .. } = *difference;
                header["kind"] = json!("diff");
                header["scale"] = json!(difference.scale());
                header["width"] = json!(match options.diff_width {
                    DiffWidth::Both => "both",
                    DiffWidth::New => "new",
                    DiffWidth::Base => "base",
                    DiffWidth::Delta => "delta",
                });
                let base = |id: NodeId| (diff.base[id as usize].self_value, diff.base[id as usize].self_samples);
                let image = |id: NodeId| self.image(&diff.tree, id);
                data::pack(&diff.tree, new, None, Some(&base), &image, header)
            }
        }
    }

    /// The path of what the code of a node is in.
    pub fn image(&self, tree: &CallTree, id: NodeId) -> Option<&'a str> {
        let profile = match *self {
            Subject::Diff(Difference { base, diff, .. }) if diff.is_vanished(id) => base,
            _ => self.profile(),
        };
        let image = profile.images.get(tree.place(id).image?.index())?;
        Some(profile.strings.get(image.path))
    }

    /// The tree that [`PictureOptions::shape`] draws, if it is one tree.
    pub fn tree(&self, options: &PictureOptions) -> Option<CallTree> {
        match (self, options.shape) {
            (Subject::Profile { profile, view }, Shape::Flame | Shape::Icicle) => Some(CallTree::build(profile, view)),
            (Subject::Profile { profile, view }, Shape::Reverse) => {
                Some(CallTree::build(profile, &View { direction: Direction::Callers, ..(*view).clone() }))
            }
            _ => None,
        }
    }
}

/// The data of a profile with its samples; `drawn` is the tree that is wanted, if it is at hand.
fn pack_samples(
    profile: &Profile,
    view: &View,
    drawn: Option<&CallTree>,
    subject: &Subject<'_>,
    mut header: Value,
) -> Result<String> {
    let made;
    let tree = match drawn {
        Some(tree) => tree,
        None => {
            made = CallTree::build(profile, &View { event: view.event, ..View::default() });
            &made
        }
    };
    header["split"] = json!(match view {
        View { per_thread: true, .. } => "threads",
        View { per_process: true, .. } => "processes",
        _ => "none",
    });
    let leaves = Leaves::of(profile, tree, view.event);
    let image = |id: NodeId| subject.image(tree, id);
    data::pack(tree, profile, leaves.as_ref(), None, &image, header)
}
