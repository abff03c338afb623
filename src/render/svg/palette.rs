//! The colour of a frame: its hue says what sort of code it is, its shade tells neighbours apart.
//!
//! The hues (orange, yellow, green, blue, violet) are told apart by lightness too, and every shade leaves text in [`INK`] a contrast
//! of at least 4.5:1, which is what WCAG 2.2 (1.4.3) asks for.

use crate::model::FrameKind;

/// The colour of text on frames.
pub(super) const INK: &str = "#1b1b1f";
/// The colour of what is merged.
pub(super) const MERGED: &str = "#c9c9ce";

/// How many shades each kind has.
const SHADES: u64 = 12;

/// The fill of a frame: always the same for the same name and kind.
pub(super) fn fill(kind: FrameKind, name: &str) -> String {
    shade(kind, hash(name) % SHADES)
}

/// The colour that stands for a kind in the legend.
pub(super) fn key(kind: FrameKind) -> String {
    shade(kind, SHADES / 2)
}

fn shade(kind: FrameKind, shade: u64) -> String {
    // Hue in degrees, saturation and lightness in percent, each from its first to its last shade.
    let (hue, saturation, lightness) = match kind {
        FrameKind::User => ((18.0, 34.0), (90.0, 92.0), (72.0, 62.0)),
        FrameKind::Inlined => ((46.0, 56.0), (92.0, 88.0), (78.0, 68.0)),
        FrameKind::Jit => ((125.0, 150.0), (45.0, 48.0), (70.0, 60.0)),
        FrameKind::Kernel => ((205.0, 222.0), (75.0, 80.0), (80.0, 70.0)),
        FrameKind::Task => ((215.0, 215.0), (14.0, 14.0), (88.0, 82.0)),
        FrameKind::Note => ((325.0, 335.0), (45.0, 50.0), (86.0, 80.0)),
        FrameKind::OffCpu => ((262.0, 280.0), (60.0, 66.0), (84.0, 77.0)),
    };
    // Hue and lightness run against each other, so that similar hues differ in lightness.
    let at = |(first, last): (f64, f64), step: u64| first + (last - first) * step as f64 / (SHADES - 1) as f64;
    rgb(at(hue, shade), at(saturation, shade), at(lightness, shade * 5 % SHADES))
}

/// FNV-1a, 64 bits: the same on every machine and in every version.
fn hash(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // Its low bits depend on the low bits of the bytes only.
    hash >> 32
}

/// Hue, saturation and lightness as `#rrggbb`, by the formula of CSS Color 4, section 7.1.
fn rgb(hue: f64, saturation: f64, lightness: f64) -> String {
    let (saturation, lightness) = (saturation / 100.0, lightness / 100.0);
    let channel = |n: f64| {
        let k = (n + hue / 30.0) % 12.0;
        let amplitude = saturation * lightness.min(1.0 - lightness);
        let value = lightness - amplitude * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(8.0), channel(4.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn text_is_readable_on_every_shade() {
        use FrameKind::{Inlined, Jit, Kernel, Note, OffCpu, Task, User};
        let shades = [User, Kernel, Inlined, Jit, Task, Note, OffCpu]
            .into_iter()
            .flat_map(|kind| (0..SHADES).map(move |step| shade(kind, step)).collect::<Vec<_>>());
        for color in shades.chain([MERGED.to_owned()]) {
            let contrast = (luminance(&color) + 0.05) / (luminance(INK) + 0.05);
            assert!(contrast >= 4.5, "{color}: {contrast}");
        }
    }

    #[test]
    fn colours_are_stable() {
        assert_eq!(fill(FrameKind::User, "main"), fill(FrameKind::User, "main"));
        assert_ne!(fill(FrameKind::User, "main"), fill(FrameKind::Kernel, "main"));
        assert_eq!(rgb(0.0, 100.0, 50.0), "#ff0000");
        assert_eq!(rgb(210.0, 50.0, 40.0), "#336699");
    }
}
