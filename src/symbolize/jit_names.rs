//! Names that runtimes give to the code that they make, as they are shown: without what tells versions of one function apart,
//! without parameters, and with as much of the file as tells functions of one name apart.
//!
//! ```text
//! V8      JS:*hot /srv/app/src/a.js:1:14                     hot src/a.js:1:14      /srv/app/src/a.js, line 1
//! Java    int com.Nested$$Lambda$1/0x7f33.f(int, int)        com.Nested$$Lambda$1.f
//! Java    Lcom/Nested;::f(II)I                               com.Nested.f           by perf-map-agent and JVMTI agents
//! Python  py::Shop.sell:/srv/app/shop.py                     Shop.sell app/shop.py  /srv/app/shop.py
//! .NET    void [Shop] Shop.Till::Sell(int32)[OptimizedTier1] Shop.Till::Sell
//! PHP     TRACE-1$Till::sell$12                              Till::sell (trace at line 12)
//! ```
//! Sources: `CodeEventLogger` and `V8_CODE_EVENT` tags of V8 (src/logging/log.cc), `CodeCache::write_perf_map` of OpenJDK
//! (src/hotspot/share/code/codeCache.cpp), `perf_map_get_file` users of CPython (Python/perf_trampoline.c),
//! `PerfMap::LogJITCompiledMethod` of CoreCLR (src/coreclr/vm/perfmap.cpp), PHP's
//! opcache (ext/opcache/jit/zend_jit_trace.c).

use rustc_hash::FxHashMap;

/// A name as it is shown, and where its function is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tidy<'a> {
    pub shown: String,
    /// Empty if the name does not tell.
    pub file: &'a str,
    /// 0 if the name does not tell.
    pub line: u32,
}

/// How much of a file's path is shown.
#[derive(Clone, Copy, Debug)]
enum Paths {
    /// The file and the folder that it is in: many files are called `index.js`.
    Short,
    Whole,
}

impl Paths {
    /// `node:internal/url` stays as it is.
    fn of(self, path: &str) -> &str {
        let is_path = path.starts_with(['/', '.']);
        let folder = path.rfind('/').and_then(|last| path[..last].rfind('/'));
        match self {
            Paths::Short => folder.filter(|_| is_path).map_or(path, |at| &path[at + 1..]),
            Paths::Whole => path,
        }
    }
}

/// The tidy form of a name; nothing if it is shown as it is.
pub(super) fn tidy(raw: &[u8]) -> Option<Tidy<'_>> {
    tidy_with(raw, Paths::Short)
}

/// The names of a list that would be shown alike although they are of different files, with how they are shown instead.
pub(super) fn told_apart<'a>(names: impl Iterator<Item = (&'a [u8], &'a str)>) -> FxHashMap<&'a [u8], String> {
    let mut alike: FxHashMap<&str, Vec<(&[u8], Tidy<'_>)>> = FxHashMap::default();
    for (raw, shown) in names {
        if let Some(tidy) = tidy_with(raw, Paths::Whole).filter(|tidy| !tidy.file.is_empty()) {
            alike.entry(shown).or_default().push((raw, tidy));
        }
    }
    let differ = |group: &Vec<(&[u8], Tidy<'_>)>| group.iter().any(|(_, tidy)| tidy.file != group[0].1.file);
    let groups = alike.into_values().filter(differ);
    groups.flatten().map(|(raw, tidy)| (raw, tidy.shown)).collect()
}

fn tidy_with(raw: &[u8], paths: Paths) -> Option<Tidy<'_>> {
    let name = std::str::from_utf8(raw).ok()?;
    let dotnet = || dotnet(name).map(shown);
    script(name, paths)
        .or_else(|| python(name, paths))
        .or_else(|| php(name))
        .or_else(|| descriptor(name).map(shown))
        .or_else(dotnet)
        .or_else(|| java(name).map(shown))
}

fn shown<'a>(shown: String) -> Tidy<'a> {
    Tidy { shown, ..Tidy::default() }
}

/// Of V8: a tag, a mark of the compiler that made it (none, or `~` interpreter, `^` and `+` quick compilers, `*` optimizing one),
/// the name, which is empty for a function without one and a script's own code, and where that is.
fn script(name: &str, paths: Paths) -> Option<Tidy<'_>> {
    let (tag, rest) = name.split_once(':')?;
    if !["JS", "LazyCompile", "Function", "Script", "Eval", "Callback"].contains(&tag) {
        return None;
    }
    let rest = rest.strip_prefix(['~', '^', '+', '*']).unwrap_or(rest);
    let numbered = |text: &str| -> Option<(usize, u32)> {
        let (before, number) = text.rsplit_once(':')?;
        Some((before.len(), number.parse().ok()?))
    };
    // A name may have a blank in it, as that of a getter.
    let begins = [" /", " node:", " file:", " http"].into_iter().filter_map(|mark| rest.find(mark)).min();
    let begins = begins.or_else(|| rest.find(' ').filter(|at| numbered(&rest[*at..]).is_some()));
    let (function, place) = begins.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]));
    let function = if function.is_empty() { "(anonymous)" } else { function };
    if place.is_empty() {
        return Some(shown(function.to_owned()));
    }
    let (file, line) = match numbered(place) {
        Some((end, last)) => match numbered(&place[..end]) {
            Some((end, line)) => (&place[..end], line),
            None => (&place[..end], last),
        },
        None => (place, 0),
    };
    let file = file.strip_prefix("file://").unwrap_or(file);
    let where_in = &place[place.rfind(file).map_or(place.len(), |at| at + file.len())..];
    Some(Tidy { shown: format!("{function} {}{where_in}", paths.of(file)), file, line })
}

/// `JIT$hot` of a function, `TRACE-1$hot$2` of a trace that begins at a line of it; `JIT$$leave` is a helper of the JIT.
fn php(name: &str) -> Option<Tidy<'_>> {
    if let Some(function) = name.strip_prefix("JIT$").filter(|function| !function.starts_with('$')) {
        return Some(shown(function.to_owned()));
    }
    let (number, rest) = name.strip_prefix("TRACE-")?.split_once('$')?;
    let (function, line) = rest.rsplit_once('$')?;
    let line: u32 = line.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Tidy { shown: format!("{function} (trace at line {line})"), file: "", line })
}

fn python(name: &str, paths: Paths) -> Option<Tidy<'_>> {
    let (function, file) = name.strip_prefix("py::")?.split_once(':')?;
    let shown = format!("{function} {}", paths.of(file));
    // What is frozen into the interpreter has no file.
    Some(Tidy { shown, file: if file.starts_with('<') { "" } else { file }, line: 0 })
}

/// A class as class files have it, and a method: `Lcom/foo/Bar;::baz(I)V`, `Lcom/foo/Bar;baz`.
fn descriptor(name: &str) -> Option<String> {
    let (class, method) = name.strip_prefix('L')?.split_once(';')?;
    let method = method.strip_prefix("::").unwrap_or(method);
    let method = method.split('(').next().filter(|method| !method.is_empty())?;
    let is_class = !class.is_empty() && class.chars().all(|c| c.is_alphanumeric() || "/_$-.".contains(c));
    is_class.then(|| format!("{}.{method}", without_address(&class.replace('/', "."))))
}

/// A method as HotSpot prints one: the type that it returns, class and method, the types of its parameters.
fn java(name: &str) -> Option<String> {
    let name = name.strip_suffix(')')?;
    let (before, parameters) = name.split_once('(')?;
    let (returned, method) = before.split_once(' ')?;
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "._$/[]<>+-".contains(c));
    let is_type = |text: &str| !text.is_empty() && is_name(text);
    let types = parameters.is_empty() || parameters.split(", ").all(is_type);
    let (class, _) = method.rsplit_once('.')?;
    (types && is_type(returned) && is_type(class) && is_name(method)).then(|| without_address(method))
}

/// `Nested$$Lambda$1/0x00007f3354000a08.compare` is at another address in each run. Where there is no number, as since JDK 21, the
/// address is all that tells the lambdas of a class apart.
fn without_address(method: &str) -> String {
    let Some((class, rest)) =
        method.split_once("/0x").filter(|(class, _)| class.ends_with(|c: char| c.is_ascii_digit()))
    else {
        return method.to_owned();
    };
    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    format!("{class}{}", &rest[end..])
}

/// `instance void [Assembly] Namespace.Class::Method(types)[Tier]`.
fn dotnet(name: &str) -> Option<String> {
    let (before, tier) = name.strip_suffix(']')?.rsplit_once('[')?;
    let is_tier = ["PreJIT", "MinOptJitted", "Optimized", "QuickJitted", "Instrumented", "Unknown", "ReadyToRun"];
    is_tier.iter().any(|known| tier.starts_with(known)).then_some(())?;
    let method = before.split('(').next()?;
    let (_, method) =
        method.rsplit_once("] ").or_else(|| method.rsplit_once(']')).or_else(|| method.rsplit_once(' '))?;
    method.contains("::").then(|| method.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &str) {
        let found = tidy(raw.as_bytes());
        let line = found.as_ref().map(|tidy| format!("{}|{}|{}", tidy.shown, tidy.file, tidy.line));
        assert_eq!(line.as_deref().unwrap_or("as it is"), expected, "{raw}");
    }

    #[test]
    fn scripts_of_one_function_have_one_name() {
        for tier in ["*", "^", "+", "~", ""] {
            check(&format!("JS:{tier}hotA /tmp/jit/fib.js:1:14"), "hotA jit/fib.js:1:14|/tmp/jit/fib.js|1");
        }
        check("LazyCompile:*f file:///srv/app/my src/a b.mjs:10:5", "f my src/a b.mjs:10:5|/srv/app/my src/a b.mjs|10");
        check("JS:~ node:internal/main/run:1:1", "(anonymous) node:internal/main/run:1:1|node:internal/main/run|1");
        check("Script:~ /app.js:1:1", "(anonymous) /app.js:1:1|/app.js|1");
        check("Function:get x", "get x||0");
        check("JS:^get x /a/b/c.js:3:4", "get x b/c.js:3:4|/a/b/c.js|3");
        check("JS:*f evalmachine.<anonymous>:3:4", "f evalmachine.<anonymous>:3:4|evalmachine.<anonymous>|3");
        check("JS:*f", "f||0");
        check("Builtin:ArrayMap", "as it is");
        check("RegExp:a:b", "as it is");
    }

    #[test]
    fn files_that_end_alike_are_told_apart() {
        let raw: [&[u8]; 5] = [
            b"JS:*f /srv/node_modules/a/lib/index.js:1:14",
            b"JS:~f /srv/node_modules/a/lib/index.js:1:14",
            b"JS:~f /srv/node_modules/b/lib/index.js:1:14",
            b"JS:~f /srv/src/index.js:1:14",
            b"JS:*f /srv/src/index.js:1:14",
        ];
        let shown = raw.map(|raw| tidy(raw).unwrap().shown);
        let apart = told_apart(raw.into_iter().zip(shown.iter().map(String::as_str)));
        let shown = raw.map(|raw| apart.get(raw).map_or_else(|| tidy(raw).unwrap().shown, String::clone));
        let (a, b) = ("f /srv/node_modules/a/lib/index.js:1:14", "f /srv/node_modules/b/lib/index.js:1:14");
        assert_eq!(shown, [a, a, b, "f src/index.js:1:14", "f src/index.js:1:14"]);
    }

    #[test]
    fn methods_of_java_lose_their_types() {
        check("int Nested.hot(int, int)", "Nested.hot||0");
        check("java.lang.Object[] java.util.Arrays.copyOf(java.lang.Object[], int)", "java.util.Arrays.copyOf||0");
        check("void java.lang.Object.<init>()", "java.lang.Object.<init>||0");
        check("int Nested$$Lambda$1/0x00007f3354000a08.compare(java.lang.Object)", "Nested$$Lambda$1.compare||0");
        check("boolean A$$Lambda/0x00007f3354000a08.test(int)", "A$$Lambda/0x00007f3354000a08.test||0");
        check("boolean A$$Lambda.0x00007f3354000a08.test(int)", "A$$Lambda.0x00007f3354000a08.test||0");
        check("Lcom/foo/Bar;::baz(I)V", "com.foo.Bar.baz||0");
        check("Lcom/foo/Bar;baz", "com.foo.Bar.baz||0");
        for name in [
            "Interpreter",
            "StubRoutines (1)",
            "I2C/C2I adapters",
            "foo(int)",
            "a b(c)",
            "operator new(unsigned long)",
            "L;x",
        ] {
            check(name, "as it is");
        }
    }

    #[test]
    fn python_and_dotnet_lose_their_marks() {
        check("py::K.m:/tmp/jit/f.py", "K.m jit/f.py|/tmp/jit/f.py|0");
        check("py::main:<frozen site>", "main <frozen site>||0");
        check("void [Shop] Shop.Till::Sell(int32,class X)[OptimizedTier1]", "Shop.Till::Sell||0");
        check(
            "instance bool [System.Private.CoreLib]System.String::Equals(string)[PreJIT]",
            "System.String::Equals||0",
        );
        check("TRACE_1[x]", "as it is");
        check("JIT$Till::sell", "Till::sell||0");
        check("JIT$$leave_function", "as it is");
        check("TRACE-12$Till::sell$7", "Till::sell (trace at line 7)||7");
        check("TRACE-x$a$b", "as it is");
        check("\u{e9}[PreJIT]", "as it is");
    }

    #[test]
    fn names_of_any_bytes_are_survived() {
        for bytes in
            [&b"JS:"[..], b"JS:*", b"py::", b"py:::", b"L;", b"(", b")", b"[PreJIT]", b"JS: :::", b"\xff", b"JS:\xff"]
        {
            let _ = tidy(bytes);
        }
    }
}
