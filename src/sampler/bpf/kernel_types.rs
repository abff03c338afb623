//! The kernel's types (BTF), as far as our programs name them.
//!
//! A kernel has some 150,000 types in 6 MB. Programs name a dozen structures, by which the places of their fields are found
//! (CO-RE), and a few types that stand for tracepoints. So all types are gone through once, and those structures are copied with
//! what is inside of them. What a pointer leads to is left out: no place of a field depends on it.
//!
//! ```text
//! | header | types, each as long as its kind says; number 1 first | strings |
//! ```
//! See `Documentation/bpf/btf.rst`.

use std::collections::{HashMap, HashSet, VecDeque};

/// `BTF_KIND_*`, `include/uapi/linux/btf.h`.
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Bytes of a type in front of what its kind adds.
const TYPE: usize = 12;

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attached<'a> {
    /// A tracepoint, by its name.
    Tracepoint(&'a str),
    /// The iterator over what has this name.
    Iterator(&'a str),
}

impl Attached<'_> {
    /// The name and the kind of the type that stands for it (`BTF_TRACE_PREFIX` of libbpf; `DEFINE_BPF_ITER_FUNC`).
    fn named(self) -> (String, u32) {
        match self {
            Attached::Tracepoint(name) => (format!("btf_trace_{name}"), kind::TYPEDEF),
            Attached::Iterator(name) => (format!("bpf_iter_{name}"), kind::FUNC),
        }
    }
}

/// Types in the kernel's format.
#[derive(Clone, Copy, Debug)]
pub struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

/// A type as it is written.
#[derive(Clone, Copy, Debug)]
struct Type<'a> {
    name: u32,
    /// Kind, count and a flag.
    info: u32,
    /// Its size, or the number of another type.
    size_or_type: u32,
    /// What its kind adds.
    rest: &'a [u8],
}

impl Type<'_> {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn is_composite(&self) -> bool {
        matches!(self.kind(), kind::STRUCT | kind::UNION)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl<'a> Types<'a> {
    /// The types of a kernel or of an object file, in the byte order of this machine; nothing if it has another format.
    pub fn new(bytes: &'a [u8]) -> Option<Types<'a>> {
        if u16::from_ne_bytes(*bytes.first_chunk()?) != MAGIC {
            return None;
        }
        let [length, types_at, types, strings_at, strings] =
            [4, 8, 12, 16, 20].map(|at| word(bytes, at).map(|word| word as usize));
        let part = |at: usize, size: usize| bytes.get(length?..)?.get(at..)?.get(..size);
        Some(Types { types: part(types_at?, types?)?, strings: part(strings_at?, strings?)? })
    }

    fn at(&self, place: usize) -> Option<Type<'a>> {
        let [name, info, size_or_type] = [0, 4, 8].map(|at| word(self.types, place + at));
        let (name, info, size_or_type) = (name?, info?, size_or_type?);
        let count = (info & 0xffff) as usize;
        let more = match info >> 24 & 0x1f {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * count,
            kind::ENUM | kind::FUNC_PROTO => 8 * count,
            kind::PTR | kind::FWD | kind::FUNC | kind::FLOAT | kind::TYPE_TAG => 0,
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT => 0,
            // How long it is nobody knows.
            _ => return None,
        };
        Some(Type { name, info, size_or_type, rest: self.types.get(place + TYPE..)?.get(..more)? })
    }

    fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())]
    }

    /// The names of all structures, as programs call them: with `___` and what follows taken away.
    pub fn structures(&self) -> Option<HashSet<Vec<u8>>> {
        let (mut place, mut names) = (0, HashSet::new());
        while place < self.types.len() {
            let found = self.at(place)?;
            if found.is_composite() && found.name != 0 {
                let name = self.name(found.name);
                let flavour = memchr::memmem::find(name, b"___").unwrap_or(name.len());
                names.insert(name[..flavour].to_vec());
            }
            place += TYPE + found.rest.len();
        }
        Some(names)
    }

    /// The structures of these names, with what is inside of them, as types of their own; and the numbers of the types that stand for
    /// what programs are attached to. Nothing if there is a kind among the types that is not known.
    pub fn find<'w>(
        &self,
        structures: &HashSet<Vec<u8>>,
        attached: &[Attached<'w>],
    ) -> Option<(Vec<u8>, HashMap<Attached<'w>, u32>)> {
        let named: Vec<_> = attached.iter().map(|attached| (*attached, attached.named())).collect();
        let (mut places, mut wanted, mut numbers) = (vec![0u32], Vec::new(), HashMap::new());
        let mut place = 0;
        while place < self.types.len() {
            let found = self.at(place)?;
            let number = places.len() as u32;
            places.push(place as u32);
            match found.kind() {
                _ if found.name == 0 => {}
                kind::STRUCT | kind::UNION if structures.contains(self.name(found.name)) => wanted.push(number),
                kind::TYPEDEF | kind::FUNC => {
                    let name = self.name(found.name);
                    let same = |(_, (its, kind)): &&(_, (String, u32))| *kind == found.kind() && its.as_bytes() == name;
                    if name.starts_with(b"b")
                        && let Some((attached, _)) = named.iter().find(same)
                    {
                        numbers.entry(*attached).or_insert(number);
                    }
                }
                _ => {}
            }
            place += TYPE + found.rest.len();
        }
        Some((self.copy(&places, &wanted)?, numbers))
    }

    /// Copies types with what is inside of them.
    fn copy(&self, places: &[u32], wanted: &[u32]) -> Option<Vec<u8>> {
        let mut copied = Copied::default();
        for number in wanted {
            copied.number_of(*number);
        }
        while let Some(number) = copied.next.pop_front() {
            let found = self.at(*places.get(number as usize)? as usize)?;
            let name = copied.string(self.name(found.name));
            match found.kind() {
                kind::STRUCT | kind::UNION => {
                    copied.head(name, found.info, found.size_or_type);
                    for member in found.rest.as_chunks::<12>().0 {
                        let (name, within) = (self.name(word(member, 0)?), word(member, 4)?);
                        let words = [copied.string(name), copied.number_of(within), word(member, 8)?];
                        copied.words(&words);
                    }
                }
                kind::ARRAY => {
                    copied.head(name, found.info, 0);
                    let words = [copied.number_of(word(found.rest, 0)?), 0, word(found.rest, 8)?];
                    copied.words(&words);
                }
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    let of = copied.number_of(found.size_or_type);
                    copied.head(name, found.info, of);
                }
                // Not what its values are called.
                kind::ENUM | kind::ENUM64 => copied.head(name, found.info & !0xffff, found.size_or_type),
                kind::INT => {
                    copied.head(name, found.info, found.size_or_type);
                    copied.words(&[word(found.rest, 0)?]);
                }
                kind::FLOAT | kind::FWD => copied.head(name, found.info, found.size_or_type),
                // Nothing else is inside of a structure.
                _ => copied.head(0, kind::PTR << 24, 0),
            }
        }
        Some(copied.finish())
    }
}

/// Types that are being written.
#[derive(Debug)]
struct Copied {
    types: Vec<u8>,
    strings: Vec<u8>,
    /// The numbers here, by those in the kernel.
    numbers: HashMap<u32, u32>,
    /// Those that have a number and are not written yet.
    next: VecDeque<u32>,
}

impl Default for Copied {
    fn default() -> Copied {
        // The first string is the empty one.
        Copied { types: Vec::new(), strings: vec![0], numbers: HashMap::new(), next: VecDeque::new() }
    }
}

impl Copied {
    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn head(&mut self, name: u32, info: u32, size_or_type: u32) {
        self.words(&[name, info, size_or_type]);
    }

    fn string(&mut self, string: &[u8]) -> u32 {
        if string.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(string);
        self.strings.push(0);
        at
    }

    /// The number of a type here; of none it is 0 here and there.
    fn number_of(&mut self, number: u32) -> u32 {
        if number == 0 {
            return 0;
        }
        let next = self.numbers.len() as u32 + 1;
        *self.numbers.entry(number).or_insert_with(|| {
            self.next.push_back(number);
            next
        })
    }

    fn finish(self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::with_capacity(HEADER + self.types.len() + self.strings.len());
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for word in [HEADER as u32, 0, types, types, strings] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct a { struct { int b; } ; struct c *d; }; struct c { int e; };` and what tracepoint `t` stands for.
    fn some() -> Vec<u8> {
        let mut made = Copied::default();
        let strings =
            ["int", "a", "b", "d", "c", "e", "btf_trace_t", "bpf_iter_t"].map(|text| made.string(text.as_bytes()));
        let [int, a, b, d, c, e, tracepoint, iterator] = strings;
        made.words(&[int, kind::INT << 24, 4, 32]);
        made.words(&[0, kind::STRUCT << 24 | 1, 4, b, 1, 0]);
        made.words(&[c, kind::STRUCT << 24 | 1, 4, e, 1, 0]);
        made.words(&[0, kind::PTR << 24, 3]);
        made.words(&[tracepoint, kind::TYPEDEF << 24, 4]);
        made.words(&[iterator, kind::FUNC << 24, 0]);
        made.words(&[a, kind::STRUCT << 24 | 2, 16, 0, 2, 0, d, 4, 64]);
        made.finish()
    }

    #[test]
    fn what_is_inside_is_copied_and_what_pointers_lead_to_is_not() {
        let bytes = some();
        let types = Types::new(&bytes).expect("they are types");
        assert_eq!(types.structures().expect("all are known"), HashSet::from([b"a".to_vec(), b"c".to_vec()]));
        let attached = [Attached::Tracepoint("t"), Attached::Iterator("t"), Attached::Tracepoint("u")];
        let (copy, numbers) = types.find(&HashSet::from([b"a".to_vec()]), &attached).expect("all are known");
        assert_eq!(numbers, HashMap::from([(attached[0], 5), (attached[1], 6)]));
        let copy = Types::new(&copy).expect("they are types").to_owned_kinds();
        assert_eq!(copy, [kind::STRUCT, kind::STRUCT, kind::PTR, kind::INT]);
    }

    #[test]
    fn what_is_cut_or_of_another_kind_is_nothing() {
        let bytes = some();
        for length in 0..bytes.len() {
            assert!(Types::new(&bytes[..length]).is_none(), "{length}");
        }
        let mut other = bytes;
        other[HEADER + 7] = 0x1f;
        assert!(Types::new(&other).expect("they are types").find(&HashSet::new(), &[]).is_none());
    }

    impl Types<'_> {
        fn to_owned_kinds(self) -> Vec<u32> {
            let (mut place, mut kinds) = (0, Vec::new());
            while let Some(found) = self.at(place) {
                kinds.push(found.kind());
                place += TYPE + found.rest.len();
            }
            kinds
        }
    }
}
