//! Which files are worth being fetched: hot ones only, as debug files are large (hotspot#669: gigabytes at the first start).

use std::collections::BTreeMap;

use super::cache::Kind;
use crate::model::{BuildId, FrameKey, ImageId, ImageKind, Profile, Resolution, StackId, Unnamed};

/// A file that is worth being fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Of which build.
    pub build_id: BuildId,
    /// Which of its files.
    pub kind: Kind,
    /// What people call the image: the last part of its path.
    pub name: String,
    /// Its share of all frames, each with the weight of its samples.
    pub share: f64,
    /// An image of the profile that is of this build.
    pub image: ImageId,
}

/// Smallest share of the frames that is worth a file.
const LEAST_SHARE: f64 = 0.005;
/// So many images at most.
const MOST_IMAGES: usize = 20;

/// The files that would tell more of the hot images of a profile, largest share first: debug information of those that have none,
/// and the program or library itself where it is not here either, as then its own symbols and unwind information are missing too.
///
/// Only images with a build id count. The kernel's debug information is not among them: it is a gigabyte.
pub fn hot(profile: &Profile) -> Vec<Wanted> {
    let mut weights = vec![0.0; profile.stacks.len()];
    for sample in profile.samples.iter().filter(|sample| sample.event == profile.main && sample.count > 0) {
        weights[sample.stack.index()] += sample.value as f64;
    }
    let (mut all, mut by_image) = (0.0, vec![0.0; profile.images.len()]);
    let mut is_missing = vec![false; profile.images.len()];
    for (row, stack) in profile.stacks.iter().enumerate().skip(1).rev() {
        let weight = weights[row];
        if stack.parent != StackId(0) {
            weights[stack.parent.index()] += weight;
        }
        all += weight;
        let frame = &profile.frames[stack.frame.index()];
        if let FrameKey::Code { image, .. } = frame.key {
            by_image[image.index()] += weight;
            let reason = match frame.resolution {
                Resolution::Unknown { reason, .. } => Some(reason),
                Resolution::Lines { .. } | Resolution::Name => None,
            };
            is_missing[image.index()] |= matches!(reason, Some(Unnamed::NoFile | Unnamed::FileChanged));
        }
    }
    // Several images may be of one build: the same file at two paths.
    let mut by_build: BTreeMap<BuildId, (f64, ImageId)> = BTreeMap::new();
    for (row, image) in profile.images.iter().enumerate().filter(|(_, image)| image.kind == ImageKind::File) {
        if let (Some(build_id), false, true) = (image.build_id, image.debug_info, by_image[row] > 0.0) {
            by_build.entry(build_id).or_insert((0.0, ImageId::from_index(row))).0 += by_image[row] / all;
        }
    }
    let mut hottest: Vec<_> = by_build.into_iter().filter(|(_, (share, _))| *share >= LEAST_SHARE).collect();
    hottest.sort_by(|(_, (one, _)), (_, (other, _))| other.total_cmp(one));
    hottest.truncate(MOST_IMAGES);
    let wanted = |(build_id, (share, image)): (BuildId, (f64, ImageId))| {
        let path = profile.strings.get(profile.images[image.index()].path);
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let executable = is_missing[image.index()].then_some(Kind::Executable);
        let file = move |kind| Wanted { build_id, kind, name: name.clone(), share, image };
        executable.into_iter().chain([Kind::Debuginfo]).map(file).collect::<Vec<_>>()
    };
    hottest.into_iter().flat_map(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FrameId, ProfileBuilder, Sample, StackEnd, Timestamp, Unit};

    /// An image of each kind with so many samples in it, on top of one hot frame without a build id.
    fn profile(images: &[(&str, u8, u64)]) -> (Profile, Vec<ImageId>) {
        let mut builder = ProfileBuilder::new();
        let event = builder.add_event("cpu-clock", Unit::Nanoseconds, Some(1));
        let process = builder.add_process(1, "p");
        let thread = builder.add_thread(process, 1, "p");
        let root = builder.add_image(ImageKind::File, "/bin/root", None);
        let root = builder.code_frame(root, 1);
        let root = builder.stack(StackId(0), root);
        let mut ids = Vec::new();
        for (path, id, weight) in images {
            let image = builder.add_image(ImageKind::File, path, BuildId::new(&[*id; 20]));
            let frame: FrameId = builder.code_frame(image, 0x10);
            let stack = builder.stack(root, frame);
            ids.push(image);
            builder.add_sample(Sample {
                time: Timestamp(0),
                thread,
                cpu: Sample::NO_CPU,
                stack,
                end: StackEnd::Root,
                event,
                value: *weight,
                count: 1,
            });
        }
        (builder.finish(), ids)
    }

    fn check(profile: &Profile, expected: &[(&str, Kind)]) {
        let wanted = hot(profile);
        let names: Vec<(&str, Kind)> = wanted.iter().map(|wanted| (&*wanted.name, wanted.kind)).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn hot_files_without_debug_information_are_wanted() {
        let (mut profile, ids) = profile(&[
            ("/lib/a", 1, 100),
            ("/lib/b", 2, 600),
            ("/lib/cold", 3, 3),
            ("/lib/c", 4, 300),
            ("/other/a", 1, 400),
        ]);
        profile.images[ids[3].index()].debug_info = true;
        check(&profile, &[("b", Kind::Debuginfo), ("a", Kind::Debuginfo)]);
        let frame = profile
            .frames
            .iter_mut()
            .find(|frame| matches!(frame.key, FrameKey::Code { image, .. } if image == ids[1]));
        frame.unwrap().resolution = Resolution::Unknown { reason: Unnamed::NoFile, place: crate::model::Place::Offset };
        check(&profile, &[("b", Kind::Executable), ("b", Kind::Debuginfo), ("a", Kind::Debuginfo)]);
    }

    #[test]
    fn only_so_many_are_wanted() {
        let images: Vec<(String, u8)> = (1..60).map(|id| (format!("/lib/{id}"), id)).collect();
        let images: Vec<(&str, u8, u64)> =
            images.iter().map(|(path, id)| (&**path, *id, 100 + u64::from(*id))).collect();
        let wanted = hot(&profile(&images).0);
        assert_eq!(wanted.len(), MOST_IMAGES);
        assert!(wanted.iter().all(|wanted| wanted.share >= LEAST_SHARE));
        assert_eq!(wanted[0].name, "59");
        assert_eq!(hot(&Profile::default()), []);
    }
}
