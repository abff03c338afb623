//! Samples whose stacks were walked in the kernel: their frames are places in tables, whose images have numbers.
//!
//! Who gives the tables to the kernel numbers the images ([`NumberedImages`]); here a number becomes the image of the same file. A
//! stack is kept by its key, as the kernel sends it once: as a row of the profile as soon as a sample has it, or, if it has
//! addresses of code that comes and goes, as it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::changes::{Changes, Suspects};
use super::code::Change;
use super::epochs::Epochs;
use super::{Admitted, Recorder};
use crate::image::{ElfImage, Wanted};
use crate::model::{CodeAddress, FoundBy, ImageId, ProfileBuilder, Sample, StackEnd, StackId, Timestamp, Truncation};
use crate::perf::record::{self, KeyedStack, Unwound, context, unwound};
use crate::process::AddressSpace;
use crate::unwind::WalkedFrame;

/// An image that has a number.
#[derive(Debug)]
pub struct NumberedImage {
    /// The path by which it was mapped.
    pub path: Box<[u8]>,
    /// Major and minor number of its device.
    pub device: (u32, u32),
    /// Its inode number; 0 of the vdso, which is no file.
    pub inode: u64,
    /// Who has mapped it.
    pub pid: u32,
    /// Where, and from which place in the file.
    pub range: std::ops::Range<u64>,
    /// See [`Wanted::offset`].
    pub offset: u64,
    /// The file.
    pub file: Option<Arc<ElfImage>>,
    /// The address, as the file states it, that its table's addresses count from, once it has one.
    pub base: OnceLock<u64>,
    /// Set whenever a sample has a frame of it.
    pub used: AtomicBool,
}

/// The images by their numbers, which begin with 1; shared with who gives the numbers.
#[derive(Debug, Default)]
pub struct NumberedImages {
    rows: RwLock<Vec<Arc<NumberedImage>>>,
}

impl NumberedImages {
    /// Gives an image the next number.
    pub fn add(&self, image: Arc<NumberedImage>) -> u32 {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        rows.push(image);
        rows.len() as u32
    }

    /// The image of a number.
    pub fn get(&self, number: u32) -> Option<Arc<NumberedImage>> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.get((number as usize).checked_sub(1)?).cloned()
    }
}

/// Whom each mapping of code is told as soon as its record has come.
pub struct Mapped(Box<Told>);

/// Whose, and what.
type Told = dyn FnMut(u32, &Change) + Send;

impl Mapped {
    /// It is told by this.
    pub fn new(told: impl FnMut(u32, &Change) + Send + 'static) -> Mapped {
        Mapped(Box::new(told))
    }
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mapped")
    }
}

/// By what stacks are walked in the kernel.
#[derive(Debug)]
pub struct KernelLists {
    /// The images by the numbers that frames have.
    pub numbered: Arc<NumberedImages>,
    /// What was listed of processes.
    pub epochs: Arc<Epochs>,
    /// Who keeps the lists.
    pub mapped: Mapped,
}

/// How often frames were found in each way, in the order of [`FoundBy::ALL`].
type Found = [u32; FoundBy::ALL.len()];

#[derive(Debug)]
pub(super) enum Kept {
    /// As it came: kernel frames, all frames, end.
    AsItCame(usize, Box<[u64]>, StackEnd),
    Row(StackId, StackEnd, Box<Found>),
}

/// The stacks that were walked in the kernel.
#[derive(Debug, Default)]
pub(super) struct UnwoundStacks {
    numbered: Arc<NumberedImages>,
    /// By number, as far as they were asked for.
    known: Vec<Option<(ImageId, Arc<NumberedImage>)>>,
    pub mapped: Option<Mapped>,
    pub stacks: FxHashMap<u64, Kept>,
}

impl UnwoundStacks {
    pub fn take(&mut self, stack: &KeyedStack<'_>) {
        let frames = stack.frames.iter().collect();
        let kept = Kept::AsItCame(stack.kernel_frames as usize, frames, unwound::end(stack.end));
        // One that comes again was forgotten in the kernel, not here.
        self.stacks.entry(stack.key).or_insert(kept);
    }

    /// Whether an image has this number.
    pub fn is_of(&self, number: u32, image: ImageId) -> bool {
        matches!(self.known.get(number as usize), Some(Some((known, _))) if *known == image)
    }
}

impl Recorder {
    /// Samples may come whose stacks were walked in the kernel.
    pub fn set_kernel_lists(&mut self, lists: KernelLists) {
        self.unwound.numbered = lists.numbered;
        self.changes = Changes::new(lists.epochs);
        self.unwound.mapped = Some(lists.mapped);
    }

    /// A mapping has been made, whose turn comes later.
    pub(super) fn tell_mapped(&mut self, mmap: &record::Mmap<'_>) {
        if let (Some(mapped), Some(change)) = (&mut self.unwound.mapped, Change::of(mmap)) {
            (mapped.0)(mmap.pid, &change);
        }
    }

    /// Adds a sample whose stack was walked in the kernel.
    pub(super) fn add_unwound(&mut self, unwound: &Unwound) {
        let Unwound { identity, period, event, key, epoch } = *unwound;
        let sample = record::Sample { identity, period, event, ..record::Sample::default() };
        let Some(admitted) = self.admit(&sample) else { return };
        self.counters.unwound += 1;
        let suspects = self.suspects_of_sample(identity.pid, epoch, identity.time);
        if let Some(Kept::Row(stack, end, found)) = self.unwound.stacks.get(&key) {
            let (stack, end) = (*stack, *end);
            self.counters.found.iter_mut().zip(found.iter()).for_each(|(sum, count)| *sum += u64::from(*count));
            return self.add_trusted(&admitted, (stack, end), suspects.as_deref());
        }
        let Some(Kept::AsItCame(kernel, words, end)) = self.unwound.stacks.remove(&key) else {
            self.counters.lost_stacks += 1;
            return self.add_row(&admitted, StackId(0), StackEnd::Truncated(Truncation::LostStack));
        };
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        let is_settled = self.unwound_frames(kernel, &words, &admitted.space, &mut frames);
        let before = self.counters.found;
        let stack = self.stack(&frames);
        self.frames = frames;
        self.add_trusted(&admitted, (stack, end), suspects.as_deref());
        let found = std::array::from_fn(|way| (self.counters.found[way] - before[way]) as u32);
        let settled = Kept::Row(stack, end, Box::new(found));
        self.unwound.stacks.insert(key, if is_settled { settled } else { Kept::AsItCame(kernel, words, end) });
    }

    /// Adds a row with what of a stack is to be trusted.
    fn add_trusted(&mut self, admitted: &Admitted<'_>, (stack, end): (StackId, StackEnd), suspects: Option<&Suspects>) {
        let trusted = suspects.and_then(|suspects| self.trusted(stack, suspects, (&admitted.space, true)));
        self.counters.mappings_changed += u64::from(trusted.is_some());
        let (stack, end) = trusted.unwrap_or((stack, end));
        self.add_row(admitted, stack, end);
    }

    /// The frames of a stack; says whether they are the same for all samples of that stack.
    pub(super) fn unwound_frames(
        &mut self,
        kernel: usize,
        words: &[u64],
        space: &AddressSpace,
        frames: &mut Vec<WalkedFrame>,
    ) -> bool {
        let (kernel, user) = words.split_at(kernel.min(words.len()));
        // It is the chain of the event's own record, with its marks.
        for (index, word) in kernel.iter().filter(|word| **word < context::FIRST).enumerate() {
            // The first is where the processor was, the others are return addresses, as in the chains of samples.
            let (address, by) = match CodeAddress::from_return(*word) {
                Some(address) if index > 0 => (address, FoundBy::Kernel),
                _ => (CodeAddress::Ip(*word), FoundBy::Sample),
            };
            frames.push(WalkedFrame::at(&self.processes.kernel.modules, ProfileBuilder::KERNEL, address, by));
        }
        let mut is_settled = true;
        for word in user {
            let (place, by) = unwound::frame(*word);
            let found = match place {
                unwound::Place::Address(_) => None,
                unwound::Place::InTable { image, address } => self.in_table(image, address),
            };
            frames.push(match (place, found) {
                (_, Some((image, offset))) => WalkedFrame { image, by, offset },
                (unwound::Place::Address(address), None) => {
                    is_settled = false;
                    WalkedFrame::at(space, ProfileBuilder::UNMAPPED, CodeAddress::Ip(address), by)
                }
                // Who gave the number knows it; a place outside of the file is no code.
                (unwound::Place::InTable { address, .. }, None) => {
                    WalkedFrame { image: ProfileBuilder::UNMAPPED, by, offset: address }
                }
            });
        }
        is_settled
    }

    /// Image and file offset of an address in a table.
    fn in_table(&mut self, number: u32, address: u64) -> Option<(ImageId, u64)> {
        let index = number as usize;
        if self.unwound.known.len() <= index {
            self.unwound.known.resize(index + 1, None);
        }
        if self.unwound.known[index].is_none() {
            let numbered = self.unwound.numbered.get(number)?;
            let on_file = numbered.inode != 0;
            let wanted = Wanted {
                path: &numbered.path,
                build_id: None,
                device: on_file.then_some(numbered.device),
                inode: on_file.then_some(numbered.inode),
                pid: numbered.pid,
                start: numbered.range.start,
                end: numbered.range.end,
                offset: numbered.offset,
                time: 0,
            };
            let builder = &mut self.builder;
            let add = |kind, path: &str, build_id| builder.add_image(kind, path, build_id);
            let image = if on_file { self.images.intern(&wanted, add) } else { self.images.intern_vdso(&wanted, add) };
            self.unwound.known[index] = Some((image, numbered));
        }
        let (image, numbered) = self.unwound.known[index].as_ref()?;
        numbered.used.store(true, Ordering::Relaxed);
        let svma = numbered.base.get()?.checked_add(address)?;
        Some((*image, numbered.file.as_ref()?.offset_of_svma(svma)?))
    }

    /// Adds a row.
    pub(super) fn add_row(&mut self, admitted: &Admitted<'_>, stack: StackId, end: StackEnd) {
        let sample = &admitted.sample;
        let value = self.value(sample);
        self.builder.add_sample(Sample {
            time: Timestamp(sample.identity.time),
            thread: admitted.thread,
            cpu: sample.identity.cpu,
            stack,
            end,
            event: self.events[sample.event as usize],
            value,
            count: 1,
        });
    }
}
