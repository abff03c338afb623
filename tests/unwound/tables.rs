//! What the unwind tables of a file say about one place: so that the cause of a difference is looked up and not guessed.

use std::collections::HashMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

use gimli::{BaseAddresses, CfaRule, EhFrame, NativeEndian, RegisterRule, UnwindContext, UnwindSection, X86_64};
use object::{Object, ObjectSection, ObjectSegment};

/// How the caller of a place is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// The tables do not cover it.
    None,
    /// By the stack pointer or the frame pointer, with the return address in memory.
    Ordinary,
    /// The frame is at a distance from another register, or is computed.
    OtherRegister,
    /// The return address is in a register.
    ReturnInRegister,
    /// There is no caller.
    NoCaller,
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// How the caller is found.
    pub row: Row,
    /// Whether the frame pointer is said to be saved below the stack pointer: it has been restored already, by the `pop` before a
    /// `ret`, and the row still says where it was.
    pub restored: bool,
    /// Whether it is where a signal handler returns to.
    pub is_signal: bool,
}

/// The row for the byte at an offset in a file.
pub fn row(path: &str, offset: u64) -> Said {
    static KNOWN: Mutex<Option<HashMap<(String, u64), Said>>> = Mutex::new(None);
    const NOTHING: Said = Said { row: Row::None, restored: false, is_signal: false };
    let key = (path.to_owned(), offset);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.get_or_insert_default().entry(key).or_insert_with(|| look_up(path, offset).unwrap_or(NOTHING))
}

fn look_up(path: &str, offset: u64) -> Option<Said> {
    let bytes = fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let address = file.segments().find_map(|segment| {
        let (start, size) = segment.file_range();
        let distance = offset.checked_sub(start).filter(|distance| *distance < size)?;
        Some(segment.address() + distance)
    })?;
    let section = file.section_by_name(".eh_frame")?;
    let data = section.uncompressed_data().ok()?;
    let text = file.section_by_name(".text").map_or(0, |text| text.address());
    let bases = BaseAddresses::default().set_eh_frame(section.address()).set_text(text);
    let frame = EhFrame::new(&data, NativeEndian);
    let mut context = UnwindContext::new();
    let entry = frame.fde_for_address(&bases, address, EhFrame::cie_from_offset).ok()?;
    let row = entry.unwind_info_for_address(&frame, &bases, &mut context, address).ok()?;
    let frame_by = match row.cfa() {
        CfaRule::RegisterAndOffset { register, .. } if matches!(*register, X86_64::RSP | X86_64::RBP) => Row::Ordinary,
        _ => Row::OtherRegister,
    };
    let restored = match (row.cfa(), row.register(X86_64::RBP)) {
        (CfaRule::RegisterAndOffset { register, offset: from_sp }, Some(RegisterRule::Offset(from_frame))) => {
            *register == X86_64::RSP && from_sp + from_frame < 0
        }
        _ => false,
    };
    let row = match row.register(X86_64::RA) {
        Some(RegisterRule::Undefined) => Row::NoCaller,
        Some(RegisterRule::Register(_)) => Row::ReturnInRegister,
        _ => frame_by,
    };
    Some(Said { row, restored, is_signal: entry.is_signal_trampoline() })
}

/// On what Debian 12 has: the C library's own files.
#[test]
fn rows_are_looked_up() {
    let offset_of = |path: &str, name: &str| {
        let bytes = fs::read(path).ok()?;
        let file = object::File::parse(&*bytes).ok()?;
        let symbol = object::read::ObjectSymbolTable::symbols(&file.dynamic_symbol_table()?)
            .find(|symbol| object::ObjectSymbol::name(symbol) == Ok(name))
            .map(|symbol| object::ObjectSymbol::address(&symbol))?;
        let segment = file
            .segments()
            .find(|segment| segment.address() <= symbol && symbol < segment.address() + segment.size())?;
        Some(symbol - segment.address() + segment.file_range().0)
    };
    let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
    let Some(qsort) = offset_of(libc, "qsort_r") else {
        return crate::common::skip::skip("rows_are_looked_up", "no libc.so.6 of Debian's");
    };
    assert_eq!(row(libc, qsort), Said { row: Row::Ordinary, restored: false, is_signal: false });
    let vfork = offset_of(libc, "vfork").expect("it is there, too");
    // endbr64; pop %rdi: the return address is in a register until the system call has been made.
    assert_eq!(row(libc, vfork + 8).row, Row::ReturnInRegister);
    assert_eq!(row(libc, 0).row, Row::None);
}
