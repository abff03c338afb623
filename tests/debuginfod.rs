//! Debug information by HTTP: it comes from servers that are asked for, names what was stripped, and whatever a server does, there
//! is a picture.

#[macro_use]
mod common;
#[path = "debuginfod/program.rs"]
mod program;
#[path = "debuginfod/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::account::{have, is_root};
use common::run::{binary, finish, stderr, stdout, wait_until};
use program::{Hidden, run, succeed};
use rustix::process::{Pid, Signal, kill_process};
use server::{Manner, Server};

/// All files in a folder and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn with_files(files: &[(String, &Path)]) -> Server {
    let files: BTreeMap<String, PathBuf> =
        files.iter().map(|(path, file)| (path.clone(), file.to_path_buf())).collect();
    Server::start(Manner::Files(files))
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it is ours and was not waited for");
}

/// Debian's server, ended with the test. It listens on every address there is, so it is in a network of its own, with loopback alone.
struct Debuginfod {
    child: Child,
}

impl Debuginfod {
    const URL: &str = "http://127.0.0.1:8002";

    fn start(folder: &Path) -> Debuginfod {
        let mut command = Command::new("unshare");
        command
            .args(["--net", "sh", "-c", "ip link set lo up && exec debuginfod -F -d :memory: -p 8002 \"$0\""])
            .arg(folder);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be started");
        Debuginfod { child }
    }

    /// A command that runs in the server's network.
    fn beside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.child.id())).arg(program);
        command
    }

    fn has(&self, path: &str) -> bool {
        let ask =
            "exec 3<>/dev/tcp/127.0.0.1/8002 && printf 'GET %s HTTP/1.0\\r\\n\\r\\n' \"$0\" >&3 && head -c 12 <&3";
        let mut command = self.beside("bash");
        let asked = command.args(["-c", ask, path]).stderr(Stdio::null()).output();
        asked.is_ok_and(|answer| answer.stdout.ends_with(b" 200"))
    }
}

impl Drop for Debuginfod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn elfutils_server_names_a_stripped_program() {
    need!(have("debuginfod"), "elfutils_server_names_a_stripped_program", "needs debuginfod");
    need!(is_root(), "elfutils_server_names_a_stripped_program", "needs root, for a network of its own");
    need!(have("ip") && have("nsenter"), "elfutils_server_names_a_stripped_program", "needs ip and nsenter");
    let hidden = Hidden::new();
    let served = hidden.path("served");
    fs::create_dir(&served).unwrap();
    fs::copy(&hidden.debug, served.join("hidden.debug")).unwrap();
    let server = Debuginfod::start(&served);
    wait_until("debuginfod has scanned its folder", || server.has(&hidden.request()));

    let record = |command: Command, flags: &[&str]| {
        let mut command = hidden.with_cache(command, "cache");
        command.args(["-F", "499", "-f", "json"]).args(flags).arg("--").arg(&hidden.program).arg("0.5");
        let output = succeed(&mut command);
        (hidden.known(&stdout(&output)), stderr(&output))
    };
    let (known, said) = record(server.beside(binary()), &[&format!("--debuginfod={}", Debuginfod::URL)]);
    assert!(known.is_named(), "{known:?}\n{said}");
    assert!(known.notes.contains("debuginfod: 1 of "), "{}", known.notes);
    let cached = hidden.path("cache").join(&hidden.build_id).join("debuginfo");
    assert_eq!(fs::read(&cached).unwrap(), fs::read(&hidden.debug).unwrap());
    drop(server);

    // The file is there now, for us without any server, and for elfutils.
    let (known, said) = record(Command::new(binary()), &[]);
    assert!(known.is_named(), "{known:?}\n{said}");
    assert!(!known.notes.contains("debuginfod"), "{}", known.notes);
    need!(have("debuginfod-find"), "elfutils_server_names_a_stripped_program", "needs debuginfod-find");
    let mut find = Command::new("debuginfod-find");
    find.args(["debuginfo", &hidden.build_id]).env("DEBUGINFOD_CACHE_PATH", hidden.path("cache"));
    let found = find.env("DEBUGINFOD_URLS", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(stdout(&found).trim_end(), cached.to_str().unwrap(), "{}", stderr(&found));
}

#[test]
fn file_that_elfutils_has_fetched_is_used() {
    need!(have("debuginfod-find"), "file_that_elfutils_has_fetched_is_used", "needs debuginfod-find");
    let hidden = Hidden::new();
    let server = with_files(&[(hidden.request(), &hidden.debug)]);
    let mut find = Command::new("debuginfod-find");
    find.args(["debuginfo", &hidden.build_id]).env("DEBUGINFOD_CACHE_PATH", hidden.path("cache"));
    assert!(find.env("DEBUGINFOD_URLS", &server.url).output().unwrap().status.success());
    let data = hidden.record();
    assert!(hidden.import(&data, "cache", &[], &[]).is_named());
    assert!(!hidden.import(&data, "other", &[], &[]).is_named());
}

#[test]
fn nobody_is_asked_without_the_flag() {
    let hidden = Hidden::new();
    let server = with_files(&[(hidden.request(), &hidden.debug)]);
    let data = hidden.record();
    let urls = [("DEBUGINFOD_URLS", server.url.as_str())];
    assert!(!hidden.import(&data, "cache", &[], &urls).is_named());
    assert_eq!(server.asked(), Vec::<String>::new());
    assert!(hidden.import(&data, "cache", &["--debuginfod"], &urls).is_named());
    assert!(server.asked().contains(&hidden.request()), "{:?}", server.asked());
    // Next time it is there.
    let before = server.asked().iter().filter(|path| **path == hidden.request()).count();
    assert!(hidden.import(&data, "cache", &["--debuginfod"], &urls).is_named());
    assert_eq!(server.asked().iter().filter(|path| **path == hidden.request()).count(), before);

    let mut command = hidden.profile("cache");
    let output = finish(command.args(["import", "--debuginfod"]).arg(&data).spawn());
    // Unless the distribution names one.
    if files(Path::new("/etc/debuginfod")).is_empty() {
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("no debuginfod server is named"), "{}", stderr(&output));
        assert!(stderr(&output).contains("--debuginfod=https://"), "{}", stderr(&output));
    }
}

#[test]
fn program_that_is_not_here_is_fetched_too() {
    let hidden = Hidden::new();
    let data = hidden.record();
    let kept = hidden.path("kept");
    fs::rename(&hidden.program, &kept).unwrap();
    let executable = format!("/buildid/{}/executable", hidden.build_id);
    let server = with_files(&[(hidden.request(), &hidden.debug), (executable.clone(), &kept)]);
    let known = hidden.import(&data, "cache", &[&format!("--debuginfod={}", server.url)], &[]);
    assert!(known.is_named(), "{known:?}");
    assert!(server.asked().contains(&executable), "{:?}", server.asked());
    assert_eq!(known.lines, hidden.import(&data, "cache", &[], &[]).lines);
}

#[test]
fn recording_by_standard_input_is_named_too() {
    let hidden = Hidden::new();
    let data = hidden.record();
    let server = with_files(&[(hidden.request(), &hidden.debug)]);
    let mut command = hidden.profile("cache");
    command.args(["import", "-f", "json", "-", &format!("--debuginfod={}", server.url)]);
    let output = succeed(command.stdin(fs::File::open(data).unwrap()));
    assert!(hidden.known(&stdout(&output)).is_named(), "{}", stderr(&output));
}

#[test]
fn recording_that_cannot_be_read_again_is_shown_as_it_was() {
    let hidden = Hidden::new();
    let data = hidden.record();
    // What is served comes when it is let through, after the recording is gone.
    let gate = hidden.path("gate");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &gate, kind, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, 0).unwrap();
    let server = with_files(&[(hidden.request(), &gate)]);
    let mut command = hidden.profile("cache");
    let child = command.args(["import", "-f", "json", &format!("--debuginfod={}", server.url)]).arg(&data).spawn();
    let child = child.unwrap();
    wait_until("the server is asked", || server.asked().contains(&hidden.request()));
    fs::remove_file(&data).unwrap();
    fs::write(&gate, fs::read(&hidden.debug).unwrap()).unwrap();
    let output = finish(Ok(child));
    assert!(output.status.success(), "{}", stderr(&output));
    let known = hidden.known(&stdout(&output));
    assert!(known.samples > 0 && known.notes.contains("frames were not named with what came"), "{known:?}");
}

#[test]
fn what_no_server_has_is_not_asked_for_again() {
    let hidden = Hidden::new();
    let data = hidden.record();
    let (one, other) = (with_files(&[]), with_files(&[]));
    let urls = format!("--debuginfod={} {}", one.url, other.url);
    let known = hidden.import(&data, "cache", &[&urls], &[]);
    assert!(known.has_skipped("no server has it") && known.samples > 0, "{known:?}");
    let count = |server: &Server| server.asked().iter().filter(|path| **path == hidden.request()).count();
    assert_eq!((count(&one), count(&other)), (1, 1));
    let missing = hidden.path("cache").join(&hidden.build_id).join("debuginfo");
    assert_eq!(fs::metadata(missing).unwrap().len(), 0);
    let known = hidden.import(&data, "cache", &[&urls], &[]);
    assert!(known.has_skipped("no server had it lately"), "{known:?}");
    assert_eq!((count(&one), count(&other)), (1, 1));
}

#[test]
fn file_that_several_programs_share_is_fetched_too() {
    need!(have("dwz"), "file_that_several_programs_share_is_fetched_too", "needs dwz");
    let hidden = Hidden::new();
    let data = hidden.record();
    let [one, other, common] = ["one", "other", "common"].map(|name| hidden.path("apart").join(name));
    fs::copy(&hidden.debug, &one).unwrap();
    fs::copy(&hidden.debug, &other).unwrap();
    let paths = [common.as_os_str(), one.as_os_str(), other.as_os_str()];
    run("dwz", &[&[OsStr::new("-m")], &paths[..1], &paths[1..]].concat());
    let shared = format!("/buildid/{}/debuginfo", program::build_id(&common));
    let server = with_files(&[(hidden.request(), &one), (shared.clone(), &common)]);
    let known = hidden.import(&data, "cache", &[&format!("--debuginfod={}", server.url)], &[]);
    assert!(server.asked().contains(&shared), "{:?}\n{known:?}", server.asked());
    assert!(known.notes.contains("debuginfod: 2 of "), "{}", known.notes);
}

#[test]
fn whatever_a_server_does_there_is_a_picture() {
    let hidden = Hidden::new();
    let data = hidden.record();
    let samples = hidden.import(&data, "none", &[], &[]).samples;
    let whole = fs::read(&hidden.debug).unwrap();
    let other = fs::read(common::programs::c("busy")).unwrap();
    let says = |head: &str, body: &[u8]| Manner::Says([head.as_bytes(), b"\r\n\r\n", body].concat());
    let ok = |body: &[u8]| says(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}", body.len()), body);
    // One server that sends this program's file, at another host and by another scheme.
    let elsewhere = with_files(&[(hidden.request(), &hidden.debug)]);
    let other_host = elsewhere.url.replace("127.0.0.1", "localhost");
    let to = |place: &str| says(&format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {place}"), b"");
    let zeros = packed_zeros();
    let cases = [
        ("html", ok(b"<html>Please log in</html>"), "sent another file"),
        ("empty", ok(b""), "sent another file"),
        ("other", ok(&other), "sent another file"),
        ("cut", says("HTTP/1.1 200 OK", &whole[..whole.len() / 2]), "sent another file"),
        ("short", says("HTTP/1.1 200 OK\r\nContent-Length: 99999", &whole[..100]), "broke off"),
        (
            "bomb",
            says(&format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}", zeros.len()), &zeros),
            "sent another file",
        ),
        ("500", says("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0", b""), "refused"),
        ("406", says("HTTP/1.1 406 Not Acceptable\r\nContent-Length: 0", b""), "larger than the limit"),
        ("huge", says("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999", &whole), "larger than the limit"),
        ("huge2", says("HTTP/1.1 200 OK\r\nX-DEBUGINFOD-SIZE: 99999999999999", &whole), "larger than the limit"),
        ("floods", Manner::Floods, "larger than the limit"),
        ("noise", Manner::Says(vec![b'x'; 100_000]), "not HTTP"),
        ("drips", Manner::Drips, "too slow"),
        ("hangs", Manner::Hangs, "too slow"),
        ("hangs up", Manner::HangsUp, "broke off"),
        ("circles", Manner::Circles, "sent us elsewhere"),
        ("host", to(&format!("{other_host}{}", hidden.request())), "sent us elsewhere"),
        ("scheme", to("file:///etc/passwd"), "sent us elsewhere"),
        ("path", to("//[::"), "sent us elsewhere"),
    ];
    for (name, manner, reason) in cases {
        let server = Server::start(manner);
        let limits = [("DEBUGINFOD_TIMEOUT", "1"), ("DEBUGINFOD_MAXSIZE", "20000000")];
        let known = hidden.import(&data, name, &[&format!("--debuginfod={}", server.url)], &limits);
        assert!(known.has_skipped(reason), "{name}: {known:?}");
        assert_eq!((known.samples, known.is_named()), (samples, false), "{name}: {known:?}");
        assert!(server.asked().contains(&hidden.request()), "{name}");
        assert_eq!(files(&hidden.path(name)), Vec::<PathBuf>::new(), "{name}");
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new());

    // Within the host a redirect is followed.
    let nearby = Server::start(to(&format!("{}{}", elsewhere.url, hidden.request())));
    assert!(hidden.import(&data, "nearby", &[&format!("--debuginfod={}", nearby.url)], &[]).is_named());
    // One that does not answer is no reason not to ask the next.
    let (silent, next) = (Server::start(Manner::Hangs), &elsewhere.url);
    let urls = format!("--debuginfod={} {next}", silent.url);
    assert!(hidden.import(&data, "next", &[&urls], &[("DEBUGINFOD_TIMEOUT", "1")]).is_named());
    // It ends after a time too that each server may take without standing still.
    let slow = Server::start(Manner::Drips);
    let limits = [("DEBUGINFOD_TIMEOUT", "0"), ("DEBUGINFOD_MAXTIME", "1")];
    let known = hidden.import(&data, "long", &[&format!("--debuginfod={}", slow.url)], &limits);
    assert!(known.has_skipped("took too long"), "{known:?}");
    // Nor does it need a cache that can be written.
    fs::write(hidden.path("no folder"), "").unwrap();
    let known = hidden.import(&data, "no folder", &[&format!("--debuginfod={next}")], &[]);
    assert!(known.has_skipped("cache cannot be written") && known.samples == samples, "{known:?}");
}

/// 10 MB of zeros as gzip.
fn packed_zeros() -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 10_000_000]).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn first_picture_is_there_before_the_server_answers() {
    let hidden = Hidden::new();
    let data = hidden.record();
    let server = Server::start(Manner::Hangs);
    let result = hidden.path("result.json");
    let mut command = hidden.profile("cache");
    command.arg("import").arg(&data).arg(format!("--debuginfod={}", server.url)).arg("-o").arg(&result);
    let mut child = command.env("DEBUGINFOD_TIMEOUT", "0").spawn().unwrap();
    wait_until("the picture is there", || result.exists());
    let first = hidden.known(&fs::read_to_string(&result).unwrap());
    assert!(first.samples > 0 && !first.is_named(), "{first:?}");
    wait_until("the server is asked", || !server.asked().is_empty());
    assert_eq!(child.try_wait().unwrap(), None, "it waits for the server");
    interrupt(&child);
    let output = finish(Ok(child));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("asked for at http://127.0.0.1"), "{}", stderr(&output));
    let last = hidden.known(&fs::read_to_string(&result).unwrap());
    assert!(last.has_skipped("not waited for") && last.samples == first.samples, "{last:?}");
    assert_eq!(files(&hidden.path("cache")), Vec::<PathBuf>::new());
}

#[test]
fn interrupted_waiting_keeps_the_recording() {
    let hidden = Hidden::new();
    let server = Server::start(Manner::Hangs);
    // The first Ctrl-C ends the recording, the second the waiting.
    let mut command = hidden.profile("cache");
    command.args(["-F", "499", "-f", "json", &format!("--debuginfod={}", server.url), "-d", "0.5", "--"]);
    let child = command.arg(&hidden.program).arg("60").env("DEBUGINFOD_TIMEOUT", "0").spawn().unwrap();
    wait_until("the server is asked", || !server.asked().is_empty());
    interrupt(&child);
    let output = finish(Ok(child));
    assert!(output.status.success(), "{}", stderr(&output));
    let known = hidden.known(&stdout(&output));
    assert!(known.samples > 0 && known.has_skipped("not waited for"), "{known:?}");
}

#[test]
fn files_come_while_it_is_recorded() {
    let hidden = Hidden::new();
    let server = with_files(&[(hidden.request(), &hidden.debug)]);
    let result = hidden.path("result.json");
    let mut command = hidden.profile("cache");
    command.args(["-F", "499", &format!("--debuginfod={}", server.url), "-o"]).arg(&result);
    let mut child = command.arg("--").arg(&hidden.program).arg("60").spawn().unwrap();
    let cached = hidden.path("cache").join(&hidden.build_id).join("debuginfo");
    wait_until("the file came", || cached.exists());
    assert_eq!(child.try_wait().unwrap(), None, "it still records");
    assert!(!result.exists());
    interrupt(&child);
    let output = finish(Ok(child));
    // The command was told to end.
    assert!(output.status.code().is_some(), "{}", stderr(&output));
    let known = hidden.known(&fs::read_to_string(&result).unwrap());
    assert!(known.is_named(), "{known:?}\n{}", stderr(&output));
    assert_eq!(server.asked().iter().filter(|path| **path == hidden.request()).count(), 1);
}

#[test]
fn records_have_no_use_for_servers() {
    let hidden = Hidden::new();
    let mut command = hidden.profile("cache");
    command.args(["--debuginfod=http://127.0.0.1:1", "-f", "perf-data", "--", "true"]);
    let output = finish(command.spawn());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("has no names"), "{}", stderr(&output));
}
