//! What instructions tell against what call frame information says, for all code of real libraries that has it.

use super::*;
use gimli::{CfaRule, RegisterRule, UnwindContext};
use std::path::Path;

/// Where the return address is by call frame information, if by stack or frame pointer.
fn by_tables(image: &ElfImage, svma: u64, context: &mut UnwindContext<usize>) -> Option<(u64, Base, i32)> {
    let entry = image.frame_tables().find(image, svma)?;
    let row = entry.row(svma, context)?;
    let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
    let Some(RegisterRule::Offset(-8)) = row.register(gimli::Register(16)) else { return None };
    let base = match register.0 {
        7 => Base::Sp,
        6 => Base::Fp,
        _ => return None,
    };
    Some((entry.start(), base, i32::try_from(offset).ok()? - 8))
}

#[derive(Debug, Default)]
struct Account {
    addresses: u32,
    /// The first place is right.
    first: u32,
    /// Another one is.
    other: u32,
    /// There is none, or none that is right.
    wrong: u32,
    nothing: u32,
    /// The same by what precedes.
    start_right: u32,
    start_wrong: u32,
}

/// All instructions of every `stride`th function, so that it ends.
fn compare(path: &Path, stride: usize) -> Option<Account> {
    let image = ElfImage::open(path).ok().filter(|image| image.machine() == 62)?;
    let mut context = UnwindContext::new();
    let mut account = Account::default();
    let text = image.section(".text")?;
    let (mut svma, mut functions, mut last) = (text.svma, 0, 0);
    let mut is_dead = false;
    while svma < text.svma + text.size {
        let Some(bytes) = code(&image, svma) else { break };
        let Some((length, effect)) = decode(bytes) else {
            svma += 1;
            continue;
        };
        let here = svma;
        svma += length as u64;
        // What fills the place up to the next function, or to a jump's target, is never run.
        let is_nop = is_padding(&bytes[..length], 16 - length as u64);
        let was_dead = std::mem::replace(&mut is_dead, false);
        if was_dead && is_nop
            || matches!(effect, Effect::Return | Effect::Jump(_) | Effect::Anywhere | Effect::Away | Effect::Leap)
        {
            is_dead = true;
        }
        if was_dead && is_nop {
            continue;
        }
        let Some((start, base, ra)) = by_tables(&image, here, &mut context) else { continue };
        functions += usize::from(start != last);
        last = start;
        if functions % stride != 0 {
            continue;
        }
        account.addresses += 1;
        // By another register it may be the same place.
        let is_right = |place: Place| place.base != base || place.ra == ra;
        match to_return(&image, here) {
            Return::At(places) => {
                let mut places = places.into_iter().flatten();
                if places.next().is_some_and(is_right) {
                    account.first += 1;
                } else if places.any(is_right) {
                    account.other += 1;
                } else {
                    account.wrong += 1;
                }
            }
            _ => account.nothing += 1,
        }
        match from_start(&image, start, here) {
            Some(place) if is_right(place) => account.start_right += 1,
            Some(_) => account.start_wrong += 1,
            None => {}
        }
    }
    Some(account)
}

#[test]
fn instructions_say_what_tables_say() {
    for (file, stride) in
        [("/lib/x86_64-linux-gnu/libc.so.6", 160), ("/lib/x86_64-linux-gnu/libm.so.6", 160), ("/bin/bash", 80)]
    {
        let Some(account) = compare(Path::new(file), stride) else {
            println!("SKIPPED: no {file} here");
            continue;
        };
        println!("{file}: {account:?}");
        let share = |part: u32| f64::from(part) / f64::from(account.addresses);
        assert!(account.addresses > 300, "{file}: {account:?}");
        assert!(share(account.first) > 0.93 && share(account.wrong) < 0.02, "{file}: {account:?}");
        assert!(share(account.start_wrong) < 0.01 && share(account.start_right) > 0.5, "{file}: {account:?}");
    }
}
