//! Loads an object file into the kernel: its types, its maps and those of its programs that are wanted.
//!
//! ```text
//! object --> variables set --> fields relocated by the kernel's types --> maps made --> maps and calls relocated --> programs
//! ```
//! Reading of object files and relocation are aya-obj's; calls of bpf(2) are ours. Our objects have no kinds of types that came
//! later than Linux 5.2, so none is to be replaced for an older kernel.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::btf::{Btf, BtfFeatures};
use aya_obj::generated::bpf_map_type;
use aya_obj::{EbpfSectionKind, Object, ProgramSection};

use super::kernel_types::{Attached, Types};
use super::sys::{self, Map, MapShape, ProgramKind, ProgramShape};
use crate::error::{Error, ErrorKind, Result};

const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// What is not as the object file says.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Values of variables that programs cannot write to.
    pub globals: Vec<(&'static str, Vec<u8>)>,
    /// How many entries maps have.
    pub entries: Vec<(&'static str, u32)>,
}

/// The kernel has refused a program.
#[derive(Debug)]
pub struct Refusal {
    /// What it said to the call.
    pub error: io::Error,
    /// What its verifier said.
    pub log: String,
}

/// Programs that can be given to the kernel.
#[derive(Debug)]
pub struct Relocated {
    object: Object,
    /// Those that are wanted, and the numbers of the types that stand for what they are attached to.
    wanted: Vec<(String, aya_obj::Program, u32)>,
    types: OwnedFd,
    /// The maps by which instructions name them: they stay while programs are loaded, whatever becomes of the others.
    _maps: Vec<OwnedFd>,
}

/// Makes all maps of an object file, and those of its programs ready that `is_wanted`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where the kernel has no BTF, or the object does not fit to it; else what the kernel says.
pub fn make(
    bytes: &[u8],
    changes: &Changes,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<(HashMap<String, Map>, Relocated)> {
    let mut object = parse(bytes, changes)?;
    let kernel = std::fs::read(KERNEL_TYPES).map_err(|error| no_types(error.into()))?;
    let programs: Vec<_> = object.programs.clone().into_iter().filter(|(name, _)| is_wanted(name)).collect();
    let places: Vec<Attached<'_>> = programs.iter().filter_map(|(name, one)| attached(name, &one.section)).collect();
    let (types, numbers) = needed(&object, &kernel, &places)?;
    drop(kernel);
    let number = |to: Attached<'_>| numbers.get(&to).copied().ok_or_else(|| no_place(to));
    let numbers: Vec<u32> =
        programs.iter().map(|(name, one)| attached(name, &one.section).map_or(Ok(0), number)).collect::<Result<_>>()?;
    let own = object.fixup_and_sanitize_btf(&BtfFeatures::new(true, true, true, true, true, true, true, true));
    let own = own.map_err(unfit)?.map(Btf::to_bytes).unwrap_or_default();
    let own = sys::load_types(&own).map_err(|error| cannot("load types", error))?;
    object.relocate_btf(&types).map_err(unfit)?;
    let maps = make_maps(&mut object, changes, own.as_fd())?;
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let named = maps.values().map(|(_, made)| made.as_fd().try_clone_to_owned()).collect::<io::Result<Vec<_>>>();
    let named = named.map_err(|error| cannot("keep maps", error))?;
    let places = maps.iter().zip(&named).map(|((name, (map, _)), made)| (name.as_str(), made.as_raw_fd(), map));
    object.relocate_maps(places, &text).map_err(unfit)?;
    object.relocate_calls(&text).map_err(unfit)?;
    let wanted = programs.into_iter().zip(numbers).map(|((name, one), number)| (name, one, number)).collect();
    let maps = maps.into_iter().map(|(name, (_, made))| (name, made)).collect();
    Ok((maps, Relocated { object, wanted, types: own, _maps: named }))
}

impl Relocated {
    /// Gives the programs to the kernel; `refused` makes an error of a refusal.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn load(&self, refused: fn(&str, Refusal) -> Error) -> Result<HashMap<String, OwnedFd>> {
        let mut programs = HashMap::new();
        for (name, program, number) in &self.wanted {
            let function = &self.object.functions[&program.function_key()];
            let (functions, lines) = (function.func_info.func_info_bytes(), function.line_info.line_info_bytes());
            let shape = ProgramShape {
                name,
                license: &program.license,
                instructions: &function.instructions,
                kind: match program.section {
                    ProgramSection::BtfTracePoint => ProgramKind::Tracepoint,
                    ProgramSection::Iter { sleepable } => ProgramKind::Iterator { sleepable },
                    _ => ProgramKind::Event,
                },
                attached_to: *number,
                types: self.types.as_fd(),
                functions: (&functions, function.func_info_rec_size as u32),
                lines: (&lines, function.line_info_rec_size as u32),
            };
            let loaded = load_program(&shape).map_err(|refusal| refused(name, refusal))?;
            programs.insert(name.clone(), loaded);
        }
        Ok(programs)
    }
}

fn parse(bytes: &[u8], changes: &Changes) -> Result<Object> {
    let mut object = Object::parse(bytes).map_err(unfit)?;
    let globals = changes.globals.iter().map(|(name, value)| (*name, (value.as_slice(), true))).collect();
    object.patch_map_data(globals).map_err(unfit)?;
    Ok(object)
}

/// The types of the kernel that the object names, and the numbers of what programs are attached to.
fn needed<'a>(object: &Object, kernel: &[u8], attached: &[Attached<'a>]) -> Result<(Btf, HashMap<Attached<'a>, u32>)> {
    let own = object.btf.as_ref().map(Btf::to_bytes).unwrap_or_default();
    let names = Types::new(&own).and_then(|own| own.structures());
    let found = Types::new(kernel).zip(names).and_then(|(kernel, names)| kernel.find(&names, attached));
    let (bytes, numbers) = found.ok_or_else(|| no_types("they are in a format that is not known".into()))?;
    Ok((Btf::parse(&bytes, object.endianness).map_err(unfit)?, numbers))
}

fn no_types(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the kernel's types (BTF) cannot be read from {KERNEL_TYPES}"))
        .with_source(error)
        .with_hint("a kernel with CONFIG_DEBUG_INFO_BTF is needed for BPF")
}

fn no_place(to: Attached<'_>) -> Error {
    let what = match to {
        Attached::Tracepoint(name) => format!("tracepoint {name}"),
        Attached::Iterator(name) => format!("iterator of each {name}"),
    };
    Error::new(ErrorKind::Unsupported, format!("this kernel has no {what} for BPF programs"))
}

fn unfit(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unsupported, "cannot load BPF programs").with_source(error)
}

/// What else the loader says of a refusal is that of one map or another.
pub(super) fn not_permitted(what: &str, errno: i32) -> Error {
    Error::new(ErrorKind::Permission, what)
        .with_source(io::Error::from_raw_os_error(errno))
        .with_hint("BPF needs root, or CAP_BPF and CAP_PERFMON: `profile doctor` says what is missing")
}

fn cannot(what: &str, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno @ (libc::EPERM | libc::EACCES)) => not_permitted("cannot load BPF programs", errno),
        _ => Error::io(format!("cannot {what} for BPF programs"), error),
    }
}

/// The tracepoint of a program.
pub fn tracepoint(program: &str) -> &str {
    match program {
        "sched_fork" => "sched_process_fork",
        "sched_exec" => "sched_process_exec",
        "sched_exit" => "sched_process_exit",
        name => name,
    }
}

fn attached<'a>(name: &'a str, section: &ProgramSection) -> Option<Attached<'a>> {
    match section {
        ProgramSection::BtfTracePoint => Some(Attached::Tracepoint(tracepoint(name))),
        ProgramSection::Iter { .. } => Some(Attached::Iterator("task")),
        _ => None,
    }
}

/// Makes all maps; a map of maps is told by one of those that will be in it, which is gone when all are made.
fn make_maps(
    object: &mut Object,
    changes: &Changes,
    types: BorrowedFd<'_>,
) -> Result<HashMap<String, (aya_obj::Map, Map)>> {
    let mut maps = HashMap::new();
    for (name, mut map) in object.maps.drain() {
        if let Some((_, entries)) = changes.entries.iter().find(|(of, _)| *of == name) {
            map.set_max_entries(*entries);
        }
        let make = |name: &str, map: &aya_obj::Map, inner: Option<&Map>| {
            sys::make_map(name, &shape(map, types, inner))
                .map_err(|error| cannot(&format!("make the map {name}"), error))
        };
        let inner = map.inner().map(|inner| make(&name, &inner, None)).transpose()?;
        let made = make(&name, &map, inner.as_ref())?;
        if !map.data().is_empty() {
            made.update(&0u32.to_ne_bytes(), map.data()).map_err(|error| cannot("set variables", error))?;
        }
        if map.section_kind() == EbpfSectionKind::Rodata {
            sys::freeze(&made).map_err(|error| cannot("set variables", error))?;
        }
        maps.insert(name, (map, made));
    }
    Ok(maps)
}

fn shape<'a>(map: &aya_obj::Map, types: BorrowedFd<'a>, inner: Option<&'a Map>) -> MapShape<'a> {
    let kind = map.map_type();
    // The kernel takes no types of what is in these.
    let is_untyped = [bpf_map_type::BPF_MAP_TYPE_RINGBUF, bpf_map_type::BPF_MAP_TYPE_ARRAY_OF_MAPS]
        .iter()
        .any(|it| *it as u32 == kind);
    let typed = match map {
        aya_obj::Map::Btf(map) if !is_untyped => Some((types, map.def.btf_key_type_id, map.def.btf_value_type_id)),
        _ => None,
    };
    MapShape {
        kind,
        key: map.key_size(),
        value: map.value_size(),
        entries: map.max_entries(),
        flags: map.map_flags(),
        inner: inner.map(Map::as_fd),
        typed,
    }
}

/// Loads a program; if it is refused, once more, to be told why.
fn load_program(shape: &ProgramShape<'_>) -> std::result::Result<OwnedFd, Refusal> {
    /// The verifier's words on a large program are some MB.
    const MOST: usize = 16 << 20;
    let error = match sys::load_program(shape, &mut []) {
        Ok(program) => return Ok(program),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Err(Refusal { error, log: String::new() }),
        Err(error) => error,
    };
    let mut log = vec![0; 64 << 10];
    loop {
        match sys::load_program(shape, &mut log) {
            Ok(program) => return Ok(program),
            Err(more) if more.raw_os_error() == Some(libc::ENOSPC) && log.len() < MOST => log = vec![0; log.len() * 4],
            Err(_) => {
                let length = memchr::memchr(0, &log).unwrap_or(log.len());
                return Err(Refusal { error, log: String::from_utf8_lossy(&log[..length]).into_owned() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relocated by the types that are named, programs are what they are by all types of the kernel.
    #[test]
    fn fields_are_where_all_types_say() {
        let Ok(kernel) = std::fs::read(KERNEL_TYPES) else {
            return crate::skip::here("this kernel tells no types");
        };
        let relocated = |types: &Btf| {
            let mut object = Object::parse(super::super::load::OBJECT).expect("it is one");
            object.relocate_btf(types).expect("they fit");
            object.functions
        };
        let object = Object::parse(super::super::load::OBJECT).expect("it is one");
        let tracepoints = ["sched_switch", "sched_waking", "sched_wakeup", "sched_wakeup_new"];
        let attached: Vec<_> = tracepoints.into_iter().map(Attached::Tracepoint).collect();
        let attached = [attached, vec![Attached::Iterator("task")]].concat();
        let (few, numbers) = needed(&object, &kernel, &attached).expect("they are known");
        let all = Btf::parse(&kernel, object.endianness).expect("they are types");
        assert!(few.to_bytes().len() * 20 < kernel.len(), "{} of {}", few.to_bytes().len(), kernel.len());
        for (key, function) in relocated(&all) {
            let bytes = |function: &aya_obj::Function| format!("{:?}", function.instructions);
            assert_eq!(bytes(&function), bytes(&relocated(&few)[&key]), "{}", function.name);
        }
        for tracepoint in tracepoints {
            let number = all.id_by_type_name_kind(&format!("btf_trace_{tracepoint}"), aya_obj::btf::BtfKind::Typedef);
            assert_eq!(numbers[&Attached::Tracepoint(tracepoint)], number.expect("it is there"));
        }
        let number = all.id_by_type_name_kind("bpf_iter_task", aya_obj::btf::BtfKind::Func).expect("it is there");
        assert_eq!(numbers[&Attached::Iterator("task")], number);
    }
}
