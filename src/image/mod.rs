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
//! Afterwards `function_starts` says where a function begins that has no symbol.
//!
//! All bytes are hostile: offsets and sizes are bounded before use, and a file that is cut short under us costs the
//! names in it, not our life (see [`MappedFile`]).

mod as_seen;
mod elf_headers;
mod elf_image;
mod function_starts;
mod images;
mod mapped_file;
mod vdso;

pub use as_seen::{Wanted, is_file_path, open_in_root};
pub use elf_headers::{Section, Segment};
pub use elf_image::{ElfImage, SectionBytes};
pub use function_starts::function_starts;
pub use images::Images;
pub use mapped_file::MappedFile;
