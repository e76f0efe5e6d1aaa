//! One line of a log, and which lines somebody wants.

use jiff::Timestamp;
use ropewalk_model::log_line::{LogSource, MAX_TEXT, format_line};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Grows from line to line of one app, also over restarts of the server; not without gaps.
    pub seq: u64,
    pub at: Timestamp,
    pub source: LogSource,
    /// `web.1`, `router`, `api` ...
    pub process: Box<str>,
    /// Without line ends; at most [`MAX_TEXT`] bytes.
    pub text: Box<str>,
}

impl Entry {
    /// As clients see it: `<time> <source>[<process>]: <text>`.
    pub fn line(&self) -> String {
        format_line(&timestamp(self.at), self.source, &self.process, &self.text)
    }

    /// Bytes it takes in memory, roughly.
    pub(crate) fn cost(&self) -> usize {
        size_of::<Self>() + self.process.len() + self.text.len()
    }
}

/// Microseconds, and UTC spelled `+00:00`.
pub(crate) fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// Which lines, and how many of the past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The last so many that match; `None` is all that are kept.
    pub lines: Option<usize>,
    pub source: Option<LogSource>,
    /// `web.1`, or `web` for every web dyno.
    pub process: Option<String>,
}

impl Filter {
    pub fn matches(&self, entry: &Entry) -> bool {
        self.source.is_none_or(|source| source == entry.source)
            && self
                .process
                .as_deref()
                .is_none_or(|wanted| is_of(&entry.process, wanted))
    }
}

/// Whether `process` is `wanted`, or a dyno of the process type `wanted`.
fn is_of(process: &str, wanted: &str) -> bool {
    match process.strip_prefix(wanted) {
        Some("") => true,
        Some(rest) => rest.starts_with('.'),
        None => false,
    }
}

/// Cuts what a process wrote into texts of lines: at line ends, and at [`MAX_TEXT`] bytes between characters.
/// Carriage returns before a line end go; what is not UTF-8 is replaced.
pub(crate) fn texts(bytes: &[u8]) -> Vec<Box<str>> {
    let mut out = Vec::new();
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for line in body.split(|byte| *byte == b'\n') {
        let end = line
            .iter()
            .rposition(|byte| *byte != b'\r')
            .map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&line[..end]);
        let mut rest: &str = &text;
        loop {
            let mut cut = rest.len().min(MAX_TEXT);
            while !rest.is_char_boundary(cut) {
                cut -= 1;
            }
            out.push(rest[..cut].into());
            rest = &rest[cut..];
            if rest.is_empty() {
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines() {
        let cases: [(&[u8], &[&str]); 6] = [
            (b"one", &["one"]),
            (b"one\r\n", &["one"]),
            (b"one\ntwo\n\nfour\n", &["one", "two", "", "four"]),
            (b"", &[""]),
            (b"10%\r20%\r\r\n", &["10%\r20%"]),
            (b"caf\xc3\xa9 \xff", &["café \u{fffd}"]),
        ];
        for (bytes, lines) in cases {
            let cut = texts(bytes);
            assert_eq!(cut.iter().map(|text| &**text).collect::<Vec<_>>(), lines);
        }
    }

    #[test]
    fn a_long_line_is_split_between_characters() {
        let long = "é".repeat(MAX_TEXT);
        let cut = texts(format!("x{long}").as_bytes());
        assert_eq!(cut.len(), 3);
        assert!(cut.iter().all(|text| text.len() <= MAX_TEXT));
        assert_eq!(cut.concat(), format!("x{long}"));
        assert_eq!(texts(&b"x".repeat(MAX_TEXT)).len(), 1);
        assert_eq!(texts(&b"x".repeat(MAX_TEXT + 1)).len(), 2);
    }

    #[test]
    fn a_process_type_takes_in_its_dynos_and_no_other() {
        for (process, wanted, is) in [
            ("web.1", "web.1", true),
            ("web.1", "web", true),
            ("web.12", "web.1", false),
            ("webhook.1", "web", false),
            ("router", "router", true),
            ("web.1", "worker", false),
        ] {
            assert_eq!(is_of(process, wanted), is, "{process} {wanted}");
        }
    }

    #[test]
    fn a_line_looks_as_clients_expect() {
        let entry = Entry {
            seq: 1,
            at: "2024-06-10T08:00:00.123456Z".parse().unwrap(),
            source: LogSource::App,
            process: "web.1".into(),
            text: "Listening on 5000".into(),
        };
        assert_eq!(
            entry.line(),
            "2024-06-10T08:00:00.123456+00:00 app[web.1]: Listening on 5000"
        );
    }
}
