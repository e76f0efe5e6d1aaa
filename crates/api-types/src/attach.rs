//! What goes to and fro between a terminal and an attached dyno: one WebSocket binary message a frame, whose
//! first byte is the channel. The subprotocol is [`SUBPROTOCOL`].

use bytes::Bytes;

/// `Sec-WebSocket-Protocol` of attached dynos.
pub const SUBPROTOCOL: &str = "ropewalk-attach.v1";
/// Largest frame either side accepts, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// What secrets for clients that speak rendezvous begin with, so that the router knows them among requests.
pub const SECRET_MARK: &str = "rendezvous.";
/// Longest line with a secret, in bytes, its end included.
pub const MAX_SECRET_LINE: usize = 256;

/// What a client of rendezvous sends first: the path of the address that it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    pub secret: String,
    pub window: Window,
    /// The client looks for [`STATUS_MARK`] in the output, and put a command behind the user's that prints it. A user's
    /// `exit` ends the shell before that command, and then whoever serves the terminal says it.
    pub status: bool,
}

/// What clients of rendezvous find the exit code behind, in a line of its own.
pub const STATUS_MARK: &str = "\u{FFFF} heroku-command-exit-status: ";

/// What the other end is. Clients of rendezvous say it once, when they ask for the dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// No terminal.
    Pipe,
    /// A terminal, of a size if it was told.
    Terminal(Option<(u16, u16)>),
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket(.., {:?})", self.window)
    }
}

impl Ticket {
    /// `rendezvous.<secret>.33x101`, `….terminal` or `….pipe`, with `.status` behind it where that is wanted; safe in a
    /// path.
    pub fn encode(&self) -> String {
        let status = if self.status { ".status" } else { "" };
        let window = match self.window {
            Window::Pipe => "pipe".to_owned(),
            Window::Terminal(None) => "terminal".to_owned(),
            Window::Terminal(Some((rows, columns))) => format!("{rows}x{columns}"),
        };
        format!("{SECRET_MARK}{}.{window}{status}", self.secret)
    }

    /// `None` for a line that is no ticket.
    pub fn decode(line: &str) -> Option<Self> {
        let line = line.strip_prefix(SECRET_MARK)?;
        let without = line.strip_suffix(".status");
        let (secret, window) = without.unwrap_or(line).rsplit_once('.')?;
        let window = match window {
            "pipe" => Window::Pipe,
            "terminal" => Window::Terminal(None),
            size => {
                let (rows, columns) = size.split_once('x')?;
                Window::Terminal(Some((rows.parse().ok()?, columns.parse().ok()?)))
            }
        };
        Some(Self {
            secret: secret.to_owned(),
            window,
            status: without.is_some(),
        })
    }
}

/// From the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToDyno {
    /// Channel 0.
    Stdin(Bytes),
    /// Channel 0 with nothing in it: no more input will come.
    StdinClosed,
    /// Channel 3, as JSON `{"rows":24,"columns":80}`.
    Resize { rows: u16, columns: u16 },
    /// Channel 4: `INT`, `TERM` or `HUP`.
    Signal(String),
}

/// From the dyno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromDyno {
    /// Channel 1.
    Stdout(Bytes),
    /// Channel 2; with a terminal everything is stdout.
    Stderr(Bytes),
    /// Channel 5, as JSON `{"code":0}`. The last frame.
    Exit(i64),
}

fn framed(channel: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(1 + payload.len());
    frame.push(channel);
    frame.extend_from_slice(payload);
    frame.into()
}

impl ToDyno {
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Stdin(bytes) => framed(0, bytes),
            Self::StdinClosed => framed(0, b""),
            Self::Resize { rows, columns } => framed(
                3,
                serde_json::json!({"rows": rows, "columns": columns})
                    .to_string()
                    .as_bytes(),
            ),
            Self::Signal(name) => framed(4, name.as_bytes()),
        }
    }

    /// `None` for a frame that is none of these.
    pub fn decode(frame: &Bytes) -> Option<Self> {
        let (channel, payload) = (frame.first()?, frame.slice(1..));
        match channel {
            0 if payload.is_empty() => Some(Self::StdinClosed),
            0 => Some(Self::Stdin(payload)),
            3 => {
                let value: serde_json::Value = serde_json::from_slice(&payload).ok()?;
                let number = |key: &str| u16::try_from(value.get(key)?.as_u64()?).ok();
                Some(Self::Resize {
                    rows: number("rows")?,
                    columns: number("columns")?,
                })
            }
            4 => match std::str::from_utf8(&payload).ok()? {
                name @ ("INT" | "TERM" | "HUP") => Some(Self::Signal(name.to_owned())),
                _ => None,
            },
            _ => None,
        }
    }
}

impl FromDyno {
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Stdout(bytes) => framed(1, bytes),
            Self::Stderr(bytes) => framed(2, bytes),
            Self::Exit(code) => framed(5, serde_json::json!({"code": code}).to_string().as_bytes()),
        }
    }

    /// `None` for a frame that is none of these.
    pub fn decode(frame: &Bytes) -> Option<Self> {
        let (channel, payload) = (frame.first()?, frame.slice(1..));
        match channel {
            1 => Some(Self::Stdout(payload)),
            2 => Some(Self::Stderr(payload)),
            5 => {
                let value: serde_json::Value = serde_json::from_slice(&payload).ok()?;
                Some(Self::Exit(value.get("code")?.as_i64()?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_round_trip_and_rubbish_is_none() {
        for window in [
            Window::Pipe,
            Window::Terminal(None),
            Window::Terminal(Some((33, 101))),
        ] {
            for status in [false, true] {
                let ticket = Ticket {
                    secret: "0123abc".to_owned(),
                    window,
                    status,
                };
                assert_eq!(Ticket::decode(&ticket.encode()), Some(ticket));
            }
        }
        for rubbish in [
            "",
            "rendezvous.",
            "rendezvous.x",
            "rendezvous.x.1x",
            "rendezvous.x.1x70000",
            "y.x.pipe",
        ] {
            assert_eq!(Ticket::decode(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn frames_round_trip_and_rubbish_is_none() {
        for frame in [
            ToDyno::Stdin(Bytes::from_static(b"ls\n")),
            ToDyno::StdinClosed,
            ToDyno::Resize {
                rows: 33,
                columns: 101,
            },
            ToDyno::Signal("INT".into()),
        ] {
            assert_eq!(ToDyno::decode(&frame.encode()), Some(frame));
        }
        for frame in [
            FromDyno::Stdout(Bytes::from_static(b"x")),
            FromDyno::Stderr(Bytes::new()),
            FromDyno::Exit(137),
        ] {
            assert_eq!(FromDyno::decode(&frame.encode()), Some(frame));
        }
        for rubbish in [
            &b""[..],
            b"\x03{}",
            b"\x03{\"rows\":70000,\"columns\":1}",
            b"\x04KILL",
            b"\x09",
        ] {
            assert_eq!(ToDyno::decode(&Bytes::from_static(rubbish)), None);
            assert_eq!(FromDyno::decode(&Bytes::from_static(rubbish)), None);
        }
    }
}
