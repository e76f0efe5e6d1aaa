//! What stands behind the router in the benches that need more than a file: a process that answers at once, after a
//! while, with many bytes, or not at all but as a WebSocket.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::group::Group;

/// Longest head of a request, in bytes.
const HEAD: usize = 8 * 1024;

#[derive(Args)]
pub(super) struct Dyno {
    #[arg(long)]
    listen: SocketAddr,
    /// What it says in each answer to `/`
    #[arg(long)]
    name: String,
}

/// Starts one for each address.
pub(super) fn start(folder: &Path, addresses: &[SocketAddr]) -> Result<Vec<Group>> {
    let program = std::env::current_exe()?;
    let start = |(number, address): (usize, &SocketAddr)| {
        let name = format!("dyno-{}", number + 1);
        let mut command = Command::new(&program);
        command.args(["bench", "dyno", "--listen", &address.to_string()]);
        Group::start(command.args(["--name", &name]), folder, &name, &[*address])
    };
    addresses.iter().enumerate().map(start).collect()
}

impl Dyno {
    pub(super) fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(self.listen).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                let name = self.name.clone();
                tokio::spawn(async move { serve(stream, &name).await });
            }
        })
    }
}

async fn serve(mut stream: TcpStream, name: &str) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            if bytes.len() > HEAD || stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(bytes.get(..end)?).to_ascii_lowercase();
        bytes.drain(..end);
        if head.contains("\r\nupgrade: websocket\r\n") {
            drop(bytes);
            return hold(stream).await;
        }
        let length = value(&head, "content-length").and_then(|text| text.parse().ok());
        let length: usize = length.unwrap_or(0);
        while bytes.len() < length {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        bytes.drain(..length);
        let path = head.split(' ').nth(1)?;
        let number = |prefix: &str| path.strip_prefix(prefix)?.parse::<u32>().ok();
        if let Some(millis) = number("/wait/") {
            tokio::time::sleep(Duration::from_millis(millis.into())).await;
        }
        let body = match number("/bytes/") {
            Some(count) => vec![b'x'; usize::try_from(count).ok()?],
            None => name.as_bytes().to_vec(),
        };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend(body);
        stream.write_all(&answer).await.ok()?;
    }
}

/// A WebSocket on which nothing is said until its client leaves.
async fn hold(mut stream: TcpStream) -> Option<()> {
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(switched.as_bytes()).await.ok()?;
    let mut byte = [0; 1];
    while stream.read(&mut byte).await.ok()? > 0 {}
    Some(())
}

/// A header's value; `head` is in lower case.
pub(super) fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        (known == name).then(|| value.trim())
    })
}
