//! Names addresses of an ELF file with one of the crates: `symbol_peers ENGINE FILE ADDRESSES`.
//!
//! ADDRESSES is a file of addresses as the ELF file states them, each of 8 bytes, lowest first; they are asked for in that order.
//! Prints how many frames there were and how many bytes their names and files have, so that nothing is optimized away.

use std::{env, fs};

use addr2line::Loader;
use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolizer};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [engine, file, addresses] = &words[..] else { panic!("ENGINE FILE ADDRESSES") };
    let bytes = fs::read(addresses).expect("the addresses can be read");
    let addresses: Vec<u64> = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let (frames, bytes) = match engine.as_str() {
        "addr2line" => by_addr2line(file, &addresses, true),
        "addr2line-mangled" => by_addr2line(file, &addresses, false),
        "blazesym" => by_blazesym(file, &addresses),
        other => panic!("no engine {other}"),
    };
    println!("{frames} {bytes}");
}

fn by_addr2line(file: &str, addresses: &[u64], demangle: bool) -> (usize, usize) {
    let loader = Loader::new(file).expect("it is an ELF file");
    let (mut frames, mut bytes) = (0, 0);
    for address in addresses {
        let mut found = loader.find_frames(*address).expect("its debug information is whole");
        while let Some(frame) = found.next().expect("its debug information is whole") {
            frames += 1;
            if let Some(function) = &frame.function {
                let name = if demangle { function.demangle() } else { function.raw_name() };
                bytes += name.map_or(0, |name| name.len());
            }
            if let Some(location) = frame.location {
                bytes += location.file.map_or(0, str::len) + location.line.unwrap_or(0) as usize % 2;
            }
        }
    }
    (frames, bytes)
}

fn by_blazesym(file: &str, addresses: &[u64]) -> (usize, usize) {
    let source = Source::Elf(Elf::new(file));
    let symbolizer = Symbolizer::new();
    let (mut frames, mut bytes) = (0, 0);
    for batch in addresses.chunks(10_000) {
        let answers = symbolizer.symbolize(&source, Input::VirtOffset(batch)).expect("it is an ELF file");
        for symbol in answers.iter().filter_map(|answer| answer.as_sym()) {
            frames += 1 + symbol.inlined.len();
            bytes += symbol.name.len() + symbol.inlined.iter().map(|inlined| inlined.name.len()).sum::<usize>();
            let inlined = symbol.inlined.iter().filter_map(|inlined| inlined.code_info.as_ref());
            let places = symbol.code_info.as_deref().into_iter().chain(inlined);
            bytes += places.map(|place| place.file.len() + place.line.unwrap_or(0) as usize % 2).sum::<usize>();
        }
    }
    (frames, bytes)
}
