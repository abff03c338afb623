//! What code is in: ELF files, opened once, when their mapping is first seen.
//!
//! A file is reached as its process saw it, proven to be the file that was mapped, mapped into our memory and its
//! descriptor closed; it can then be deleted, and its process can end. While recording only headers are read, by
//! `pread`: the map itself costs no resident memory until somebody looks into it.
//!
//! ```text
//! Wanted --> as_seen (which file?) --> elf_headers (what is in it?) --> mapped_file (its bytes) --> ElfImage
//! ```
//!
//! Files of a recording made elsewhere are found by `recorded` instead, by build id; `jitdump` reads the code that a JIT
//! wrote down. `frame_tables` says how its code is unwound, `go_table` what Go says of its own functions. Afterwards
//! `function_starts` says where a function begins that has no symbol.
//!
//! All bytes are hostile: offsets and sizes are bounded before use, and a file that is cut short under us costs the
//! names in it, not our life (see [`MappedFile`]).

mod as_seen;
mod code_history;
mod debug_files;
mod elf_file;
mod elf_headers;
mod elf_image;
mod frame_tables;
mod function_starts;
mod go_table;
mod images;
mod jitdump;
mod links;
mod mapped_file;
mod mini_debug;
mod perf_map;
mod process_root;
mod recorded;
mod refused;
mod search;
mod section_contents;
mod tree;
mod vdso;

pub use as_seen::{Wanted, is_deleted_scratch, is_file_path, open_in_root};
pub use code_history::{CodeHistory, Piece};
pub use debug_files::{DebugFiles, SplitFiles};
pub use elf_file::ElfFile;
pub use elf_headers::{Section, Segment};
pub use elf_image::ElfImage;
pub use frame_tables::{Bytes, FrameEntry, FrameLayer, FramePiece, FrameTables};
pub use function_starts::function_starts;
pub use go_table::{GoFrame, GoSource, GoSources, GoTable};
pub use images::{Generation, Images};
pub use jitdump::{JitCode, JitDump, JitLine, JitMove};
pub use mapped_file::MappedFile;
pub use perf_map::{PerfMap, PerfMapLine, open_perf_map, parse_line, why_unused};
pub use recorded::FileSources;
pub use refused::{Refusal, Refused};
