//! Which images have frames without a name, and what they weigh.

use rustc_hash::FxHashMap;

use super::id::{ImageId, StringId};
use super::profile::{FrameKey, ImageKind, Profile, Resolution};
use super::reason::Unnamed;
use super::stats::UnnamedImage;

/// The weight of frames without a name, by what they are in and why they have none.
#[derive(Debug, Default)]
pub(super) struct UnnamedWeights(FxHashMap<(Whose, Unnamed), f64>);

/// What a frame without a name is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Image(ImageId),
    /// Somebody's stand-in for a name: `[unknown]`, `[libc.so.6]`.
    Name(StringId),
}

impl UnnamedWeights {
    /// Adds the weight of one stack's last frame.
    pub fn add(&mut self, profile: &Profile, frame: super::FrameId, weight: f64) {
        let frame = &profile.frames[frame.index()];
        let Resolution::Unknown { reason, .. } = frame.resolution else { return };
        let whose = match frame.key {
            FrameKey::Code { image, .. } => Whose::Image(image),
            FrameKey::Name { name, .. } => Whose::Name(name),
        };
        *self.0.entry((whose, reason)).or_default() += weight;
    }

    /// The rows of [`super::CaptureStats::unnamed_images`]; help that is known of a row already is kept.
    pub fn rows(self, profile: &Profile, all_frames: f64) -> Vec<UnnamedImage> {
        let mut help: FxHashMap<(&str, Unnamed), &str> = FxHashMap::default();
        for row in profile.stats.unnamed_images.iter().filter(|row| !row.help.is_empty()) {
            help.entry((&row.image, row.reason)).or_insert(&row.help);
        }
        // Containers have files of the same path each.
        let mut shares: FxHashMap<(String, Unnamed), f64> = FxHashMap::default();
        for ((whose, reason), weight) in self.0.into_iter().filter(|((_, reason), _)| Unnamed::ALL.contains(reason)) {
            let image = match whose {
                Whose::Image(image) => profile.image_label(image),
                Whose::Name(name) => profile.strings.get(name).to_owned(),
            };
            *shares.entry((image, reason)).or_default() += weight / all_frames;
        }
        let row = |((image, reason), share): ((String, Unnamed), f64)| {
            let help = help.get(&(&*image, reason)).map_or_else(String::new, |help| (*help).to_owned());
            UnnamedImage { image, reason, share, help }
        };
        let mut rows: Vec<UnnamedImage> = shares.into_iter().filter(|(_, share)| *share > 0.0).map(row).collect();
        rows.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| (&a.image, a.reason).cmp(&(&b.image, b.reason))));
        rows
    }
}

impl Profile {
    /// What an image is called where images are listed: its path, with the process if it is memory of one process only
    /// (`[anonymous] of node (4121)`).
    pub fn image_label(&self, image: ImageId) -> String {
        let image = &self.images[image.index()];
        let path = self.strings.get(image.path);
        let ImageKind::Jit(pid) = image.kind else { return path.to_owned() };
        match self.processes.iter().rfind(|process| process.pid == pid) {
            Some(process) => format!("{path} of {} ({pid})", self.strings.get(process.name)),
            None => format!("{path} of process {pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{
        FrameKind, Place, ProfileBuilder, Sample, SampleTable, StackEnd, StackId, Timestamp, Unit, merge,
    };

    use super::*;

    fn profile(help: &str) -> Profile {
        let mut builder = ProfileBuilder::new();
        let event = builder.add_event("cpu-clock", Unit::Nanoseconds, None);
        let process = builder.add_process(7, "node");
        let thread = builder.add_thread(process, 7, "node");
        let one = builder.add_image(ImageKind::File, "/lib/libc.so.6", None);
        let other = builder.add_image(ImageKind::File, "/lib/libc.so.6", None);
        let jit = builder.add_image(ImageKind::Jit(7), "[anonymous]", None);
        let frames = [
            builder.code_frame(one, 1),
            builder.code_frame(other, 1),
            builder.code_frame(jit, 1),
            builder.name_frame("main", FrameKind::User),
        ];
        for (frame, value) in frames.into_iter().zip([10, 20, 50, 20]) {
            let stack = builder.stack(StackId(0), frame);
            let (time, end) = (Timestamp(1), StackEnd::Root);
            builder.add_sample(Sample { time, thread, cpu: 0, stack, end, event, value, count: 1 });
        }
        let mut profile = builder.finish();
        for (frame, reason) in frames[..3].iter().zip([Unnamed::NoMatch, Unnamed::NoMatch, Unnamed::Anonymous]) {
            profile.frames[frame.index()].resolution = Resolution::Unknown { reason, place: Place::Offset };
        }
        profile.summarize();
        profile.stats.unnamed_images[1].help = help.to_owned();
        profile
    }

    #[test]
    fn images_of_one_path_are_one_row_and_shares_add_up() {
        let mut profile = profile("apt install libc6-dbg");
        let rows = profile.stats.unnamed_images.clone();
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].image, rows[0].reason), ("[anonymous] of node (7)", Unnamed::Anonymous));
        assert_eq!((&*rows[1].image, rows[1].reason), ("/lib/libc.so.6", Unnamed::NoMatch));
        assert!((rows[0].share - 0.5).abs() < 1e-9 && (rows[1].share - 0.3).abs() < 1e-9, "{rows:?}");
        let sum: f64 = rows.iter().map(|row| row.share).sum();
        assert!((sum - profile.stats.unnamed_total()).abs() < 1e-9);
        profile.summarize();
        assert_eq!(profile.stats.unnamed_images, rows, "help is kept");
        profile.samples = SampleTable::default();
        profile.summarize();
        assert!(profile.stats.unnamed_images.is_empty());
    }

    #[test]
    fn help_outlives_a_merge() {
        let mut merged = merge(vec![profile(""), profile("apt install libc6-dbg")]);
        merged.summarize();
        let row = merged.stats.unnamed_images.iter().find(|row| row.image == "/lib/libc.so.6").unwrap();
        assert_eq!(row.help, "apt install libc6-dbg");
        assert!((row.share - 0.3).abs() < 1e-9);
    }
}
