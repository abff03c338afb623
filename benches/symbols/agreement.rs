//! Whether our frames and names are those of llvm-symbolizer, and if not, what is different.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flameprofile::symbolize::SymbolizeOptions;

/// Differences of each class that are printed.
const SHOWN: usize = 3;

/// The share of addresses with the same functions by the same names; `None` if there is no llvm-symbolizer.
pub fn with_llvm(file: &Path, svmas: &[u64]) -> Option<f64> {
    let theirs = by_llvm(file, svmas)?;
    let (profile, frames) =
        super::named(file, svmas.iter().copied(), &SymbolizeOptions { demangle: false, ..Default::default() });
    let aliases = aliases(file);
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for ((svma, frame), theirs) in svmas.iter().zip(&frames).zip(&theirs) {
        let ours: Vec<(&str, u32)> = profile
            .lines_of(*frame)
            .iter()
            .map(|line| (profile.strings.get(profile.functions[line.function.index()].raw_name), line.line))
            .collect();
        let theirs: Vec<(&str, u32)> = theirs.iter().map(|(name, line)| (name.as_str(), *line)).collect();
        let class = class_of(&ours, &theirs, &aliases);
        let count = classes.entry(class).or_default();
        *count += 1;
        if *count <= SHOWN && !class.starts_with("equal") {
            println!("  {svma:#x}: {class}\n    ours   {ours:?}\n    theirs {theirs:?}");
        }
    }
    for (class, count) in &classes {
        println!("  {count:>6} of {}: {class}", svmas.len());
    }
    let equal: usize = classes.iter().filter(|(class, _)| class.starts_with("equal")).map(|(_, count)| count).sum();
    Some(equal as f64 / svmas.len() as f64)
}

fn class_of(ours: &[(&str, u32)], theirs: &[(&str, u32)], aliases: &BTreeMap<String, u64>) -> &'static str {
    let names = |frames: &[(&str, u32)]| frames.iter().map(|frame| frame.0.to_owned()).collect::<Vec<_>>();
    if ours == theirs {
        return "equal, with all lines";
    }
    if names(ours) == names(theirs) {
        return "equal but for a line";
    }
    if ours.len() != theirs.len() {
        return if theirs.is_empty() { "unnamed by llvm" } else { "another number of frames" };
    }
    let different: Vec<usize> = (0..ours.len()).filter(|at| ours[*at].0 != theirs[*at].0).collect();
    // llvm-symbolizer names the outer function by the symbol table, and we by its debug information.
    if different == [ours.len() - 1] {
        let (ours, theirs) = (ours[different[0]].0, theirs[different[0]].0);
        if shown(ours) == shown(theirs) {
            return "equal as shown; llvm's outer function is the symbol of a clone, a part or another instance (.llvm., .cold, C1 and C2)";
        }
        let address = |name: &str| aliases.get(name);
        if address(ours).is_some() && address(ours) == address(theirs) {
            return "another symbol of the same function (alias)";
        }
        return "another outer name";
    }
    "another inlined name"
}

/// A name as it is shown: demangled, without parameters, hashes and what compilers append.
fn shown(raw: &str) -> String {
    if let Ok(name) = rustc_demangle::try_demangle(raw) {
        return format!("{name:#}");
    }
    let plain = raw.split('.').next().expect("a split has a first part");
    let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
    let name = cpp_demangle::Symbol::new(plain).ok().and_then(|name| name.demangle_with_options(&options).ok());
    name.unwrap_or_else(|| plain.to_owned())
}

/// The address of each symbol.
fn aliases(file: &Path) -> BTreeMap<String, u64> {
    use object::{Object, ObjectSymbol};
    let bytes = std::fs::read(file).expect("it can be read");
    let elf = object::File::parse(&*bytes).expect("it is an ELF file");
    elf.symbols().filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.address()))).collect()
}

/// Mangled names and lines of each address, innermost first.
fn by_llvm(file: &Path, svmas: &[u64]) -> Option<Vec<Vec<(String, u32)>>> {
    let mut command = Command::new("llvm-symbolizer");
    command.args(["-f", "-i", "-a", "--no-demangle", "--output-style=GNU", "-e"]).arg(file);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut input = child.stdin.take().expect("it is piped");
    let text: String = svmas.iter().map(|svma| format!("{svma:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("names are text");
    writer.join().expect("it ends").expect("it reads all");
    let mut answers: Vec<Vec<(String, u32)>> = Vec::new();
    let mut lines = output.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            answers.push(Vec::new());
            continue;
        }
        let place = lines.next().expect("a place follows a name").split(" (discriminator").next().expect("it is text");
        let number = place.rsplit_once(':').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
        if line != "??" {
            answers.last_mut().expect("an address comes first").push((line.to_owned(), number));
        }
    }
    assert_eq!(answers.len(), svmas.len());
    Some(answers)
}
