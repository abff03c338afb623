//! What is known of generated code: the dumps and perf maps that processes write.

use std::sync::Arc;

use super::{Images, Key};
use crate::image::as_seen::{self, Wanted};
use crate::image::frame_tables::FrameEntry;
use crate::image::jitdump::{self, JitDump};
use crate::image::mapped_file::MappedFile;
use crate::image::perf_map::PerfMap;
use crate::model::{BuildId, ImageId, ImageKind};

/// Which lines of a perf map name the code of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generation {
    /// Those of this [`crate::image::Piece::generation`].
    Of(u16),
    /// None: the map names what was there before, or later.
    None,
}

impl Images {
    /// The image of a JIT's dump (`jit-PID.dump`) that a process has mapped, as its mark that there is one; offsets are into
    /// the dump. `None` if there is no sound dump of this process.
    ///
    /// Of a recording its loads are mappings of it, see [`JitDump::loads`]; of a process that runs it is followed, see
    /// [`Images::grow_jit_dumps`], and nothing may have been written yet.
    pub fn intern_jit_dump(
        &mut self,
        wanted: &Wanted<'_>,
        add: impl FnOnce(ImageKind, &str, Option<BuildId>) -> ImageId,
    ) -> Option<(ImageId, Arc<JitDump>)> {
        let pid = jitdump::pid_of_path(wanted.path)?;
        let key = Key { path: wanted.path.into(), build_id: None, device: wanted.device, inode: wanted.inode };
        if let Some(&id) = self.known.get(&key) {
            return self.dumps.get(&id).map(|dump| (id, Arc::clone(dump)));
        }
        let dump = match self.sources() {
            Some(sources) => {
                let file = sources.open_written(wanted.path, wanted.inode).ok()?;
                let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
                JitDump::read(MappedFile::new(&file, length).ok()?)?
            }
            None => JitDump::follow(as_seen::open_written(wanted).ok()?).ok()?,
        };
        // The path names the process as it knows itself, the record as the recorder did: containers count on their own.
        if dump.has_begun() && dump.pid() != pid && dump.pid() != wanted.pid {
            return None;
        }
        let dump = Arc::new(dump);
        let id = add(ImageKind::JitDump, &String::from_utf8_lossy(wanted.path), None);
        self.known.insert(key, id);
        self.dumps.insert(id, Arc::clone(&dump));
        Some((id, dump))
    }

    /// The JIT's dump that an image is.
    pub fn jit_dump(&self, id: ImageId) -> Option<&Arc<JitDump>> {
        self.dumps.get(&id)
    }

    /// Says that the code of a process's anonymous memory, `jit`, is in a dump.
    pub fn set_dump_of(&mut self, jit: ImageId, dump: ImageId) {
        self.dump_of.insert(jit, dump);
    }

    /// The dump that has the code of a process's anonymous memory.
    pub fn dump_of(&self, jit: ImageId) -> Option<(ImageId, &JitDump)> {
        let id = *self.dump_of.get(&jit)?;
        Some((id, self.dumps.get(&id)?))
    }

    /// Reads what processes have written into their dumps since.
    pub fn grow_jit_dumps(&mut self) {
        for dump in self.dumps.values_mut() {
            // Nobody holds one between records; who did would keep it as it is.
            if let Some(dump) = Arc::get_mut(dump) {
                // What cannot be read now may be later; what was read stays.
                let _ = dump.grow();
            }
        }
    }

    /// Ends the following of dumps: makes their histories ready to be asked.
    pub fn settle_jit_dumps(&mut self) {
        self.grow_jit_dumps();
        self.dumps.values_mut().filter_map(Arc::get_mut).for_each(JitDump::settle);
    }

    /// The call frame information that a JIT has written for code of its, for an offset of a dump or, of a process that runs, an
    /// address of its anonymous memory; and the address that it states for that. Only of code for processor `machine`.
    pub fn jit_frame_entry(&self, image: ImageId, offset: u64, machine: u16) -> Option<(FrameEntry<'_>, u64)> {
        if self.dumps.is_empty() {
            return None;
        }
        let is_for = |dump: &&JitDump| dump.machine() == u32::from(machine);
        match self.dumps.get(&image) {
            Some(dump) => Some(&**dump).filter(is_for)?.frame_entry(offset),
            None => self.dump_of(image).map(|(_, dump)| dump).filter(is_for)?.frame_entry_now(offset),
        }
    }

    /// Keeps a perf map; the images whose code it names refer to it.
    pub fn add_perf_map(&mut self, map: PerfMap) -> usize {
        self.perf_maps.push(map);
        self.perf_maps.len() - 1
    }

    /// Says which lines of the `map`th perf map name the code of an image.
    pub fn set_perf_map_of(&mut self, jit: ImageId, map: usize, generation: Generation) {
        self.perf_map_of.insert(jit, (map, generation));
        self.generations.insert((map, generation), jit);
    }

    /// The image whose code a generation of the `map`th perf map names, if there is one already.
    pub fn image_of_generation(&self, map: usize, generation: Generation) -> Option<ImageId> {
        self.generations.get(&(map, generation)).copied()
    }

    /// The perf map that names the code of an image, and which of its lines do.
    pub fn perf_map_of(&self, jit: ImageId) -> Option<(&PerfMap, Generation)> {
        let (map, generation) = *self.perf_map_of.get(&jit)?;
        Some((self.perf_maps.get(map)?, generation))
    }
}
