//! The colour of a frame: its hue says what sort of code it is, its shade tells neighbours apart.
//!
//! The hues (orange, yellow, green, blue, violet) are told apart by lightness too, and every shade leaves text in [`INK`] a contrast
//! of at least 4.5:1, which is what WCAG 2.2 (1.4.3) asks for. The script computes the same colours (`viewer/text.js`).

use crate::model::FrameKind;
use crate::render::evidence::Strength;
use crate::render::picture::Palette;

/// The colour of text on frames.
pub(super) const INK: &str = "#1b1b1f";
/// The colour of what is merged.
pub(super) const MERGED: &str = "#c9c9ce";

/// How many shades each kind has.
const SHADES: u64 = 12;

/// The fill of a frame: always the same for the same name, kind and image. `own` is the share of its value that is its own, 0..1.
pub(super) fn fill(palette: Palette, kind: FrameKind, name: &str, image: Option<&str>, own: f64) -> String {
    match palette {
        Palette::Type => shade(kind, u64::from(hash(name)) % SHADES),
        _ if matches!(kind, FrameKind::Task | FrameKind::Note) => shade(kind, u64::from(hash(name)) % SHADES),
        Palette::Binary => of_image(image.unwrap_or_else(|| kind_name(kind)), 74 + hash(name) % 4 * 3),
        Palette::Hash => {
            let hash = hash(name);
            let [hue, saturation, lightness] = [hash % 360, 60 + (hash >> 10) % 20, 74 + (hash >> 20) % 10];
            rgb(f64::from(hue), f64::from(saturation), f64::from(lightness))
        }
        Palette::Own => {
            let heat = (own.sqrt() * 16.0).round() / 16.0;
            rgb(48.0 - 30.0 * heat, 60.0 + 35.0 * heat, 90.0 - 27.0 * heat)
        }
    }
}

/// The colour of a program or library.
pub(super) fn of_image(image: &str, lightness: u32) -> String {
    let hash = hash(image);
    rgb(f64::from(hash % 36 * 10), f64::from(55 + (hash >> 8) % 3 * 10), f64::from(lightness))
}

/// What cannot be told from chance.
pub(super) const UNCHANGED: &str = "#e4e4e8";

/// Orange for what has grown, blue for what has shrunk, told apart by every kind of colour blindness; grey for what may be chance. The less
/// sure it is, the less colour it has.
pub(super) fn change(change: f64, strength: Strength) -> String {
    let size = 0.25 + 0.75 * change.abs().min(1.0);
    let colour = match strength {
        Strength::Strong => 1.0,
        Strength::Weak => 0.4,
        Strength::None => return UNCHANGED.to_owned(),
    };
    match change {
        0.0 => UNCHANGED.to_owned(),
        change if change > 0.0 => rgb(30.0, 92.0 * colour, 92.0 - 32.0 * size),
        _ => rgb(212.0, 80.0 * colour, 93.0 - 25.0 * size),
    }
}

/// The bar at a frame's edge, of the same hues but dark, as it is thin; none for what may be chance.
pub(super) fn edge(change: f64, strength: Strength) -> Option<String> {
    let colour = match strength {
        Strength::Strong => 1.0,
        Strength::Weak => 0.4,
        Strength::None => return None,
    };
    let size = change.abs().min(1.0);
    match change {
        0.0 => None,
        change if change > 0.0 => Some(rgb(22.0, 95.0 * colour, 52.0 - 16.0 * size)),
        _ => Some(rgb(216.0, 85.0 * colour, 60.0 - 18.0 * size)),
    }
}

/// What a kind is called in the picture.
pub(super) fn kind_name(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::User => "user",
        FrameKind::Kernel => "kernel",
        FrameKind::Inlined => "inlined",
        FrameKind::Jit => "JIT",
        FrameKind::Task => "process or thread",
        FrameKind::Note => "missing",
        FrameKind::OffCpu => "off the CPU",
    }
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

/// FNV-1a of 32 bits over UTF-16, which is what the script has, mixed as MurmurHash3 ends: the same on every machine.
fn hash(name: &str) -> u32 {
    let hash =
        name.encode_utf16().fold(0x811c_9dc5, |hash: u32, unit| (hash ^ u32::from(unit)).wrapping_mul(0x0100_0193));
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
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
        let others = (0..2_000).flat_map(|n| {
            let name = format!("f{n}");
            let of = |palette| fill(palette, User, &name, Some(&name), f64::from(n) / 2_000.0);
            [of(Palette::Binary), of(Palette::Hash), of(Palette::Own)]
        });
        let changes = (0..2_000).flat_map(|n| {
            [Strength::Strong, Strength::Weak].map(|strength| change(f64::from(n - 1_000) / 1_000.0, strength))
        });
        for color in shades.chain(others).chain(changes).chain([MERGED.to_owned()]) {
            let contrast = (luminance(&color) + 0.05) / (luminance(INK) + 0.05);
            assert!(contrast >= 4.5, "{color}: {contrast}");
        }
    }

    #[test]
    fn colours_are_stable() {
        let of = |kind| fill(Palette::Type, kind, "main", None, 0.0);
        assert_eq!(of(FrameKind::User), of(FrameKind::User));
        assert_ne!(of(FrameKind::User), of(FrameKind::Kernel));
        assert_eq!(rgb(0.0, 100.0, 50.0), "#ff0000");
        assert_eq!(rgb(210.0, 50.0, 40.0), "#336699");
    }
}
