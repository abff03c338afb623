//! Bars of text: how much of a whole, beside a number.

/// What bars are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bars {
    /// Blocks of Unicode, to an eighth of a column.
    #[default]
    Blocks,
    /// Signs that every terminal has.
    Ascii,
    /// Nothing.
    None,
}

/// How many columns a bar has.
pub(super) const WIDTH: usize = 10;

/// A bar of [`WIDTH`] columns: `own` of the whole solid, what `total` has more than that pale; both 0..1. What is not nothing is seen.
pub(super) fn bar(own: f64, total: f64, bars: Bars) -> String {
    let (own, total) = (own.clamp(0.0, 1.0), total.clamp(0.0, 1.0).max(own.clamp(0.0, 1.0)));
    let least = |share: f64, parts: usize| match (share * parts as f64).round() as usize {
        0 if share > 0.0 => 1,
        rounded => rounded,
    };
    let mut text = String::new();
    let (solid, pale, pale_sign) = match bars {
        Bars::None => return text,
        Bars::Ascii => {
            let solid = (own * WIDTH as f64).round() as usize;
            text.extend(std::iter::repeat_n('#', solid));
            (solid, least(total, WIDTH), '-')
        }
        Bars::Blocks => {
            const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
            let eighths = least(own, WIDTH * 8);
            text.extend(std::iter::repeat_n('█', eighths / 8));
            text.extend((eighths % 8).checked_sub(1).map(|part| PARTS[part]));
            (eighths.div_ceil(8), least(total, WIDTH), '░')
        }
    };
    text.extend(std::iter::repeat_n(pale_sign, pale.saturating_sub(solid)));
    text.extend(std::iter::repeat_n(' ', WIDTH.saturating_sub(solid.max(pale))));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::name::columns;

    #[test]
    fn bars_show_own_and_total() {
        let check = |own: f64, total: f64, bars: Bars, expected: &str| {
            let shown = bar(own, total, bars);
            assert_eq!(shown, expected);
            assert_eq!(columns(&shown), WIDTH);
        };
        check(0.0, 0.0, Bars::Blocks, "          ");
        check(1.0, 1.0, Bars::Blocks, "██████████");
        check(0.25, 0.5, Bars::Blocks, "██▌░░     ");
        check(0.0001, 0.0001, Bars::Blocks, "▏         ");
        check(0.0, 0.0001, Bars::Blocks, "░         ");
        check(0.99, 1.0, Bars::Blocks, "█████████▉");
        check(0.3, 0.7, Bars::Ascii, "###----   ");
        check(0.0, 0.01, Bars::Ascii, "-         ");
        check(2.0, f64::NAN, Bars::Ascii, "##########");
        assert_eq!(bar(0.5, 1.0, Bars::None), "");
    }
}
