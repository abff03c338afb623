//! Which language runtime a process is, told from the files that it has mapped, and how to have the code named that it makes.

use std::fmt;

/// A language runtime that makes code while it runs, or interprets it.
///
/// Versions are those of the file's name or path; none if it does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Runtime {
    /// Node.js, by V8.
    Node,
    /// Deno, by V8.
    Deno,
    /// A Java virtual machine (HotSpot), with the JDK's version.
    Java(Option<u16>),
    /// .NET (CoreCLR).
    DotNet,
    /// CPython 3, with the minor version.
    Python(Option<u16>),
    /// PHP.
    Php,
    /// Ruby, with its minor version if it is 3.
    Ruby(Option<u16>),
    /// LuaJIT.
    LuaJit,
    /// Wasmtime, as a program.
    Wasmtime,
    /// Mono.
    Mono,
    /// Erlang and Elixir (BEAM).
    Erlang,
    /// Julia.
    Julia,
    /// An emulator of processors.
    Qemu,
    /// PostgreSQL, which compiles queries by LLVM.
    Postgres,
}

/// Has HotSpot write its perf map when it ends, and keep what whole stacks need (`DumpPerfMapAtExit` in
/// src/hotspot/share/runtime/globals.hpp of OpenJDK).
const JAVA_AT_EXIT: &str = "`java -XX:+UnlockDiagnosticVMOptions -XX:+DumpPerfMapAtExit -XX:+PreserveFramePointer ...`";

impl Runtime {
    /// The runtime whose program or library a mapped file is.
    pub fn of_path(path: &[u8]) -> Option<Runtime> {
        let path = std::str::from_utf8(path.strip_suffix(b" (deleted)").unwrap_or(path)).ok()?;
        let name = path.rsplit('/').next()?;
        let is_version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
        let is = |program: &str| name.strip_prefix(program).is_some_and(is_version);
        let is_library = |stem: &str| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.'));
        match name {
            "libjvm.so" => Some(Runtime::Java(java_version(path))),
            "libcoreclr.so" | "libclrjit.so" => Some(Runtime::DotNet),
            "beam.smp" => Some(Runtime::Erlang),
            "deno" => Some(Runtime::Deno),
            "wasmtime" => Some(Runtime::Wasmtime),
            "postgres" => Some(Runtime::Postgres),
            _ if is("node") || is("nodejs") || is_library("libnode") => Some(Runtime::Node),
            _ if is("python") || name.starts_with("libpython3.") => Some(Runtime::Python(minor(name, "python3."))),
            _ if is("php") || is("php-cgi") || is("php-fpm") || name.starts_with("libphp") => Some(Runtime::Php),
            _ if is("ruby") || name.starts_with("libruby") => {
                Some(Runtime::Ruby(minor(name, "ruby3.").or(minor(name, "ruby-3.")).or(minor(name, "libruby.so.3."))))
            }
            _ if name.starts_with("luajit") || name.starts_with("libluajit-") => Some(Runtime::LuaJit),
            _ if is("mono") || is("mono-sgen") || name.starts_with("libmono") => Some(Runtime::Mono),
            _ if is("julia") || is_library("libjulia") || is_library("libjulia-internal") => Some(Runtime::Julia),
            _ if name.starts_with("qemu-") => Some(Runtime::Qemu),
            _ => None,
        }
    }

    /// What to do so that its code has names in the next recording; `running` is the process, if it still runs.
    pub fn advice(self, running: Option<u32>) -> String {
        match self {
            Runtime::Node => "`node --perf-basic-prof --interpreted-frames-native-stack`".into(),
            Runtime::Deno => "`deno run --v8-flags=--perf-basic-prof,--interpreted-frames-native-stack`".into(),
            Runtime::Java(Some(version)) if version < 17 => {
                format!("a JDK from 17 on writes names ({JAVA_AT_EXIT}); this one does not")
            }
            Runtime::Java(_) => match running {
                Some(pid) => format!(
                    "while it runs, `jcmd {pid} Compiler.perfmap`, and record again; or record it until it ends, begun as {JAVA_AT_EXIT}"
                ),
                None => format!("record it until it ends, begun as {JAVA_AT_EXIT}"),
            },
            Runtime::DotNet => "`DOTNET_PerfMapEnabled=1` in its environment".into(),
            Runtime::Python(Some(minor)) if minor < 12 => {
                "from Python 3.12 on `python3 -X perf` names Python's functions; this one cannot".into()
            }
            Runtime::Python(Some(_)) => "`python3 -X perf`, or `PYTHONPERFSUPPORT=1` in its environment".into(),
            Runtime::Python(None) => "`python3 -X perf`, from Python 3.12 on".into(),
            Runtime::Php => "`php -d opcache.enable_cli=1 -d opcache.jit_buffer_size=64M -d opcache.jit=function \
                             -d opcache.jit_debug=16`"
                .into(),
            Runtime::Ruby(Some(minor)) if minor < 3 => {
                "from Ruby 3.3 on `ruby --yjit-perf` names compiled methods; this one cannot".into()
            }
            Runtime::Ruby(_) => "`ruby --yjit-perf`, from Ruby 3.3 on".into(),
            Runtime::LuaJit => {
                "its traces have names only if it was built with `XCFLAGS=-DLUAJIT_USE_PERFTOOLS`".into()
            }
            Runtime::Wasmtime => "`wasmtime run --profile=perfmap`".into(),
            Runtime::Mono => "`mono --jitmap`".into(),
            Runtime::Erlang => "`erl +JPperf true`, or `ERL_FLAGS=\"+JPperf true\"` in its environment".into(),
            Runtime::Julia => "`ENABLE_JITPROFILING=1` in its environment".into(),
            Runtime::Qemu => "`-perfmap`, from QEMU 8.0 on".into(),
            Runtime::Postgres => "`jit_profiling_support=on` when the server is started".into(),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Node => f.write_str("Node.js"),
            Runtime::Deno => f.write_str("Deno"),
            Runtime::Java(Some(version)) => write!(f, "Java {version}"),
            Runtime::Java(None) => f.write_str("Java"),
            Runtime::DotNet => f.write_str(".NET"),
            Runtime::Python(Some(minor)) => write!(f, "Python 3.{minor}"),
            Runtime::Python(None) => f.write_str("Python"),
            Runtime::Php => f.write_str("PHP"),
            Runtime::Ruby(Some(minor)) => write!(f, "Ruby 3.{minor}"),
            Runtime::Ruby(None) => f.write_str("Ruby"),
            Runtime::LuaJit => f.write_str("LuaJIT"),
            Runtime::Wasmtime => f.write_str("Wasmtime"),
            Runtime::Mono => f.write_str("Mono"),
            Runtime::Erlang => f.write_str("Erlang"),
            Runtime::Julia => f.write_str("Julia"),
            Runtime::Qemu => f.write_str("QEMU"),
            Runtime::Postgres => f.write_str("PostgreSQL"),
        }
    }
}

/// The number that stands behind a mark.
fn minor(text: &str, mark: &str) -> Option<u16> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The version of a JDK, as the folder that it is in tells: `java-17-openjdk-amd64`, `jdk-21.0.2`, `temurin-25`, `java-1.8.0`.
fn java_version(path: &str) -> Option<u16> {
    let folders = path.split('/').filter(|folder| folder.contains(['-', '.']) || folder.contains("jdk"));
    folders.rev().find_map(|folder| {
        let digits = folder.find(|c: char| c.is_ascii_digit())?;
        let is_jdk = ["java", "jdk", "jre", "temurin", "zulu", "corretto", "graalvm"];
        is_jdk.iter().any(|mark| folder[..digits].contains(mark)).then_some(())?;
        let mut numbers = folder[digits..].split(|c: char| !c.is_ascii_digit());
        match numbers.next()?.parse() {
            Ok(1) => numbers.next()?.parse().ok(),
            other => other.ok(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_are_told_by_their_files() {
        for (path, expected) in [
            ("/usr/bin/node", Some(Runtime::Node)),
            ("/usr/lib/x86_64-linux-gnu/libnode.so.108", Some(Runtime::Node)),
            ("/usr/bin/nodemon", None),
            ("/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so", Some(Runtime::Java(Some(17)))),
            ("/usr/lib/jvm/java-1.8.0-openjdk/jre/lib/amd64/server/libjvm.so", Some(Runtime::Java(Some(8)))),
            ("/opt/jdk-21.0.2+13/lib/server/libjvm.so", Some(Runtime::Java(Some(21)))),
            ("/app/lib/server/libjvm.so", Some(Runtime::Java(None))),
            ("/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.1/libcoreclr.so", Some(Runtime::DotNet)),
            ("/usr/bin/python3.11", Some(Runtime::Python(Some(11)))),
            ("/usr/bin/python3", Some(Runtime::Python(None))),
            ("/home/u/lib/libpython3.13.so.1.0 (deleted)", Some(Runtime::Python(Some(13)))),
            ("/usr/lib/python3/dist-packages/x.so", None),
            ("/usr/sbin/php-fpm8.2", Some(Runtime::Php)),
            ("/usr/bin/ruby3.1", Some(Runtime::Ruby(Some(1)))),
            ("/usr/lib/x86_64-linux-gnu/libruby-3.1.so.3.1.2", Some(Runtime::Ruby(Some(1)))),
            ("/usr/local/lib/libruby.so.3.4.1", Some(Runtime::Ruby(Some(4)))),
            ("/usr/bin/luajit-2.1.0-beta3", Some(Runtime::LuaJit)),
            ("/usr/lib/erlang/erts-13.1/bin/beam.smp", Some(Runtime::Erlang)),
            ("/usr/bin/qemu-system-x86_64", Some(Runtime::Qemu)),
            ("/usr/bin/cat", None),
            ("", None),
        ] {
            assert_eq!(Runtime::of_path(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(Runtime::of_path(b"/usr/bin/\xff"), None);
    }

    #[test]
    fn advice_can_be_typed() {
        let java = Runtime::Java(Some(17));
        let running = java.advice(Some(4121));
        assert!(running.contains("jcmd 4121 Compiler.perfmap") && running.contains(JAVA_AT_EXIT), "{running}");
        let ended = java.advice(None);
        assert!(ended.contains(JAVA_AT_EXIT) && !ended.contains("jcmd"), "{ended}");
        assert!(!Runtime::Java(Some(11)).advice(Some(4121)).contains("4121"));
        assert_eq!(Runtime::Python(Some(13)).to_string(), "Python 3.13");
    }
}
