//! An app that reads each request whole and says hello.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

/// Serves until this program ends.
pub(super) struct App {
    pub(super) address: SocketAddr,
}

/// Long enough that suites can ask for it in small pieces.
const HELLO: &str =
    "Hello from an app that says this and nothing else, whatever it is asked for.\n";

/// A connection on which nothing comes is let go.
const IDLE: Duration = Duration::from_secs(60);

impl App {
    pub(super) fn start() -> Result<App> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        Ok(App { address })
    }
}

fn serve(stream: &TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(IDLE)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let head = head(&mut reader)?;
        let is_head = head.first()?.starts_with("HEAD ");
        let value = |name: &str| {
            head.iter().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        match (value("transfer-encoding"), value("content-length")) {
            (Some(_), _) => skip_chunks(&mut reader)?,
            (None, Some(length)) => skip(&mut reader, length.parse().ok()?)?,
            (None, None) => {}
        }
        let body = if is_head { "" } else { HELLO };
        let length = HELLO.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        (&*stream).write_all(answer.as_bytes()).ok()?;
    }
}

/// The lines of a head, `None` at the connection's end.
fn head(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(line);
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(1..) => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

fn skip(reader: &mut impl BufRead, count: u64) -> Option<()> {
    let copied = std::io::copy(&mut reader.by_ref().take(count), &mut std::io::sink()).ok()?;
    (copied == count).then_some(())
}

fn skip_chunks(reader: &mut impl BufRead) -> Option<()> {
    loop {
        let size = u64::from_str_radix(line(reader)?.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return head(reader).map(|_| ());
        }
        skip(reader, size)?;
        line(reader)?;
    }
}
