//! What a frame is shown as, where that is more than its name.

use super::id::{FrameId, ImageId};
use super::profile::{FrameKey, FrameKind, ImageKind, Place, Profile, Resolution};
use super::reason::Unnamed;

impl Profile {
    /// What sort of code the function of `frame` is; those that were inlined into it are [`FrameKind::Inlined`] instead.
    pub fn kind_of(&self, frame: FrameId) -> FrameKind {
        match self.frames[frame.index()].key {
            FrameKey::Name { kind, .. } => kind,
            FrameKey::Code { image, .. } => match self.images[image.index()].kind {
                ImageKind::Kernel => FrameKind::Kernel,
                ImageKind::Jit(_) | ImageKind::JitDump => FrameKind::Jit,
                ImageKind::File | ImageKind::Vdso | ImageKind::Unmapped => FrameKind::User,
            },
        }
    }

    /// What is shown for code without a name: never nothing. `None` if `frame` has a name.
    ///
    /// The address is where its function begins, so that its frames are one; else its own. Both are as the object file states
    /// them, for `addr2line` and `objdump`; only of a file that was not read it is the offset.
    pub fn stand_in(&self, frame: FrameId) -> Option<String> {
        let frame = self.frames[frame.index()];
        let (FrameKey::Code { image, offset }, Resolution::Unknown { reason, place }) = (frame.key, frame.resolution)
        else {
            return None;
        };
        let address = match place {
            Place::Offset => offset,
            Place::Address(svma) | Place::Function(svma) => svma,
        };
        Some(self.stand_in_at(image, address, reason))
    }

    fn stand_in_at(&self, image: ImageId, address: u64, reason: Unnamed) -> String {
        let image = &self.images[image.index()];
        let path = self.strings.get(image.path);
        match image.kind {
            ImageKind::Kernel if reason == Unnamed::KernelHidden => "[kernel]".to_owned(),
            ImageKind::Jit(_) => "[anonymous]".to_owned(),
            ImageKind::Unmapped => "[unmapped]".to_owned(),
            ImageKind::File | ImageKind::Vdso | ImageKind::Kernel | ImageKind::JitDump => {
                let base = path.rsplit('/').next().unwrap_or(path);
                let base = base.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(base);
                format!("[{base}+{address:#x}]")
            }
        }
    }
}
