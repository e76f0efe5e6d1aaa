//! Bytes to the router, and what comes back of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// After which a message of which nothing has come back is given up.
const PATIENCE: Duration = Duration::from_millis(700);
/// After the last byte of an answer.
const QUIET: Duration = Duration::from_millis(100);
/// For the answer to a plain request.
const LIMIT: Duration = Duration::from_secs(20);

/// Sends a message as it is, on a connection of its own; what came back of it until the router was quiet.
pub(super) fn message(router: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(router)?;
    // The router may be done with it before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    stream.set_read_timeout(Some(PATIENCE))?;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // Nothing more, or a reset.
            Err(_) => break,
        }
        stream.set_read_timeout(Some(QUIET))?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The whole answer to a plain request.
pub(super) fn probe(router: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(router)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let began = Instant::now();
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("no answer to {path} after {:?}", began.elapsed()))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
