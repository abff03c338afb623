//! What a walk up a stack has at hand: frames, memory, and what is mapped where.

use std::sync::Arc;

use super::places::Places;
use super::registers::{Processor, Registers, StackBytes};
use crate::image::{ElfImage, Images};
use crate::model::{CodeAddress, FoundBy, ImageId, ProfileBuilder, StackEnd, Truncation};
use crate::process::{AddressSpace, Mapping};

/// What the fast walk knows of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub address: CodeAddress,
    pub sp: u64,
    /// 0 if it is not known.
    pub fp: u64,
    /// The link register, as long as it is that of the frame.
    pub lr: Option<u64>,
    pub by: FoundBy,
}

/// Why there is no next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The stack is over, or cut.
    End(StackEnd),
    /// The word at this address is wanted, and not there.
    Memory(u64),
    /// It goes on at this frame pointer, on a stack of which there is no copy.
    OtherStack {
        fp: u64,
        /// Whether a caller is lost on the way there.
        misses_one: bool,
    },
    /// The return address is zero.
    Zero,
    /// All registers are needed, and the walk has not followed them.
    Registers,
}

/// The mapping that the last address was in: mostly the next one is in it too.
#[derive(Debug)]
pub(super) struct At<'w> {
    pub mapping: Mapping,
    pub image: Option<&'w Arc<ElfImage>>,
}

impl Default for At<'_> {
    fn default() -> Self {
        // Nothing is in it.
        At { mapping: Mapping { start: 0, end: 0, offset: 0, image: ProfileBuilder::UNMAPPED }, image: None }
    }
}

/// What a walk has at hand.
pub(super) struct Walk<'w, 'u> {
    pub space: &'w AddressSpace,
    pub images: &'w Images,
    pub stack: &'w StackBytes<'w>,
    pub processor: Processor,
    pub at: At<'w>,
    /// What is known of code without tables.
    pub places: &'u mut Places,
}

impl<'w> Walk<'w, '_> {
    /// Makes the mapping of an address the one we are in.
    #[inline]
    pub fn enter(&mut self, address: u64) -> bool {
        let Mapping { start, end, .. } = self.at.mapping;
        if start <= address && address < end {
            return true;
        }
        let Some(mapping) = self.space.find(address) else { return false };
        self.at = At { mapping: *mapping, image: self.images.get(mapping.image) };
        true
    }

    /// The file that the frame under work is in.
    pub fn image(&self) -> Option<&'w ElfImage> {
        self.at.image.map(|image| &**image)
    }

    /// The file that an address is in, and what the file states for the address.
    pub fn place(&self, address: u64) -> Option<(ImageId, &'w ElfImage, u64)> {
        let Mapping { start, end, .. } = self.at.mapping;
        let (mapping, image) = if start <= address && address < end {
            (&self.at.mapping, self.at.image?)
        } else {
            let mapping = self.space.find(address)?;
            (mapping, self.images.get(mapping.image)?)
        };
        Some((mapping.image, image, image.svma_of_offset(mapping.offset_of(address))?))
    }

    /// Of which image the code of the frame under work is.
    pub fn image_id(&self) -> ImageId {
        self.at.mapping.image
    }

    /// Whether the frame under work is in a vdso.
    pub fn is_in_vdso(&self) -> bool {
        self.images.is_vdso(self.at.mapping.image)
    }

    /// Whether an address is in a function of Go.
    pub fn is_go(&self, address: u64) -> bool {
        let name = |(_, image, svma): (ImageId, &'w ElfImage, u64)| image.go_table()?.function_name(image, svma);
        self.place(address).and_then(name).is_some()
    }

    /// The frame that a signal has interrupted, with these registers.
    pub fn interrupted(&self, registers: &Registers) -> Frame {
        let get = |number: u16| registers.get(number);
        let (fp, lr) = (get(self.processor.fp()).unwrap_or(0), self.processor.lr().and_then(get));
        Frame { address: CodeAddress::Ip(registers.ip), sp: registers.sp(), fp, lr, by: FoundBy::UnwindInfo }
    }

    /// The word at an address of the stack.
    #[inline]
    pub fn read(&self, address: u64) -> Result<u64, Stop> {
        let word = match self.processor.word() {
            8 => self.stack.word(address),
            size => self.stack.read(address, size),
        };
        word.ok_or(Stop::Memory(address))
    }

    /// A frame that called; one whose address is zero is none.
    #[inline]
    pub fn called(&self, ra: u64, sp: u64, fp: u64, by: FoundBy) -> Result<Frame, Stop> {
        let address = CodeAddress::from_return(self.processor.address(ra)).ok_or(Stop::Zero)?;
        Ok(Frame { address, sp, fp, lr: None, by })
    }

    /// What is known of a frame's registers that was found without tables: others may have been changed.
    pub fn registers_of(&self, frame: &Frame) -> Registers {
        let mut registers = Registers::new(self.processor, 0, frame.sp);
        registers.set(self.processor.fp(), Some(frame.fp));
        registers
    }

    /// How a stack ends in code that nothing is known about.
    pub fn end_without_tables(&self, offset: u64) -> StackEnd {
        match self.image() {
            Some(image) if image.svma_of_offset(offset).is_some_and(|svma| is_entry(image, svma)) => StackEnd::Root,
            _ => StackEnd::Truncated(Truncation::NoUnwindInfo),
        }
    }
}

/// Whether code without unwind information is that at which the kernel starts the program or its loader: nothing calls it
/// (System V ABI, "Process Initialization"). glibc's loader has 61 bytes of it, in assembly.
pub(super) fn is_entry(image: &ElfImage, svma: u64) -> bool {
    svma.checked_sub(image.entry()).is_some_and(|distance| distance < ENTRY_LENGTH)
}

/// How much code there is counted as that.
pub(super) const ENTRY_LENGTH: u64 = 64;
