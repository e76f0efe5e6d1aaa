//! Waits until what was started can run dynos and builds, as its own health page says.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ropewalk_model::egress::Cidr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ui::Printer;

/// The stack's images are loaded into the engine the first time: most of a gigabyte.
const LIMIT: Duration = Duration::from_secs(300);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// More of an answer is not read.
const LONGEST: u64 = 16 << 10;

/// Asks as clients do, through the router on port 80.
///
/// # Errors
/// When dynos cannot be run after five minutes; the text says what the platform said last.
pub(super) async fn wait(domain: &str, proxies: &[Cidr], printer: &Printer) -> Result<()> {
    // Where the router takes this host for a proxy, it is told that nobody is behind it.
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let start = match proxies.iter().any(|range| range.contains(here)) {
        true => "PROXY UNKNOWN\r\n",
        false => "",
    };
    let began = Instant::now();
    let mut said = String::new();
    loop {
        let answer = tokio::time::timeout(ANSWER, ask(domain, start)).await;
        let now = match answer {
            Ok(Ok((200, _))) => return Ok(()),
            Ok(Ok((_, text))) => text,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".to_owned(),
        };
        if began.elapsed() > LIMIT {
            bail!(
                "it was started and cannot run dynos yet ({now}); `ropewalk doctor` and `journalctl -u \
                 ropewalk-server -u ropewalk-router` say more"
            );
        }
        if now != said && !said.is_empty() {
            printer.line(&format!("       {now}"))?;
        }
        said = now;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(domain: &str, start: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).await?;
    let request = format!("{start}GET /ropewalk/health HTTP/1.0\r\nHost: api.{domain}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    parse(&String::from_utf8_lossy(&answer))
}

/// Status, and the first line of what is said to it.
fn parse(answer: &str) -> Result<(u16, String)> {
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    let line = body.and_then(|body| body.lines().next());
    let status = status.context("the router's answer is none")?;
    // A page of the router's own: it waits for the server.
    let text = line.filter(|line| !line.starts_with(['<', '{']));
    Ok((status, text.unwrap_or("the server is starting").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_says_is_passed_on_and_pages_are_not() {
        let parsed = |text: &str| parse(text).unwrap();
        let health =
            "HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nthe host is not ready for dynos\n";
        assert_eq!(
            parsed(health),
            (503, "the host is not ready for dynos".to_owned())
        );
        let page = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"id\":\"platform_unavailable\"}";
        assert_eq!(parsed(page), (503, "the server is starting".to_owned()));
        assert_eq!(parsed("HTTP/1.1 200 OK\r\n\r\nready\n").0, 200);
        assert!(parse("").is_err());
    }
}
