//! The address of a log drain: how, and to where, lines of an app's log are sent.
//!
//! Whether the host may be reached is not decided here; see [`crate::egress`].

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

/// Longest address, in bytes.
pub const MAX_URL: usize = 2048;
/// Log drains of one app.
pub const MAX_DRAINS: usize = 10;
/// Longest host name, in bytes (DNS).
const MAX_HOST: usize = 253;

/// How lines travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Syslog,
    SyslogTls,
    Http,
    Https,
}

impl Transport {
    fn of(scheme: &str) -> Option<Self> {
        [Self::Syslog, Self::SyslogTls, Self::Http, Self::Https]
            .into_iter()
            .find(|transport| transport.scheme() == scheme)
    }

    pub fn scheme(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::SyslogTls => "syslog+tls",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of an address that names none.
    pub fn port(self) -> u16 {
        match self {
            Self::Syslog => 514,
            Self::SyslogTls => 6514,
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::SyslogTls | Self::Https)
    }
}

/// A checked address. It may hold credentials, so `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct DrainUrl {
    text: String,
    transport: Transport,
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
    path: String,
}

/// Why a text is no address of a drain. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DrainUrlError {
    #[error("A drain's URL has at most {MAX_URL} bytes.")]
    TooLong,
    #[error(
        "A drain's URL consists of letters, digits and punctuation of ASCII; write others as %XX."
    )]
    Characters,
    #[error("A drain's URL begins with https://, syslog+tls:// or syslog://.")]
    Scheme,
    #[error("A drain's URL names a host, such as logs.example.com, 192.0.2.1 or [2001:db8::1].")]
    Host,
    #[error("The port of a drain's URL is a number from 1 to 65535.")]
    Port,
    #[error("User and password of a drain's URL are for https only.")]
    Credentials,
    #[error("A drain's URL for syslog is syslog://HOST:PORT, with nothing behind it.")]
    Path,
    #[error("A drain's URL has no fragment (#).")]
    Fragment,
}

impl DrainUrl {
    /// Scheme and host become lower case; all else stays as it was written.
    pub fn parse(text: &str) -> Result<Self, DrainUrlError> {
        if text.len() > MAX_URL {
            return Err(DrainUrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(DrainUrlError::Scheme)?;
        let transport = Transport::of(&scheme.to_ascii_lowercase()).ok_or(DrainUrlError::Scheme)?;
        if rest.contains('#') {
            return Err(DrainUrlError::Fragment);
        }
        if !has_only_url_characters(rest) {
            return Err(DrainUrlError::Characters);
        }
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host_port)?;
        let host = host.to_ascii_lowercase();
        if !transport.is_http() && !matches!(path, "" | "/") {
            return Err(DrainUrlError::Path);
        }
        if !transport.is_http() && user.is_some() {
            return Err(DrainUrlError::Credentials);
        }
        let credentials = user
            .map(|user| {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                Some((decoded(name)?, decoded(password)?))
            })
            .map(|pair| pair.ok_or(DrainUrlError::Credentials))
            .transpose()?;
        let shown = bracketed(&host);
        let user = user.map_or(String::new(), |user| format!("{user}@"));
        let colon = port.map_or(String::new(), |port| format!(":{port}"));
        let path = match path {
            "" | "/" => "",
            path => path,
        };
        Ok(Self {
            text: format!("{}://{user}{shown}{colon}{path}", transport.scheme()),
            transport,
            port: port.unwrap_or(transport.port()),
            credentials,
            path: match path.strip_prefix('?') {
                Some(_) => format!("/{path}"),
                None if path.is_empty() => "/".to_owned(),
                None => path.to_owned(),
            },
            host,
        })
    }

    /// The whole address, with credentials.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// A name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// User and password, decoded.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Path and query as HTTP sends them; they may hold a key.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as the header `Host` has them.
    pub fn authority(&self) -> String {
        let host = bracketed(&self.host);
        if self.port == self.transport.port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// For those who may not see secrets: services for logs put their keys into the path as well, so everything
    /// but scheme, host and port is struck out.
    pub fn redacted(&self) -> String {
        let scheme = self.transport.scheme();
        let user = self.credentials.as_ref().map_or("", |_| "*****@");
        let path = if self.path == "/" { "" } else { "/*****" };
        format!("{scheme}://{user}{}{path}", self.authority())
    }
}

impl fmt::Debug for DrainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// RFC 3986: unreserved, reserved, and percent signs with two hex digits.
fn has_only_url_characters(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => bytes
            .get(at + 1..at + 3)
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)),
        byte => byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=".contains(byte),
    })
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>), DrainUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(DrainUrlError::Host)?;
            if !matches!(host.parse(), Ok(IpAddr::V6(_))) {
                return Err(DrainUrlError::Host);
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(DrainUrlError::Host),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (name(host)?, Some(port)),
            None => (name(text)?, None),
        },
    };
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(DrainUrlError::Port),
    });
    Ok((host, port.transpose()?))
}

/// A name, or an IPv4 address in its usual form: resolvers also read `0x7f.1` and `2130706433` as addresses.
fn name(host: &str) -> Result<&str, DrainUrlError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit())
        && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"));
    let fits = host.len() <= MAX_HOST && bare.split('.').all(label);
    if fits && (!numeric || matches!(host.parse(), Ok(IpAddr::V4(_)))) {
        Ok(host)
    } else {
        Err(DrainUrlError::Host)
    }
}

/// Without percent signs; `None` for what is no UTF-8 or would end a header.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (byte, hex) {
            (b'%', Some(hex)) => {
                out.push(u8::from_str_radix(hex, 16).ok()?);
                rest = tail.get(2..)?;
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8(out).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let url =
            DrainUrl::parse("HTTPS://me:p%40ss@Logs.Example.com:8443/v1/in?key=K%2F1").unwrap();
        assert_eq!(
            url.as_str(),
            "https://me:p%40ss@logs.example.com:8443/v1/in?key=K%2F1"
        );
        assert_eq!(url.transport(), Transport::Https);
        assert_eq!((url.host(), url.port()), ("logs.example.com", 8443));
        assert_eq!(url.credentials(), Some(("me", "p@ss")));
        assert_eq!(url.path(), "/v1/in?key=K%2F1");
        assert_eq!(url.authority(), "logs.example.com:8443");
        assert_eq!(
            format!("{url:?}"),
            "https://*****@logs.example.com:8443/*****"
        );

        let url = DrainUrl::parse("syslog://[2001:DB8::1]:601/").unwrap();
        assert_eq!(url.as_str(), "syslog://[2001:db8::1]:601");
        assert_eq!((url.host(), url.port()), ("2001:db8::1", 601));
        for (text, port) in [
            ("syslog://a", 514),
            ("syslog+tls://a", 6514),
            ("https://a", 443),
            ("http://a", 80),
        ] {
            assert_eq!(DrainUrl::parse(text).unwrap().port(), port);
        }
        assert_eq!(DrainUrl::parse("https://a?k=v").unwrap().path(), "/?k=v");
        assert_eq!(DrainUrl::parse("https://a").unwrap().path(), "/");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, why) in [
            ("", DrainUrlError::Scheme),
            ("logs.example.com:514", DrainUrlError::Scheme),
            ("file:///etc/passwd", DrainUrlError::Scheme),
            ("gopher://a", DrainUrlError::Scheme),
            ("syslog+udp://a", DrainUrlError::Scheme),
            ("https://", DrainUrlError::Host),
            ("https:///x", DrainUrlError::Host),
            ("https://a b", DrainUrlError::Characters),
            ("https://a/\r\nX: y", DrainUrlError::Characters),
            ("https://a/%0", DrainUrlError::Characters),
            ("https://a\\@b", DrainUrlError::Characters),
            ("https://bücher.example", DrainUrlError::Characters),
            ("https://a/#x", DrainUrlError::Fragment),
            ("https://a:0", DrainUrlError::Port),
            ("https://a:+80", DrainUrlError::Port),
            ("https://a:70000", DrainUrlError::Port),
            ("https://a:", DrainUrlError::Port),
            ("https://a:1:2", DrainUrlError::Port),
            ("https://2130706433", DrainUrlError::Host),
            ("https://0x7f.1", DrainUrlError::Host),
            ("https://0177.0.0.1", DrainUrlError::Host),
            ("https://127.1", DrainUrlError::Host),
            ("https://127.0.0.1.", DrainUrlError::Host),
            ("https://0x7f000001", DrainUrlError::Host),
            ("https://a..b", DrainUrlError::Host),
            ("https://[::1", DrainUrlError::Host),
            ("https://[127.0.0.1]", DrainUrlError::Host),
            ("https://[fe80::1%25eth0]", DrainUrlError::Host),
            ("https://u%0d%0aX@a", DrainUrlError::Credentials),
            ("syslog://u:p@a:514", DrainUrlError::Credentials),
            ("syslog://a:514/x", DrainUrlError::Path),
        ] {
            assert_eq!(DrainUrl::parse(text), Err(why), "{text}");
        }
        let long = format!("https://a/{}", "x".repeat(MAX_URL));
        assert_eq!(DrainUrl::parse(&long), Err(DrainUrlError::TooLong));
    }
}
