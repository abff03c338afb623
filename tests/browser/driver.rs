//! Chromium, driven over WebDriver: plain HTTP on the loopback interface, nothing but the standard library.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

const DRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";

/// One Chromium with a profile directory of its own; it ends with this value.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser, or says aloud why there is none.
    pub fn start(width: u32, height: u32) -> Option<Browser> {
        if !Path::new(DRIVER).exists() || !Path::new(CHROMIUM).exists() {
            crate::skip::here(&format!("{DRIVER} or {CHROMIUM} is not installed"));
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        let command = Command::new(DRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn();
        let mut driver = command.unwrap();
        // "ChromeDriver was started successfully on port 41234."
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port =
            lines.find_map(|line| line.ok()?.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        let mut browser = Browser {
            driver,
            port: port.expect("chromedriver says its port"),
            session: String::new(),
            _profile: profile,
        };
        // Keep reading, so that the driver never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let args = [
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--hide-scrollbars".into(),
            "--deny-permission-prompts".into(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let options = json!({"binary": CHROMIUM, "args": args});
        let logs = json!({"performance": "ALL", "browser": "ALL"});
        // In milliseconds; a script of 30 s, the usual limit, has been seen to run out on a machine that others used too.
        let timeouts = json!({"script": 120_000, "pageLoad": 300_000});
        let capabilities = json!({
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs, "timeouts": timeouts
        });
        let answer = browser.request("POST", "/session", &json!({"capabilities": {"alwaysMatch": capabilities}}));
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    pub fn open(&self, path: &Path) {
        self.open_url(&format!("file://{}", path.display()));
    }

    pub fn open_url(&self, url: &str) {
        self.post("url", &json!({"url": url}));
    }

    pub fn back(&self) {
        self.post("back", &json!({}));
    }

    pub fn forward(&self) {
        self.post("forward", &json!({}));
    }

    pub fn reload(&self) {
        self.post("refresh", &json!({}));
    }

    /// Goes on in another tab.
    pub fn new_tab(&self) {
        let tab = self.post("window/new", &json!({"type": "tab"}));
        self.post("window", &json!({"handle": tab["handle"]}));
    }

    /// A command of the DevTools protocol.
    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// The addresses that were asked for since the last call, each with its kind (`Document`, `Image`, ...).
    pub fn requests(&self) -> Vec<(String, String)> {
        let entries = self.post("se/log", &json!({"type": "performance"}));
        let sent = entries.as_array().unwrap().iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let event = &message["message"];
            (event["method"] == "Network.requestWillBeSent").then(|| {
                let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
                (text(&event["params"]["type"]), text(&event["params"]["request"]["url"]))
            })
        });
        sent.collect()
    }

    /// What the page's console was told since the last call.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({"type": "browser"}));
        let messages =
            entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap_or("").to_owned());
        // A test changes the address faster than a reader does.
        messages.filter(|message| !message.contains("Throttling navigation")).collect()
    }

    /// Runs the body of a function in the page and returns its value.
    pub fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Runs the body of a function whose argument is to be called with its value.
    pub fn run_async(&self, script: &str) -> Value {
        self.post("execute/async", &json!({"script": script, "args": []}))
    }

    /// Runs an expression until it is true; the page's own timers decide when that is.
    pub fn wait_for(&self, expression: &str) {
        for _ in 0..200 {
            if self.run(&format!("return Boolean({expression})")) == Value::Bool(true) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("never true: {expression}; {:?}", self.run("return document.documentElement.textContent.slice(-600)"));
    }

    /// Moves the mouse to the middle of what `expression` gives.
    pub fn hover(&self, expression: &str) {
        self.pointer(expression, &[]);
    }

    pub fn click(&self, expression: &str) {
        self.pointer(
            expression,
            &[json!({"type": "pointerDown", "button": 0}), json!({"type": "pointerUp", "button": 0})],
        );
    }

    fn pointer(&self, expression: &str, then: &[Value]) {
        let place = self.run(&format!(
            "var b = ({expression}).getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]"
        ));
        let at = |index: usize| place[index].as_f64().unwrap_or_else(|| panic!("{expression}: {place}"));
        let mut actions = vec![to(at(0), at(1))];
        actions.extend_from_slice(then);
        self.mouse(actions);
    }

    fn mouse(&self, actions: Vec<Value>) {
        let mouse =
            json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions});
        self.post("actions", &json!({"actions": [mouse]}));
    }

    /// Moves the mouse there.
    pub fn move_to(&self, (x, y): (f64, f64)) {
        self.mouse(vec![to(x, y)]);
    }

    /// Clicks there: 0 is the left button, 2 the right one.
    pub fn click_at(&self, (x, y): (f64, f64), button: u32) {
        let press = |kind: &str| json!({"type": kind, "button": button});
        self.mouse(vec![to(x, y), press("pointerDown"), press("pointerUp")]);
    }

    /// Drags with the left button.
    pub fn drag(&self, (x, y): (f64, f64), (to_x, to_y): (f64, f64)) {
        let press = |kind: &str| json!({"type": kind, "button": 0});
        let steps = vec![
            to(x, y),
            press("pointerDown"),
            to((x + to_x) / 2.0, (y + to_y) / 2.0),
            to(to_x, to_y),
            press("pointerUp"),
        ];
        self.mouse(steps);
    }

    /// Types `keys`; special keys are WebDriver's private characters.
    pub fn keys(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|c| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": c.to_string()})))
            .collect();
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// Types `key` with Control held.
    pub fn control(&self, key: &str) {
        let step = |kind: &str, value: &str| json!({"type": kind, "value": value});
        let actions = [step("keyDown", CONTROL), step("keyDown", key), step("keyUp", key), step("keyUp", CONTROL)];
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// Gives the page that much room; a window cannot be as narrow as a phone.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", size);
        self.wait_for(&format!("innerWidth === {width} && innerHeight === {height}"));
    }

    /// Keeps what is seen as `target/tmp/NAME.png`.
    pub fn screenshot(&self, name: &str) {
        let answer = self.request("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        let path = format!("{}/{name}.png", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(path, base64(answer.as_str().unwrap())).unwrap();
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        self.request("POST", &format!("/session/{}/{what}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(180))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{method} {path}: {value:#}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.request("DELETE", &format!("/session/{}", self.session), &Value::Null);
        } else if !self.session.is_empty() {
            // A second panic here would hide the first one.
            let session = self.session.clone();
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.request("DELETE", &format!("/session/{session}"), &Value::Null)
            }));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn to(x: f64, y: f64) -> Value {
    json!({"type": "pointerMove", "duration": 0, "x": x.round() as i64, "y": y.round() as i64})
}

pub const BACKSPACE: &str = "\u{e003}";
pub const SHIFT: &str = "\u{e008}";
pub const LEFT: &str = "\u{e012}";
pub const ESCAPE: &str = "\u{e00c}";
pub const ENTER: &str = "\u{e006}";
pub const CONTROL: &str = "\u{e009}";
pub const UP: &str = "\u{e013}";
pub const DOWN: &str = "\u{e015}";
pub const RIGHT: &str = "\u{e014}";

/// The bytes of base64 (RFC 4648).
pub fn base64(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter_map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
