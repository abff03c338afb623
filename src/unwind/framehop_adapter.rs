//! The crate framehop behind the seam: call frame information where there is some, frame pointers where there is none.

use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder as _};
use rustc_hash::FxHashMap;

use super::registers::{Registers, StackBytes};
use crate::image::{ElfImage, Images, SectionBytes, function_starts};
use crate::model::{CodeAddress, StackEnd, Truncation};
use crate::process::{AddressSpace, Mapping};

/// More frames than a stack copy of 64 KiB can hold return addresses.
const MOST_FRAMES: usize = 10_000;
/// For how many different address spaces unwinders are kept.
const KEPT_SPACES: usize = 128;

type Framehop = framehop::UnwinderNative<SectionBytes, framehop::MayAllocateDuringUnwind>;

/// Unwinds stacks of any number of processes.
#[derive(Default)]
pub struct Unwinder {
    /// By [`AddressSpace::stamp`].
    spaces: FxHashMap<u64, Space>,
    calls: u64,
}

/// What is known of one address space.
struct Space {
    unwinder: Framehop,
    /// Not shared: spaces would take each other's rows, and framehop tells modules apart by a counter of 16 bits, which
    /// comes round after some thousand programs.
    cache: framehop::CacheNative<framehop::MayAllocateDuringUnwind>,
    /// The number of the call that used it last.
    used: u64,
}

impl std::fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unwinder").field("spaces", &self.spaces.len()).field("calls", &self.calls).finish()
    }
}

impl Unwinder {
    /// Appends the stack's addresses to `frames`, innermost first, and says how it ended.
    pub fn unwind(
        &mut self,
        space: &AddressSpace,
        images: &Images,
        registers: &Registers,
        stack: &StackBytes<'_>,
        frames: &mut Vec<CodeAddress>,
    ) -> StackEnd {
        self.calls += 1;
        if !self.spaces.contains_key(&space.stamp()) {
            self.make_room();
            let unwinder = unwinder_of(space, images);
            self.spaces.insert(space.stamp(), Space { unwinder, cache: framehop::CacheNative::new(), used: 0 });
        }
        let Space { unwinder, cache, used } = self.spaces.get_mut(&space.stamp()).expect("inserted above");
        *used = self.calls;
        let first = frames.len();
        let mut read = |address| stack.word(address).ok_or(());
        let mut iterator = unwinder.iter_frames(registers.ip, framehop_registers(registers), cache, &mut read);
        loop {
            match iterator.next() {
                Ok(Some(FrameAddress::InstructionPointer(ip))) => frames.push(CodeAddress::Ip(ip)),
                Ok(Some(FrameAddress::ReturnAddress(address))) => frames.push(CodeAddress::Return(address)),
                Ok(None) | Err(framehop::Error::ReturnAddressIsNull) => return root(space, frames.last()),
                Err(framehop::Error::CouldNotReadStack(address)) if stack.is_behind(address) => {
                    return StackEnd::Truncated(Truncation::StackCopy);
                }
                Err(error) => return end(error, space, images, frames.last()),
            }
            if frames.len() - first >= MOST_FRAMES {
                return StackEnd::Truncated(Truncation::TooDeep);
            }
        }
    }

    fn make_room(&mut self) {
        if self.spaces.len() < KEPT_SPACES {
            return;
        }
        let mut uses: Vec<u64> = self.spaces.values().map(|space| space.used).collect();
        uses.sort_unstable();
        let median = uses[uses.len() / 2];
        self.spaces.retain(|_, space| space.used > median);
    }
}

/// A stack that ends without an error is complete if its last frame is in known code; a null frame pointer in unknown
/// code proves nothing.
fn root(space: &AddressSpace, last: Option<&CodeAddress>) -> StackEnd {
    match last.and_then(|address| space.find(address.lookup())) {
        Some(_) => StackEnd::Root,
        None => StackEnd::Truncated(Truncation::NotMapped),
    }
}

/// How a stack ended at which framehop gave up.
fn end(error: framehop::Error, space: &AddressSpace, images: &Images, last: Option<&CodeAddress>) -> StackEnd {
    let Some(mapping) = last.and_then(|address| space.find(address.lookup())) else {
        return StackEnd::Truncated(Truncation::NotMapped);
    };
    let offset = last.map_or(0, |address| mapping.offset_of(address.lookup()));
    let image = images.get(mapping.image);
    if image.is_none_or(|image| !is_covered(image, offset)) {
        let is_entry = image.is_some_and(|image| is_entry(image, offset));
        return if is_entry { StackEnd::Root } else { StackEnd::Truncated(Truncation::NoUnwindInfo) };
    }
    StackEnd::Truncated(match error {
        framehop::Error::CouldNotReadStack(_) => Truncation::Unreadable,
        _ => Truncation::NoProgress,
    })
}

/// Whether code without unwind information is that at which the kernel starts the program or its loader: nothing calls it
/// (System V ABI, "Process Initialization"). glibc's loader has 61 bytes of it, in assembly.
fn is_entry(image: &ElfImage, offset: u64) -> bool {
    const LENGTH: u64 = 64;
    let distance = image.svma_of_offset(offset).and_then(|svma| svma.checked_sub(image.entry()));
    distance.is_some_and(|distance| distance < LENGTH)
}

/// Whether the image has unwind information for the code at `offset`; where there is no index of it to look that up
/// quickly, whether it has any at all.
fn is_covered(image: &ElfImage, offset: u64) -> bool {
    if image.program_header_eh_frame_hdr().is_none() {
        return [".eh_frame", ".debug_frame"].iter().any(|name| image.section(name).is_some());
    }
    image.svma_of_offset(offset).is_some_and(|svma| function_starts(image, &[svma]) != [None])
}

fn unwinder_of(space: &AddressSpace, images: &Images) -> Framehop {
    let mut unwinder = Framehop::new();
    for mapping in space.mappings() {
        if let Some(image) = images.get(mapping.image)
            && let Some(module) = module_of(mapping, image)
        {
            unwinder.add_module(module);
        }
    }
    unwinder
}

fn module_of(mapping: &Mapping, image: &std::sync::Arc<ElfImage>) -> Option<Module<SectionBytes>> {
    let base = image.bias_of_mapping(mapping.start, mapping.offset, mapping.end - mapping.start)?;
    let range = |name: &str| image.section(name).map(|section| section.svma..section.svma.saturating_add(section.size));
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: range(".text"),
        text: None,
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame: image.section_bytes(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: image.section_bytes(".eh_frame_hdr"),
        debug_frame: image.section_bytes(".debug_frame"),
        stubs_svma: None,
        stub_helper_svma: None,
        unwind_info: None,
        text_segment_svma: None,
        text_segment: None,
    };
    Some(Module::new(String::new(), mapping.start..mapping.end, base, sections))
}

#[cfg(target_arch = "x86_64")]
fn framehop_registers(registers: &Registers) -> framehop::x86_64::UnwindRegsX86_64 {
    framehop::x86_64::UnwindRegsX86_64::new(registers.ip, registers.sp, registers.fp)
}

#[cfg(target_arch = "aarch64")]
fn framehop_registers(registers: &Registers) -> framehop::aarch64::UnwindRegsAarch64 {
    // User addresses have at most 48 bits unless a program asks for more; the bits above may be a pointer's signature.
    let mask = framehop::aarch64::PtrAuthMask::from_max_known_address(0x0000_ffff_ffff_ffff);
    framehop::aarch64::UnwindRegsAarch64::new_with_ptr_auth_mask(mask, registers.lr, registers.sp, registers.fp)
}
