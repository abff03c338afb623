//! The script of our pictures: one viewer for SVG and HTML, see `viewer/*.js`.
//!
//! It reads the data that the picture carries and draws on a canvas what is seen; nothing from outside is in its text, and it makes no
//! request.

use std::sync::OnceLock;

/// In the order in which they need each other.
const PARTS: [&str; 14] = [
    include_str!("viewer/data.js"),
    include_str!("viewer/trees.js"),
    include_str!("viewer/text.js"),
    include_str!("viewer/layout.js"),
    include_str!("viewer/viewer.js"),
    include_str!("viewer/page.js"),
    include_str!("viewer/details.js"),
    include_str!("viewer/input.js"),
    include_str!("viewer/search.js"),
    include_str!("viewer/state.js"),
    include_str!("viewer/chart.js"),
    include_str!("viewer/table.js"),
    include_str!("viewer/gate.js"),
    include_str!("viewer/start.js"),
];

/// The script as it stands in a picture: without comments and indentation.
pub(super) fn script() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let lines = PARTS.iter().flat_map(|part| part.lines()).map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
        let body: String = lines.flat_map(|line| [line, "\n"]).collect();
        format!("(function () {{\n'use strict';\n{body}}})();\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_ends_only_where_it_ends() {
        let script = script();
        assert!(!script.contains("]]>"));
        // The parser of HTML, in which the picture may stand, ends a script there; a comment of its own would hide what follows.
        assert!(!script.to_lowercase().contains("</script") && !script.contains("<!--"));
        assert!(script.is_ascii());
    }
}
