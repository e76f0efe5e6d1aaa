//! A line as Heroku's drains have it: RFC 6587 octet counting around RFC 5424, without structured data.
//!
//! `83 <190>1 2024-06-10T08:00:00.123456+00:00 host app web.1 - Listening on 5000`; the count covers the line end.

use std::fmt::Write as _;

use jiff::Timestamp;
use ropewalk_logs::Entry;
use ropewalk_model::log_line::LogSource;

/// What HTTP has as host name: the request's headers say which drain it is.
pub(crate) const HTTP_HOST: &str = "host";
/// Longest process name (RFC 5424, PROCID).
const MAX_PROCESS: usize = 128;

/// Facility local7, severity informational: what apps print.
const APP: u8 = 190;
/// Facility local3, severity informational: requests.
const ROUTER: u8 = 158;
/// Facility syslog, severity notice: everything else of the platform.
const PLATFORM: u8 = 45;

/// Adds `entry` to `out`.
pub(crate) fn write_frame(out: &mut Vec<u8>, host: &str, entry: &Entry) {
    let mut line = String::with_capacity(entry.text.len() + 96);
    let app = entry.source.as_str();
    // Writing to a String cannot fail.
    let _ = writeln!(
        line,
        "<{}>1 {} {host} {app} {} - {}",
        priority(entry),
        time(entry.at),
        process(&entry.process),
        entry.text
    );
    out.extend_from_slice(line.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(line.as_bytes());
}

fn priority(entry: &Entry) -> u8 {
    match (entry.source, &*entry.process) {
        (LogSource::Heroku, "router") => ROUTER,
        (LogSource::Heroku, _) | (LogSource::App, "api") => PLATFORM,
        (LogSource::App, _) => APP,
    }
}

/// Microseconds, and UTC spelled `+00:00`.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

/// Visible ASCII, and `-` for none.
fn process(name: &str) -> String {
    let safe: String = name
        .chars()
        .take(MAX_PROCESS)
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .collect();
    if safe.is_empty() {
        "-".to_owned()
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: LogSource, process: &str, text: &str) -> String {
        let mut out = Vec::new();
        let entry = Entry {
            seq: 1,
            at: "2024-06-10T08:00:00.123456Z".parse().unwrap(),
            source,
            process: process.into(),
            text: text.into(),
        };
        write_frame(&mut out, "d.1", &entry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_counted_in_bytes_with_their_end() {
        let lines = [
            (
                frame(LogSource::App, "web.1", "caf\u{e9}"),
                "63 <190>1 2024-06-10T08:00:00.123456+00:00 d.1 app web.1 - caf\u{e9}\n",
            ),
            (
                frame(LogSource::Heroku, "router", "at=info"),
                "69 <158>1 2024-06-10T08:00:00.123456+00:00 d.1 heroku router - at=info\n",
            ),
            (
                frame(LogSource::App, "api", ""),
                "55 <45>1 2024-06-10T08:00:00.123456+00:00 d.1 app api - \n",
            ),
            (
                frame(LogSource::Heroku, "", "x"),
                "57 <45>1 2024-06-10T08:00:00.123456+00:00 d.1 heroku - - x\n",
            ),
        ];
        for (line, expected) in lines {
            let (count, rest) = line.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), rest.len(), "{line}");
            assert_eq!(rest, expected.split_once(' ').unwrap().1);
        }
        assert_eq!(process("run 1\u{e9}"), "run_1_");
    }
}
