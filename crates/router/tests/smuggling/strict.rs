//! A dyno that reads by the letter of RFC 9112 and notes everything else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::raw_dyno;

/// A request as a strict reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Reads strictly from `bytes`: a request and what is left, `None` when there is no whole one yet.
fn parse(bytes: &[u8]) -> Result<Option<(Seen, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "no text")?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(format!("a bare line end or a zero: {head:?}"));
    }
    let words: Vec<&str> = first.split(' ').collect();
    if words.len() != 3 || words[2] != "HTTP/1.1" || !words[1].starts_with(['/', '*']) {
        return Err(format!("a request line of its own kind: {first:?}"));
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("a name of its own kind: {line:?}"));
        }
        match name.replace('_', "-").to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_owned()),
            "host" => hosts += 1,
            _ => {}
        }
    }
    if hosts != 1 {
        return Err(format!("{hosts} hosts: {head:?}"));
    }
    let rest = &bytes[end + 4..];
    let (body, used) = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => (Vec::new(), 0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "a length too long")?;
            let Some(body) = rest.get(..length) else {
                return Ok(None);
            };
            (body.to_vec(), length)
        }
        ([], [coding]) if coding == "chunked" => match chunks(rest)? {
            Some(found) => found,
            None => return Ok(None),
        },
        _ => return Err(format!("framed in two ways: {head:?}")),
    };
    let seen = Seen {
        head: head.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    Ok(Some((seen, end + 4 + used)))
}

/// A chunked body without extensions and trailers.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.windows(2).position(|part| part == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&rest[..end]).map_err(|_| "no text")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("a chunk size of its own kind: {size:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "a size too large")?;
        let Some(data) = rest.get(end + 2..end + 2 + size + 2) else {
            return Ok(None);
        };
        if !data.ends_with(b"\r\n") {
            return Err("a chunk of another length".to_owned());
        }
        body.extend_from_slice(&data[..size]);
        at += end + 2 + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Strict {
    pub(crate) seen: Vec<Seen>,
    pub(crate) wrong: Vec<String>,
}

/// A dyno that answers each request it understands, and notes what it does not.
pub(crate) async fn strict() -> (SocketAddr, Arc<Mutex<Strict>>) {
    let notes = Arc::new(Mutex::new(Strict::default()));
    let shared = Arc::clone(&notes);
    let addr = raw_dyno(move |mut stream: TcpStream| {
        let notes = Arc::clone(&shared);
        async move {
            let mut bytes = Vec::new();
            loop {
                match parse(&bytes) {
                    Err(wrong) => {
                        notes.lock().unwrap().wrong.push(wrong);
                        return;
                    }
                    Ok(Some((seen, used))) => {
                        bytes.drain(..used);
                        let hint: &[u8] = match seen.head.starts_with("HEAD ") {
                            true => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                            false => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                        };
                        notes.lock().unwrap().seen.push(seen);
                        if stream.write_all(hint).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {
                        let mut chunk = [0; 4096];
                        match stream.read(&mut chunk).await {
                            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
                            _ => return,
                        }
                    }
                }
            }
        }
    })
    .await;
    (addr, notes)
}
