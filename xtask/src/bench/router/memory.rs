//! Memory of a proxy: for each idle client, and after all the load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use super::proxy::Proxy;

/// Clients that ask once and then stay.
const CLIENTS: u16 = 1_000;
const LIMIT: Duration = Duration::from_secs(10);
/// For which nothing happens before memory is read.
const REST: Duration = Duration::from_secs(2);

/// In KiB.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Memory {
    /// What an idle keep-alive client adds.
    pub(super) client: f64,
    pub(super) after: f64,
}

impl Memory {
    /// That of idle clients; before the proxy has been loaded, for what it has freed since it might use again.
    pub(super) fn idle(proxy: &Proxy) -> Result<Self> {
        std::thread::sleep(REST);
        let before = proxy.group.pss()?;
        let clients = (0..CLIENTS)
            .map(|_| client(proxy))
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("{} and its idle clients", proxy.kind.name()))?;
        std::thread::sleep(REST);
        let with = proxy.group.pss()?;
        Ok(Self {
            client: (with - before) / clients.len() as f64,
            after: f64::NAN,
        })
    }
}

/// A client that has been answered once.
fn client(proxy: &Proxy) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&proxy.plain, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // The apps answer with one kilobyte of `x` and nothing else has that many.
    while answer
        .iter()
        .rev()
        .take_while(|byte| **byte == b'x')
        .count()
        < super::proxy::BODY
    {
        let count = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..count]);
        if count == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(stream)
}
