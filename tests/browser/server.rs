//! A server on the loopback interface: files with the headers that a test wants, and a list of what was asked for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Type, further header lines, content.
type File = (&'static str, String, String);

/// Serves until the process ends.
pub struct Server {
    pub port: u16,
    files: Arc<Mutex<BTreeMap<String, File>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start() -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, files: Arc::default(), asked: Arc::default() };
        let (files, asked) = (Arc::clone(&server.files), Arc::clone(&server.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, asked) = (Arc::clone(&files), Arc::clone(&asked));
                // A browser opens connections that it does not use at once.
                std::thread::spawn(move || answer(stream, &files, &asked));
            }
        });
        server
    }

    /// Serves `text` as `name`, with header lines.
    pub fn put(&self, name: &str, headers: &[(&str, &str)], text: &str) {
        let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.files.lock().unwrap().insert(format!("/{name}"), (kind, headers, text.to_owned()));
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// What was asked for since the last call; the browser's own question for an icon is left out.
    pub fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().filter(|path| path != "/favicon.ico").collect()
    }
}

fn answer(stream: TcpStream, files: &Mutex<BTreeMap<String, File>>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or("").to_owned();
    asked.lock().unwrap().push(path.clone());
    let file = files.lock().unwrap().get(path.split('?').next().unwrap()).cloned();
    let (status, (kind, headers, text)) = match file {
        Some(file) => ("200 OK", file),
        None => ("404 Not Found", ("text/plain", String::new(), String::new())),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let _ = (&stream).write_all(head.as_bytes()).and_then(|()| (&stream).write_all(text.as_bytes()));
}
