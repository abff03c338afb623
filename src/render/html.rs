//! The picture as one HTML file: the viewer on a canvas, and where no script runs the still picture and the top table.
//!
//! The file asks for nothing from anywhere: its own content security policy allows its one script, by the hash of its text, and
//! its own style, and no request at all (CSP level 3; `meta` delivery, section 3.3).

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::difference::Difference;
use super::evidence::{Evidence, Known};
use super::name::{base_name, printable, shorten};
use super::number::{count_of, grouped, percent, quantity};
use super::picture::{PictureOptions, Shape, Subject};
use super::report::words;
use super::svg::{Still, Text, of_difference};
use super::{verdict, viewer};
use crate::analyze::{CallTree, DiffTop, Top, View};
use crate::error::{Error, Result};
use crate::formats::picture::MARK;
use crate::model::Profile;

/// The still picture is for where no script runs; it must not weigh on where one does.
const STILL_FRAMES: usize = 1_200;
/// Frames of the still picture that are narrower are merged.
const STILL_MIN_WIDTH: f64 = 2.0;
const STILL_ROWS: u32 = 100;
/// Rows of its table.
const STILL_FUNCTIONS: usize = 25;

const STYLE: &str = "html,body{height:100%;margin:0}body{background:#fff;color:#1b1b1f;font:13px/1.4 system-ui,sans-serif}\
    [data-flameprofile=live]{height:100%}[data-flameprofile=live]>:not([data-part=app]){display:none}\
    @media print{[data-flameprofile=live]>main{display:block!important}}[data-part=fallback] table{border-collapse:collapse;margin:8px 10px}\
    [data-part=fallback] td,[data-part=fallback] th{padding:1px 8px;text-align:right}\
    [data-part=fallback] td:last-child,[data-part=fallback] th:last-child{text-align:left;font-family:monospace}\
    [data-part=fallback] p{margin:8px 10px}[data-part=fallback] svg{max-width:100%;height:auto}";

/// Writes what `view` selects of `profile`.
///
/// # Errors
///
/// As [`super::svg::write`].
pub fn write(profile: &Profile, view: &View, options: &PictureOptions, out: &mut impl Write) -> Result<()> {
    write_subject(Subject::Profile { profile, view }, options, out)
}

/// Writes the difference of two profiles.
///
/// # Errors
///
/// As [`super::svg::write_diff`].
pub fn write_diff(difference: &Difference<'_>, options: &PictureOptions, out: &mut impl Write) -> Result<()> {
    of_difference(difference, options, |subject| write_subject(subject, options, out))
}

fn write_subject(subject: Subject<'_>, options: &PictureOptions, out: &mut impl Write) -> Result<()> {
    let tree = subject.tree(options);
    let small = PictureOptions {
        min_width: options.min_width.max(STILL_MIN_WIDTH),
        max_rows: options.max_rows.min(STILL_ROWS),
        max_frames: options.max_frames.min(STILL_FRAMES),
        ..options.clone()
    };
    let still = Still::of(subject, &small, tree.as_ref())?;
    let script = viewer::script();
    let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
    let begin = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{hash}'; style-src 'unsafe-inline'; \
         img-src data:; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body data-flameprofile=\"still\">\n\
         <script type=\"application/x-flameprofile\" {MARK}>",
        Text(&subject.title(options))
    );
    // The data and the script first, so that they begin before the picture without a script has been read.
    let data = subject.data(options, tree.as_ref(), &still.empty)?;
    let mut text = format!("</script>\n<script>{script}</script>\n<main data-part=\"fallback\">\n");
    still.open(&mut text, "picture");
    text.push_str(&still.body);
    text.push_str("</svg>\n");
    match (subject, &tree) {
        (Subject::Diff(difference) | Subject::Beside { difference, .. }, _) => match difference.comparison {
            Some(comparison) => table_of_causes(&mut text, &Evidence::new(comparison)),
            None => table_of_changes(&mut text, difference),
        },
        (Subject::Profile { profile, view }, tree) => match tree.as_ref().filter(|_| options.shape != Shape::Reverse) {
            Some(tree) => table(&mut text, tree, subject),
            None => table(&mut text, &CallTree::build(profile, view), subject),
        },
    }
    text.push_str("</main>\n</body>\n</html>\n");
    drop(tree);
    let parts = [&begin, &data, &text];
    let written = parts.into_iter().try_for_each(|part| out.write_all(part.as_bytes())).and_then(|()| out.flush());
    written.map_err(|error| Error::io("cannot write the picture", error))
}

/// The functions that took most.
fn table(out: &mut String, tree: &CallTree, subject: Subject<'_>) {
    let top = Top::build(tree);
    out.push_str(
        "<table><tr><th>Self</th><th>Total</th><th>Value</th><th>Samples</th><th>Module</th><th>Function</th></tr>\n",
    );
    let profile = subject.profile();
    for function in top.functions.iter().take(STILL_FUNCTIONS) {
        let image = function.image.and_then(|image| profile.images.get(image.index()));
        let image = image.map_or("", |image| base_name(profile.strings.get(image.path)));
        let name = printable(tree.names.get(function.name));
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            Text(&percent(tree.share(function.self_value))),
            Text(&percent(tree.share(function.total_value))),
            quantity(function.self_value, tree.unit),
            grouped(function.self_samples),
            Text(&printable(image)),
            Text(&shorten(&name, 200)),
        ));
    }
    out.push_str("</table>\n");
    if let Some(rest) = top.functions.get(STILL_FUNCTIONS..).filter(|rest| !rest.is_empty()) {
        let own: u64 = rest.iter().map(|function| function.self_value).sum();
        let share = percent(tree.share(own));
        out.push_str(&format!("<p>{} more: {} self</p>\n", count_of(rest.len() as u64, "function"), Text(&share)));
    }
}

/// The functions that changed most.
fn table_of_changes(out: &mut String, difference: &Difference<'_>) {
    let diff = difference.diff;
    let top = DiffTop::build(diff);
    out.push_str("<table><tr><th>Self, base</th><th>Self, new</th><th>Change, points</th><th>Module</th><th>Function</th></tr>\n");
    for function in top.functions.iter().take(STILL_FUNCTIONS) {
        let (base, new) = (diff.base_share(function.base.self_value), diff.new_share(function.new.self_value));
        let image = Subject::Diff(difference).image(&diff.tree, function.node).map_or("", base_name);
        let name = printable(diff.tree.names.get(function.name));
        out.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{:+.2}</td><td>{}</td><td>{}</td></tr>\n",
            Text(&percent(base)),
            Text(&percent(new)),
            (new - base) * 100.0,
            Text(&printable(image)),
            Text(&shorten(&name, 200)),
        ));
    }
    out.push_str("</table>\n");
    if let Some(rest) = top.functions.len().checked_sub(STILL_FUNCTIONS).filter(|rest| *rest > 0) {
        out.push_str(&format!("<p>{} more, each changed by less</p>\n", count_of(rest as u64, "function")));
    }
}

/// What runs say, the rows that matter most.
fn table_of_causes(out: &mut String, evidence: &Evidence<'_>) {
    let comparison = evidence.comparison;
    let causes = evidence.causes();
    out.push_str("<table><tr><th>What became of it</th><th>Change</th><th>Adjusted p</th><th>Function</th></tr>\n");
    for row in causes.iter().take(STILL_FUNCTIONS) {
        let estimate = row.on(comparison.settings.scale);
        let said = verdict::sentence(&Known::only(row), comparison, comparison.settings.scale).unwrap_or_default();
        out.push_str(&format!(
            "<tr><td>{}</td><td title=\"{}\">{}</td><td>{}</td><td>{}</td></tr>\n",
            Text(&verdict::fate(row, comparison)),
            Text(&said),
            Text(&words::change(estimate.change)),
            Text(&verdict::chance(estimate)),
            Text(&verdict::row_name(row)),
        ));
    }
    out.push_str("</table>\n");
    if let Some(rest) = causes.len().checked_sub(STILL_FUNCTIONS).filter(|rest| *rest > 0) {
        out.push_str(&format!("<p>{} more</p>\n", count_of(rest as u64, "row")));
    }
}
