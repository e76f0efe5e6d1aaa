//! `router:top`: once into a pipe, and live on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, OptionalActions, Winsize};
use serde_json::{Value, json};

use crate::fake::{Fake, ID, ok};

const ALL: &str = "GET /ropewalk/top";
const ONE: &str = "GET /ropewalk/apps/demo/top";

fn row(name: &str, requests: u64, in_flight: Option<u64>, waiting: Option<u64>) -> Value {
    let times = match requests {
        0 => Value::Null,
        _ => json!({"p50": 8, "p95": requests, "p99": 1152}),
    };
    json!({"id": ID, "name": name, "requests": requests, "requests_per_second": requests as f64 / 10.0,
        "response_ms": times,
        "answers": {"1xx": 0, "2xx": requests, "3xx": 1, "4xx": 2, "5xx": 3, "router": 4},
        "in_flight": in_flight, "waiting": waiting, "router_errors": {}, "edge_answers": {}})
}

fn all() -> Value {
    let mut shop = row("shop", 1_230, Some(5), Some(2));
    shop["router_errors"] = json!({"H12": 3, "H27": 1});
    shop["edge_answers"] = json!({"rate-limit": 20});
    json!({"seconds": 10, "measured_seconds": 10, "dynos": [],
        "apps": [row("blog", 7, Some(9), Some(0)), shop, row("wiki", 0, Some(1), Some(0))]})
}

#[test]
fn apps_are_listed_by_their_requests() {
    let fake = Fake::new().on(ALL, 200, all());
    let shown = "\
=== 124 requests/s, 15 in flight, 2 waiting (last 10 s)

App     Requests/s  In flight  Queue  p50   p95      p99      2xx   3xx  4xx  5xx  Router  Codes
──────  ──────────  ─────────  ─────  ────  ───────  ───────  ────  ───  ───  ───  ──────  ───────────────────────────
\u{2b22} shop  123         5          2      8 ms  1230 ms  1152 ms  1230  1    2    3    4       H12 3, H27 1, rate-limit 20
\u{2b22} blog  0.70        9          0      8 ms  7 ms     1152 ms  7     1    2    3    4
\u{2b22} wiki  0.00        1          0      -     -        -        0     1    2    3    4
";
    // A pipe is no terminal: one look.
    for args in [&["router:top"][..], &["router:top", "--once"]] {
        assert_eq!(fake.run(args), ok(shown, ""));
    }
    assert_eq!(fake.requests(), [ALL, ALL]);
    let by_load = fake.run(&["router:top", "--sort", "in-flight", "--top", "1"]);
    let lines: Vec<&str> = by_load.stdout.lines().collect();
    assert!(lines[4].starts_with("\u{2b22} blog"), "{lines:?}");
    assert_eq!(lines[5..], ["\u{2026} and 2 more"]);
    let ran = fake.run(&["router:top", "--json"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, shown), (0, all()));
    let ran = fake.run(&["router:top", "--sort", "colour"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("in-flight"), "{}", ran.stderr);
}

#[test]
fn one_app_is_listed_by_its_dynos() {
    let one = json!({"seconds": 10, "measured_seconds": 4, "apps": [row("demo", 12, None, None)],
        "dynos": [row("web.10", 6, None, None), row("web.2", 6, None, None)]});
    let fake = Fake::new().on(ONE, 200, one);
    let shown = "\
=== 1.20 requests/s, no router is connected (last 10 s, 4 s measured)

Dyno    Requests/s  In flight  Queue  p50   p95    p99      2xx  3xx  4xx  5xx  Router  Codes
──────  ──────────  ─────────  ─────  ────  ─────  ───────  ───  ───  ───  ───  ──────  ─────
\u{2b22} demo  1.20        -          -      8 ms  12 ms  1152 ms  12   1    2    3    4
web.2   0.60        -          -      8 ms  6 ms   1152 ms  6    1    2    3    4
web.10  0.60        -          -      8 ms  6 ms   1152 ms  6    1    2    3    4
";
    assert_eq!(fake.run(&["router:top", "-a", "demo"]), ok(shown, ""));
}

#[test]
fn an_idle_server_says_so() {
    let idle = json!({"seconds": 10, "measured_seconds": 10, "apps": [], "dynos": []});
    let fake = Fake::new().on(ALL, 200, idle);
    let shown = "=== 0.00 requests/s (last 10 s)\n\nNo app has requests.\n";
    assert_eq!(fake.run(&["router:top"]), ok(shown, ""));
}

/// The person's end of a terminal, and a command at the other.
struct Terminal {
    person: File,
    command: OwnedFd,
    seen: Vec<u8>,
}

impl Terminal {
    fn new() -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap().into_bytes();
        let command = File::options()
            .read(true)
            .write(true)
            .open(std::ffi::OsString::from_vec(name))
            .unwrap();
        let size = Winsize {
            ws_row: 6,
            ws_col: 40,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        termios::tcsetwinsize(&command, size).unwrap();
        let mut modes = termios::tcgetattr(&command).unwrap();
        modes.output_modes.remove(termios::OutputModes::OPOST);
        termios::tcsetattr(&command, OptionalActions::Now, &modes).unwrap();
        rustix::io::ioctl_fionbio(&person, true).unwrap();
        Self {
            person: person.into(),
            command: command.into(),
            seen: Vec::new(),
        }
    }

    fn start(&self, mut command: Command) -> Child {
        let end = || Stdio::from(self.command.try_clone().unwrap());
        command
            .env("TERM", "xterm")
            .env("ROPEWALK_TOKEN", "secret-token")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap()
    }

    /// Reads until `text` was seen so many times.
    fn wait_for(&mut self, text: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut bytes = [0; 4096];
            match self.person.read(&mut bytes) {
                Ok(count) => self.seen.extend_from_slice(&bytes[..count]),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
            let seen = String::from_utf8_lossy(&self.seen);
            if seen.matches(text).count() >= times {
                return;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {seen:?}");
        }
    }
}

#[test]
fn a_terminal_is_drawn_on_each_second_and_left_as_it_was() {
    type Quit = fn(&mut Terminal, &Child);
    let key: [Quit; 3] = [
        |terminal, _| terminal.person.write_all(b"xq").unwrap(),
        // Ctrl-C
        |terminal, _| terminal.person.write_all(b"\x03").unwrap(),
        |_, child| {
            let pid = Pid::from_child(child);
            kill_process(pid, Signal::TERM).unwrap();
        },
    ];
    for quit in key {
        let fake = Fake::new()
            .on(ALL, 200, all())
            .on(ALL, 503, json!({"id": "unavailable", "message": "Not now"}))
            .on(ALL, 200, all());
        let mut terminal = Terminal::new();
        let before = format!("{:?}", termios::tcgetattr(&terminal.command).unwrap());
        let mut child = terminal.start(fake.command(&["router:top"]));
        terminal.wait_for("\x1b[?1049h\x1b[?25l", 1);
        // What is said goes on where a server is away for a moment.
        terminal.wait_for("Not up to date: Not now", 1);
        terminal.wait_for("124 requests/s", 2);
        quit(&mut terminal, &child);
        terminal.wait_for("\x1b[?25h\x1b[?1049l", 1);
        assert!(child.wait().unwrap().success());
        let after = format!("{:?}", termios::tcgetattr(&terminal.command).unwrap());
        assert_eq!(after, before);
        // No line is longer than the terminal is wide, no picture higher.
        let seen = String::from_utf8_lossy(&terminal.seen).into_owned();
        let picture = seen.split("\x1b[H").nth(1).unwrap();
        assert_eq!(picture.matches("\x1b[K").count(), 6, "{picture:?}");
        for line in picture.split("\r\n") {
            let text = line.split("\x1b[K").next().unwrap();
            let shown = strip(text);
            assert!(shown <= 40, "{text:?}");
        }
    }
}

/// Characters without colours.
fn strip(text: &str) -> usize {
    let parts = text.split('\x1b').enumerate();
    parts
        .map(|(index, part)| match index {
            0 => part.chars().count(),
            _ => part
                .split_once('m')
                .map_or(0, |(_, rest)| rest.chars().count()),
        })
        .sum()
}
