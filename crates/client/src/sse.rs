//! Server-sent events out of chunks of bytes, as far as log sessions use them.

use std::time::Duration;

/// One event with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    /// Several `data:` lines are joined with `\n`.
    pub(crate) data: String,
}

/// Collects bytes until whole events are there.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    pending: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
    /// What the server asked for by `retry:`.
    pub(crate) retry: Option<Duration>,
}

impl Parser {
    /// Takes more bytes and gives the events that they completed.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self
            .pending
            .get(start..)
            .and_then(|rest| rest.iter().position(|&b| b == b'\n'))
        {
            let line = self.pending.get(start..start + length).unwrap_or_default();
            let line =
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            events.extend(self.line(&line));
            start += length + 1;
        }
        self.pending.drain(..start);
        events
    }

    /// Forgets a half event: after a reconnect the server sends it again.
    pub(crate) fn restart(&mut self) {
        self.pending.clear();
        self.id = None;
        self.data = None;
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let id = self.id.take();
            return self.data.take().map(|data| Event { id, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            // Comments (keep-alives) have an empty field name; other fields are not for us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_bytes_are_cut() {
        let stream = ": hello\nretry: 10\n\nid: 1-1\ndata: eins\n\nid: 1-2\r\ndata: zw\u{00f6}i\r\ndata:drei\r\n\r\n";
        let expected = [("1-1", "eins"), ("1-2", "zw\u{00f6}i\ndrei")];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| parser.push(chunk))
                .collect();
            let seen: Vec<(&str, &str)> = events
                .iter()
                .map(|event| (event.id.as_deref().unwrap_or(""), event.data.as_str()))
                .collect();
            assert_eq!(seen, expected, "{size}");
            assert_eq!(parser.retry, Some(Duration::from_millis(10)));
        }
    }

    #[test]
    fn a_half_event_is_forgotten_on_restart() {
        let mut parser = Parser::default();
        assert!(parser.push(b"id: 7\ndata: half").is_empty());
        parser.restart();
        assert_eq!(
            parser.push(b"data: whole\n\n"),
            [Event {
                id: None,
                data: "whole".into()
            }]
        );
    }
}
