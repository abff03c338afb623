//! What both `record` and `import` do with a profile: the arguments that say how it is shown, and the showing.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flameprofile::analyze::{CallTree, Direction, View};
use flameprofile::model::{Origin, Profile};
use flameprofile::render::bar::Bars;
use flameprofile::render::folded::FoldedOptions;
use flameprofile::render::name::printable;
use flameprofile::render::top::TopOptions;
use flameprofile::render::{PictureOptions, Shape, folded, html, relatives, summary, svg, top, warnings};
use flameprofile::session::{PerfData, Written};
use flameprofile::symbolize::SymbolizeOptions;
use flameprofile::{Error, ErrorKind, Result, export, render};

use super::output::{self, OutputFile};
use super::perf_data;
use super::style::{self, Paint};

/// Where to write, and what.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// The file to write; its extension chooses the format [default: standard output]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The format [default: by extension; a table on a terminal, else an SVG]
    #[arg(short, long, value_enum, help_heading = "Output")]
    pub format: Option<Format>,
    /// A level for each thread
    #[arg(long, help_heading = "Output")]
    pub per_thread: bool,
    /// Processes of one name apart, by their ids
    #[arg(long, help_heading = "Output")]
    pub per_process: bool,
    /// The picture's title [default: what was recorded]
    #[arg(long, help_heading = "Output")]
    pub title: Option<String>,
    /// How the picture is drawn
    #[arg(long, value_enum, default_value_t = PictureView::Flame, help_heading = "Output")]
    pub view: PictureView,
    /// The function that `--view sandwich` is of, by its name or a part of it that no other has: its callers above it, its callees below
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    pub function: Option<String>,
    /// What colours say
    #[arg(long, value_enum, default_value_t = Palette::Type, help_heading = "Output")]
    pub palette: Palette,
    /// Frames narrower than so many pixels are merged into one grey frame; 0: every frame is drawn [default: 0.1]
    #[arg(long, value_name = "PIXELS", value_parser = pixels, help_heading = "Output")]
    pub min_width: Option<f64>,
    /// Names as the linker has them
    #[arg(long, help_heading = "Output")]
    pub no_demangle: bool,
    /// Demangled names with parameters, return types and hashes
    #[arg(long, help_heading = "Output")]
    pub full_names: bool,
    /// Functions as they were called, without those that the compiler inlined into them
    #[arg(long, help_heading = "Output")]
    pub no_inline: bool,
    /// With -f folded: `_[k]`, `_[i]`, `_[j]`, `_[w]` at the end of kernel, inlined, JIT-compiled and waking functions, for FlameGraph's
    /// and inferno's colours
    #[arg(long, help_heading = "Output")]
    pub annotate: bool,
    /// With the table: who called this function, by its name or a part of it that no other has
    #[arg(long, value_name = "NAME", conflicts_with = "callees", help_heading = "Output")]
    pub callers: Option<String>,
    /// With the table: what this function called, named likewise
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    pub callees: Option<String>,
    /// A file for the summary as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub stats: Option<PathBuf>,
    /// No progress and no summary on standard error; errors and warnings remain
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

impl OutputArgs {
    /// How pictures are drawn.
    pub fn picture(&self) -> PictureOptions {
        let default = PictureOptions::default();
        PictureOptions {
            title: self.title.clone().unwrap_or_default(),
            min_width: self.min_width.unwrap_or(default.min_width),
            shape: match self.view {
                PictureView::Flame => Shape::Flame,
                PictureView::Icicle => Shape::Icicle,
                PictureView::Reverse => Shape::Reverse,
                PictureView::Chart => Shape::Chart,
                PictureView::Sandwich => Shape::Sandwich,
            },
            function: self.function.clone(),
            palette: match self.palette {
                Palette::Type => render::Palette::Type,
                Palette::Binary => render::Palette::Binary,
                Palette::Hash => render::Palette::Hash,
                Palette::Own => render::Palette::Own,
            },
            ..default
        }
    }
}

/// A view of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PictureView {
    /// Callees above their callers
    Flame,
    /// Callees below their callers
    Icicle,
    /// From the functions that took the time down to who called them
    Reverse,
    /// In order of time, a lane for each thread
    Chart,
    /// The callers and the callees of one function (--function)
    Sandwich,
}

/// What colours say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Palette {
    /// User, kernel, inlined, JIT, off the CPU
    Type,
    /// The program or library
    Binary,
    /// The name, the same in every picture
    Hash,
    /// How much is a frame's own; not of --view chart, in which nothing is added up
    #[value(name = "self")]
    Own,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A picture that is whole without a script
    Svg,
    /// A page with all views, for large profiles
    Html,
    /// A line a stack, for other tools
    Folded,
    /// The functions that took most; a wait is of the function that waited, not of the kernel's scheduler
    Top,
    /// Everything, for scripts
    Json,
    /// All events, for `go tool pprof`
    Pprof,
    /// All events thread by thread, for speedscope.app
    Speedscope,
    /// All events thread by thread, for profiler.firefox.com (.json.gz is packed)
    Firefox,
    /// All samples, as text like that of `perf script`
    PerfScript,
    /// The records as they come, for `perf report` and others (of a recording, not of an import)
    PerfData,
    /// A comparison as the comment of a pull request (diff and compare)
    #[value(hide = true)]
    Md,
    /// A comparison as JUnit XML, for CI servers (diff and compare)
    #[value(hide = true)]
    Junit,
    /// A comparison as SARIF, for findings beside the source (diff and compare)
    #[value(hide = true)]
    Sarif,
}

impl Format {
    /// The format that a file's name asks for.
    pub fn of_path(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_str()?;
        match path.extension()?.to_str()? {
            "pprof" => Some(Format::Pprof),
            "gz" if name.ends_with(".pb.gz") => Some(Format::Pprof),
            "json" if name.ends_with(".speedscope.json") => Some(Format::Speedscope),
            "json" if name.ends_with(".firefox.json") => Some(Format::Firefox),
            "json" if name.ends_with(".sarif.json") => Some(Format::Sarif),
            "gz" if name.ends_with(".json.gz") => Some(Format::Firefox),
            "svg" => Some(Format::Svg),
            "html" | "htm" => Some(Format::Html),
            "folded" | "txt" => Some(Format::Folded),
            "json" => Some(Format::Json),
            "data" => Some(Format::PerfData),
            "md" => Some(Format::Md),
            "xml" => Some(Format::Junit),
            "sarif" => Some(Format::Sarif),
            _ => None,
        }
    }
}

fn pixels(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1000.0).contains(&number) { Ok(number) } else { Err("between 0 and 1000 pixels".to_owned()) }
}

/// Where a result goes, decided and opened before there is one: a wrong path is to be known early.
#[derive(Debug)]
pub struct Outlet<'a> {
    args: &'a OutputArgs,
    named: Option<&'a Path>,
    format: Format,
    to_terminal: bool,
    file: Option<OutputFile>,
    stats_file: Option<OutputFile>,
}

impl<'a> Outlet<'a> {
    /// Decides on the format and opens the files.
    pub fn open(args: &'a OutputArgs) -> Result<Outlet<'a>> {
        Outlet::open_or(args, Format::Svg)
    }

    /// The same; where nothing says a format and nobody reads at a terminal, it is `otherwise`.
    pub fn open_or(args: &'a OutputArgs, otherwise: Format) -> Result<Outlet<'a>> {
        let named = args.output.as_deref().filter(|path| !output::is_stdout(path));
        let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
        let of_one = args.callers.is_some() || args.callees.is_some();
        let default = if to_terminal || of_one { Format::Top } else { otherwise };
        let format = args.format.or_else(|| Format::of_path(named?)).unwrap_or(default);
        if of_one && format != Format::Top {
            return Err(Error::new(ErrorKind::Usage, "--callers and --callees are of the table")
                .with_hint("add -f top, or leave them out"));
        }
        if let (Some(path), None) = (named, args.format)
            && path.extension().is_some()
            && Format::of_path(path).is_none()
        {
            return Err(Error::new(ErrorKind::Usage, format!("the name {} says no format", path.display()))
                .with_hint("name it .svg, .html, .folded, .txt, .json, .speedscope.json, .firefox.json, .json.gz, .pb.gz or .data (of a comparison .md, .junit.xml or .sarif too), or say the format with -f"));
        }
        let is_picture = matches!(format, Format::Svg | Format::Html);
        if args.view == PictureView::Sandwich && args.function.is_none() && is_picture {
            return Err(Error::new(ErrorKind::Usage, "--view sandwich is of one function")
                .with_hint("name it: --view sandwich --function NAME; `-f top` lists those that there are"));
        }
        if args.function.is_some() && (args.view != PictureView::Sandwich || !is_picture) {
            return Err(Error::new(ErrorKind::Usage, "--function is of --view sandwich, which is a picture")
                .with_hint(
                    "-o out.svg --view sandwich --function NAME; in the table: --callers NAME, --callees NAME",
                ));
        }
        if (args.view, args.palette) == (PictureView::Chart, Palette::Own) && is_picture {
            return Err(Error::new(
                ErrorKind::Usage,
                "--palette self is not of --view chart, in which nothing is added up",
            )
            .with_hint("--palette type, binary or hash"));
        }
        if args.stats.as_deref().is_some_and(output::is_stdout) {
            return Err(Error::new(ErrorKind::Usage, "--stats takes a file: standard output is for the result")
                .with_hint("--stats stats.json"));
        }
        if let (Some(result), Some(stats)) = (named, args.stats.as_deref())
            && output::is_same_file(result, stats)
        {
            return Err(
                Error::new(ErrorKind::Usage, "-o and --stats name the same file").with_hint("give them two names")
            );
        }
        let file = named.map(OutputFile::create).transpose()?;
        let stats_file = args.stats.as_deref().map(OutputFile::create).transpose()?;
        Ok(Outlet { args, named, format, to_terminal, file, stats_file })
    }

    /// Refuses what is written of a comparison of several runs, where there is one profile.
    pub fn refuse_comparisons(&self) -> Result<()> {
        match self.format {
            Format::Md | Format::Junit | Format::Sarif => Err(Error::new(
                ErrorKind::Usage,
                "md, junit and sarif are written of a comparison, and this is one profile",
            )
            .with_hint("profile diff BASE NEW --gate -o report.md; -f html and -f top show one profile")),
            _ => Ok(()),
        }
    }

    /// Which names are asked for: files and lines only where they are shown, as finding them is a third of the work.
    pub fn names(&self) -> SymbolizeOptions {
        SymbolizeOptions {
            inlines: !self.args.no_inline,
            lines: matches!(
                self.format,
                Format::Svg
                    | Format::Html
                    | Format::Json
                    | Format::Pprof
                    | Format::Speedscope
                    | Format::Firefox
                    | Format::Md
                    | Format::Junit
                    | Format::Sarif
            ),
            demangle: !self.args.no_demangle,
            full_names: self.args.full_names,
        }
    }

    /// The format of the result.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the result is for a reader at a terminal.
    pub fn is_to_terminal(&self) -> bool {
        self.to_terminal
    }

    /// Whether the result goes to a standard output that is no terminal.
    pub fn is_piped(&self) -> bool {
        self.file.is_none() && !self.to_terminal
    }

    /// Where records go, if they are what is asked for.
    pub fn records(&self, compress: bool) -> Result<Option<PerfData>> {
        if self.format != Format::PerfData {
            return match compress {
                false => Ok(None),
                true => Err(Error::new(ErrorKind::Usage, "-z packs a perf.data, and nothing else")
                    .with_hint("add -f perf-data, or name the file .data")),
            };
        }
        perf_data::open(self.file.as_ref(), compress).map(Some)
    }

    /// Refuses to ask servers for names where there are none.
    pub fn refuse_servers(&self, is_asked: bool) -> Result<()> {
        match self.format {
            Format::PerfData if is_asked => {
                Err(Error::new(ErrorKind::Usage, "a perf.data has no names, and so no use for debug files")
                    .with_hint("leave --debuginfod out here, and give it to `profile import`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing but errors and warnings is to be said.
    pub fn is_quiet(&self) -> bool {
        self.args.quiet
    }

    /// Writes what there is by now where it can be written over; returns that path.
    pub fn write_before(&self, profile: &Profile) -> Result<Option<String>> {
        let (Some(path), Some(true)) = (self.named, self.file.as_ref().map(OutputFile::is_renamed)) else {
            return Ok(None);
        };
        let (args, format, to_terminal) = (self.args, self.format, self.to_terminal);
        let mut render = |out: &mut dyn Write| write_as(profile, args, format, to_terminal, out);
        OutputFile::create(path)?.finish_with(&mut render)?;
        Ok(Some(path.display().to_string()))
    }

    /// Refuses to write over what is read.
    pub fn refuse_inputs(&self, inputs: &[PathBuf]) -> Result<()> {
        let outputs = self.named.into_iter().chain(self.args.stats.as_deref());
        for (output, input) in outputs.flat_map(|output| inputs.iter().map(move |input| (output, input))) {
            if output::is_same_file(output, input) {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{} is read, and would be written over", input.display()),
                )
                .with_hint("give the result another name"));
            }
        }
        Ok(())
    }

    /// Refuses to write records where there are none any more.
    pub fn refuse_records(&self) -> Result<()> {
        match self.format {
            Format::PerfData => Err(Error::new(
                ErrorKind::Usage,
                "an import cannot be written as perf.data: its records are not kept",
            )
            .with_hint(
                "-f pprof, -f perf-script or -f folded keep what was read; profile record -f perf-data writes records",
            )),
            _ => Ok(()),
        }
    }

    /// Writes what `render` gives in the place of a profile, `stats` where statistics are asked for, and `text` to standard error.
    pub fn write_other(
        self,
        render: &mut output::Render<'_>,
        stats: &serde_json::Value,
        mut text: String,
    ) -> Result<()> {
        match self.file {
            Some(file) => file.finish_with(render)?,
            None => output::to_stdout_with(render)?,
        }
        if let Some(file) = self.stats_file {
            let mut json = serde_json::to_vec_pretty(stats).unwrap_or_default();
            json.push(b'\n');
            file.finish(&json)?;
        }
        if let (Some(path), false) = (self.named, self.args.quiet) {
            text += &format!("wrote {}\n", printable(&path.to_string_lossy()));
        }
        // With standard error closed there is nobody to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
        Ok(())
    }

    /// Writes the result, and says on standard error what it is worth; `written` is how the writing of records went, if they were
    /// what was asked for.
    pub fn write(self, profile: &Profile, written: Option<Written>) -> Result<()> {
        let (args, format, to_terminal) = (self.args, self.format, self.to_terminal);
        let mut render = |out: &mut dyn Write| write_as(profile, args, format, to_terminal, out);
        // That a perf.data is not whole is said last, after what is in it.
        let mut closed = Ok(());
        match (written, self.file) {
            (Some(written), file) => closed = perf_data::close(file, written, &profile.stats),
            (None, Some(file)) => file.finish_with(&mut render)?,
            (None, None) => output::to_stdout_with(&mut render)?,
        }
        let stats = &profile.stats;
        if let Some(file) = self.stats_file {
            let mut json = serde_json::to_vec_pretty(&flameprofile::render::stats_json(stats)).unwrap_or_default();
            json.push(b'\n');
            file.finish(&json)?;
        }
        let paint = Paint::new(std::io::stderr().is_terminal());
        let mut text = if self.args.quiet { String::new() } else { summary(stats) };
        for warning in warnings(stats) {
            text += &format!("{} {warning}\n", paint.yellow("warning:"));
        }
        if let (Some(path), false, Ok(())) = (self.named, self.args.quiet, &closed) {
            text += &format!("wrote {}\n", printable(&path.to_string_lossy()));
        }
        // With standard error closed there is nobody to tell.
        let _ = std::io::stderr().write_all(text.as_bytes());
        closed
    }
}

fn write_as(
    profile: &Profile,
    args: &OutputArgs,
    format: Format,
    to_terminal: bool,
    mut out: &mut dyn Write,
) -> Result<()> {
    let view = View { per_thread: args.per_thread, per_process: args.per_process, ..View::default() };
    match format {
        Format::Svg | Format::Html => write_picture(profile, &view, format, &args.picture(), out),
        Format::Folded => folded::write(profile, &view, &FoldedOptions { annotate: args.annotate }, &mut out),
        Format::Top => {
            let width = if to_terminal { style::terminal_width() } else { None };
            let limit = to_terminal.then_some(30);
            let bars = if style::is_utf8() { Bars::Blocks } else { Bars::Ascii };
            let options = TopOptions { width, color: Paint::new(to_terminal).is_on(), limit, bars };
            let tree = CallTree::build(profile, &view);
            let of = |direction, name: &Option<String>| name.clone().map(|name| (direction, name));
            match of(Direction::Callers, &args.callers).or(of(Direction::Callees, &args.callees)) {
                None => top::write(&tree, profile, &options, &mut out),
                Some((direction, name)) => match top::find(&tree, &name) {
                    Ok(function) => relatives::write(&tree, function, direction, &options, &mut out),
                    Err(error) if is_kept_for(&error, profile) => {
                        let options = TopOptions { limit: Some(30), ..options };
                        top::write(&tree, profile, &options, &mut out)?;
                        say_instead(&error, "the table of all functions");
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            }
        }
        Format::Json => export::json::write(profile, &mut out),
        Format::Pprof => export::pprof::write(profile, &mut out),
        Format::Speedscope => export::speedscope::write(profile, &mut out),
        Format::Firefox => match args.output.as_deref().and_then(Path::extension) {
            Some(extension) if extension == "gz" => export::firefox::write_gz(profile, &mut out),
            _ => export::firefox::write(profile, &mut out),
        },
        Format::PerfScript => export::perf_script::write(profile, &mut out),
        // Written while it was recorded.
        Format::PerfData => Ok(()),
        // Refused before anything was recorded or read.
        Format::Md | Format::Junit | Format::Sarif => Ok(()),
    }
}

/// Writes a picture.
fn write_picture(
    profile: &Profile,
    view: &View,
    format: Format,
    options: &PictureOptions,
    mut out: &mut dyn Write,
) -> Result<()> {
    let mut write = |options: &PictureOptions| match format {
        Format::Html => html::write(profile, view, options, &mut out),
        _ => svg::write(profile, view, options, &mut out),
    };
    match with_function(profile, view, options).and_then(|options| write(&options)) {
        Err(error) if is_kept_for(&error, profile) => {
            write(&PictureOptions { shape: Shape::Flame, function: None, ..options.clone() })?;
            say_instead(&error, "a flame graph");
            Ok(())
        }
        result => result,
    }
}

/// The options with the whole name of the function that is meant.
fn with_function(profile: &Profile, view: &View, options: &PictureOptions) -> Result<PictureOptions> {
    let mut options = options.clone();
    if let Some(name) = &mut options.function {
        let tree = CallTree::build(profile, view);
        let found = top::find(&tree, name)?;
        *name = tree.names.get(found).to_owned();
    }
    Ok(options)
}

/// Whether something else is written in spite of `error`: a recording cannot be made again because it has not what was asked for. A
/// file can be read again.
fn is_kept_for(error: &Error, profile: &Profile) -> bool {
    let is_asked_for = matches!(error.kind(), ErrorKind::Usage | ErrorKind::NotFound);
    is_asked_for && profile.stats.origin == Origin::Recording
}

/// Says what is written in the place of what was asked for.
fn say_instead(error: &Error, what: &str) {
    let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
    let said = format!("{error}{hint}: {what} is written instead");
    let paint = Paint::new(std::io::stderr().is_terminal());
    // With standard error closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{} {}", paint.yellow("warning:"), printable(&said));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_choose_formats() {
        let check =
            |name: &str, expected: Option<Format>| assert_eq!(Format::of_path(Path::new(name)), expected, "{name}");
        check("a/out.svg", Some(Format::Svg));
        check("x.json", Some(Format::Json));
        check("x.speedscope.json", Some(Format::Speedscope));
        check("x.firefox.json", Some(Format::Firefox));
        check("x.json.gz", Some(Format::Firefox));
        check("x.pb.gz", Some(Format::Pprof));
        check("x.txt", Some(Format::Folded));
        check("report.md", Some(Format::Md));
        check("report.junit.xml", Some(Format::Junit));
        check("report.sarif", Some(Format::Sarif));
        check("x.gz", None);
        check("json", None);
    }
}
