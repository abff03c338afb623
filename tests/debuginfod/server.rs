//! Servers on loopback: one that has files, and ones that do what no server should.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server does when it is asked for a file.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Sends the files that it has, by their path (`/buildid/HEX/debuginfo`), and 404 else.
    Files(BTreeMap<String, PathBuf>),
    /// Sends these bytes as they are: head and body.
    Says(Vec<u8>),
    /// Begins a file, and sends a byte of it now and then.
    Drips,
    /// Sends without end.
    Floods,
    /// Accepts, and says nothing.
    Hangs,
    /// Ends the connection at once.
    HangsUp,
    /// Sends to another place of its own, over and over.
    Circles,
}

/// A server on a port of its own; what it was asked for is kept.
#[derive(Debug)]
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(manner: Manner) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = asked.clone();
        // It ends with the test process, as nobody asks any more.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manner, heard) = (manner.clone(), heard.clone());
                std::thread::spawn(move || serve(stream, &manner, &heard));
            }
        });
        Server { url, asked }
    }

    /// The paths that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, manner: &Manner, heard: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        line.clear();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim_end() != "" {
            line.clear();
        }
        line.clear();
        heard.lock().unwrap().push(path.clone());
        if answer(&mut out, manner, &path).is_none() {
            return;
        }
    }
}

/// Answers; nothing if the connection is not to be used any more.
fn answer(out: &mut TcpStream, manner: &Manner, path: &str) -> Option<()> {
    match manner {
        Manner::Files(files) => match files.get(path).and_then(|file| fs::read(file).ok()) {
            Some(bytes) => {
                write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).ok()?;
                out.write_all(&bytes).ok()
            }
            None => out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found").ok(),
        },
        Manner::Says(bytes) => {
            out.write_all(bytes).ok()?;
            None
        }
        Manner::Drips => {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n\x7fELF").ok()?;
            loop {
                std::thread::sleep(Duration::from_millis(50));
                out.write_all(b"x").ok()?;
            }
        }
        Manner::Floods => {
            out.write_all(b"HTTP/1.1 200 OK\r\n\r\n\x7fELF").ok()?;
            loop {
                out.write_all(&[0; 4096]).ok()?;
            }
        }
        Manner::Hangs => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        Manner::HangsUp => None,
        Manner::Circles => write!(out, "HTTP/1.1 302 Found\r\nLocation: {path}x\r\nContent-Length: 0\r\n\r\n").ok(),
    }
}
