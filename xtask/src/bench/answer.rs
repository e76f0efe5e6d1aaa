//! What a measured app answers, and waiting for the first answer of a new version.
//!
//! The body is `bench=VERSION began=MILLISECONDS`: the version that the code names, and when the process that answers
//! began. Both are needed, for a push of unchanged code changes no version.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// Between two requests. Short against what is measured, long against what a request costs.
const ASK_EVERY: Duration = Duration::from_millis(15);
/// For one request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an app is asked.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) host: String,
}

/// The answer that ends a measurement.
pub(super) struct Awaited {
    pub(super) version: u32,
    /// The process that answers began after this, in milliseconds since 1970.
    pub(super) since: u128,
}

/// Milliseconds since 1970.
pub(super) fn now() -> Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())
}

impl Door {
    /// Asks until the awaited answer comes. `meanwhile` is called between two requests; its error ends the wait.
    pub(super) fn wait(
        &self,
        awaited: &Awaited,
        limit: Duration,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<Instant> {
        let began = Instant::now();
        loop {
            let last = match self.ask() {
                Ok((200, body)) if awaited.is(&body) => return Ok(Instant::now()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => format!("{error:#}"),
            };
            meanwhile()?;
            if began.elapsed() > limit {
                let seconds = limit.as_secs();
                bail!(
                    "{} did not answer as version {} within {seconds} s; last: {last}",
                    self.host,
                    awaited.version
                );
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Status and body of `GET /`.
    pub(super) fn ask(&self) -> Result<(u16, String)> {
        self.get("/")
    }

    /// The body's beginning only.
    pub(super) fn get(&self, path: &str) -> Result<(u16, String)> {
        self.get_within(path, PATIENCE)
    }

    /// With patience for so long a silence.
    pub(super) fn get_within(&self, path: &str, patience: Duration) -> Result<(u16, String)> {
        let (status, body) = self.read_with(path, "", patience)?;
        Ok((status, body.trim_end().chars().take(200).collect()))
    }

    /// With a token, and the whole body.
    pub(super) fn read(&self, path: &str, token: &str) -> Result<(u16, String)> {
        let header = format!("Authorization: Bearer {token}\r\n");
        self.read_with(path, &header, PATIENCE)
    }

    fn read_with(&self, path: &str, headers: &str, patience: Duration) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {}\r\n{headers}Connection: close\r\n\r\n",
            self.host
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .context("that is no HTTP answer")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, body.to_owned()))
    }
}

impl Awaited {
    fn is(&self, body: &str) -> bool {
        let value = |name: &str| {
            body.split_whitespace()
                .find_map(|word| word.strip_prefix(name))
        };
        value("bench=").is_some_and(|text| text.parse() == Ok(self.version))
            && value("began=")
                .and_then(|text| text.parse::<u128>().ok())
                .is_some_and(|began| began >= self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_process_of_the_new_version_counts() {
        let awaited = Awaited {
            version: 2,
            since: 1000,
        };
        assert!(awaited.is("bench=2 began=1000"));
        assert!(!awaited.is("bench=1 began=1000"));
        assert!(!awaited.is("bench=2 began=999"));
        assert!(!awaited.is("bench=2"));
        assert!(!awaited.is(""));
    }
}
