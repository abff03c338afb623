//! Lengths and effects against what the disassembler says of whole programs.

use super::*;
use std::process::Command;

#[test]
fn effects() {
    for (bytes, expected) in [
        (&[0x55][..], Effect::Push(5)),
        (&[0x41, 0x57], Effect::Push(15)),
        (&[0x5d], Effect::Pop(5)),
        (&[0x41, 0x5d], Effect::Pop(13)),
        (&[0x48, 0x83, 0xec, 0x18], Effect::Add(-0x18)),
        (&[0x48, 0x83, 0xc4, 0x08], Effect::Add(8)),
        (&[0x48, 0x81, 0xec, 0, 1, 0, 0], Effect::Add(-0x100)),
        (&[0x49, 0x83, 0xec, 0x18], Effect::None),
        (&[0x48, 0x83, 0xe4, 0xf0], Effect::Unknown),
        (&[0x48, 0x89, 0xe5], Effect::ToFrame(0)),
        (&[0x48, 0x89, 0xec], Effect::FromFrame(0)),
        (&[0x48, 0x8d, 0x65, 0xd8], Effect::FromFrame(-0x28)),
        (&[0x48, 0x8d, 0x64, 0x24, 0x10], Effect::Add(0x10)),
        (&[0x48, 0x89, 0xe0], Effect::None),
        (&[0x48, 0x8d, 0x3d, 0x10, 0, 0, 0], Effect::Address(0x10)),
        (&[0xe8, 1, 0, 0, 0], Effect::Call(Some(1))),
        (&[0xff, 0xd0], Effect::Call(None)),
        (&[0xff, 0x25, 0, 0, 0, 0], Effect::Leap),
        (&[0xff, 0xe0], Effect::Anywhere),
        (&[0x0f, 0x05], Effect::SystemCall),
        (&[0xeb, 0xfe], Effect::Jump(-2)),
        (&[0x0f, 0x84, 4, 0, 0, 0], Effect::Branch(4)),
        (&[0xf3, 0x0f, 0x1e, 0xfa], Effect::Landing),
        (&[0xf3, 0xc3], Effect::Return),
        (&[0xc9], Effect::Leave),
        (&[0x0f, 0x0b], Effect::Away),
    ] {
        assert_eq!(decode(bytes), Some((bytes.len(), expected)), "{bytes:x?}");
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_none_or(|(length, _)| length <= cut), "{bytes:x?}");
        }
    }
    assert_eq!(decode(&[0x66; 40]), None);
}

/// Effect by the text of `objdump`, for those that can be told from it easily.
fn by_text(text: &str) -> Option<Effect> {
    let text = text.trim_start_matches(['r', 'e', 'p', 'z', 'n', ' ', 'b', 'd']);
    Some(match text.split_whitespace().next()? {
        "ret" => Effect::Return,
        "leave" => Effect::Leave,
        "ud2" | "hlt" | "int3" => Effect::Away,
        _ => return None,
    })
}

#[test]
fn lengths_are_those_of_the_disassembler() {
    let mut instructions = 0;
    for file in ["/bin/bash", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libm.so.6"] {
        let Ok(output) = Command::new("objdump").args(["-d", "-j", ".text", "--insn-width=16", file]).output() else {
            return crate::skip::here("no objdump here");
        };
        if !output.status.success() {
            crate::skip::here(&format!("no {file} here"));
            continue;
        }
        let listed = String::from_utf8_lossy(&output.stdout);
        for line in listed.lines() {
            let mut columns = line.split('\t');
            let (Some(_), Some(bytes), Some(text)) = (columns.next(), columns.next(), columns.next()) else { continue };
            let bytes: Option<Vec<u8>> = bytes.split_whitespace().map(|it| u8::from_str_radix(it, 16).ok()).collect();
            let Some(mut bytes) = bytes.filter(|bytes| !bytes.is_empty() && !text.contains("(bad)")) else { continue };
            let length = bytes.len();
            bytes.extend([0; 16]);
            let Some((found, effect)) = decode(&bytes) else { panic!("{file}: {line}") };
            // The disassembler shows a prefix alone, and `fwait` with what comes next.
            if found != length && (length == 1 || bytes[0] == 0x9b) {
                continue;
            }
            assert_eq!(found, length, "{file}: {line}");
            let writes_sp = text.trim_end().ends_with(",%rsp") && !text.starts_with("cmp") && !text.starts_with("test");
            let known = matches!(effect, Effect::Add(_) | Effect::FromFrame(_) | Effect::Unknown);
            assert_eq!(writes_sp, known, "{file}: {line} {effect:?}");
            assert_eq!(text.starts_with("push"), matches!(effect, Effect::Push(_)), "{file}: {line} {effect:?}");
            assert!(by_text(text).is_none_or(|expected| expected == effect), "{file}: {line} {effect:?}");
            instructions += 1;
        }
    }
    println!("{instructions} instructions");
}
