//! What servers made of messages, and whether that is right. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter};

use serde::Deserialize;

use super::Message;
use super::messages::Fate;

/// What the request is for that a bent message may bring along whole: a second one, by all rules.
const SECOND: &str = "/x";

/// A request as a server saw it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    /// A letter for each byte.
    pub(super) body: String,
    /// Names the connection among those of the server.
    pub(super) connection: String,
    pub(super) headers: BTreeMap<String, String>,
}

/// All that came of the messages, at one server.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// To each message, as text.
    pub(super) answers: Vec<String>,
    /// To the plain request behind each.
    pub(super) probes: Vec<String>,
    /// In its order.
    pub(super) seen: Vec<Seen>,
}

/// What is to be said of one server.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    passed: usize,
    refused: usize,
    /// Passed on, and then refused by the server.
    declined: usize,
    requests: usize,
    connections: usize,
    /// Most that came over one connection.
    most: usize,
    pub(super) wrong: Vec<String>,
}

/// The path of the plain request behind a message.
pub(super) fn probe(number: usize) -> String {
    format!("/probe/{number}")
}

impl Verdict {
    pub(super) fn of(messages: &[Message], heard: &Heard) -> Verdict {
        let mut verdict = Verdict {
            requests: heard.seen.len(),
            ..Verdict::default()
        };
        verdict.count_connections(&heard.seen);
        verdict.look_for_strays(messages, &heard.seen);
        for (number, message) in messages.iter().enumerate() {
            let answer = heard.answers.get(number).map_or("", String::as_str);
            verdict.judge(message, answer, &heard.seen);
            let path = probe(number);
            let answer = heard.probes.get(number).map_or("", String::as_str);
            // Some servers send it in chunks.
            let is_its_own = answer.ends_with(&path) || answer.contains(&format!("\r\n{path}\r\n"));
            if !(answer.starts_with("HTTP/1.1 200 ") && is_its_own) {
                verdict.fault(
                    message,
                    &format!("the next request was answered {answer:?}"),
                );
            }
            match of(&path, &heard.seen).as_slice() {
                [one] if one.method == "GET" && one.body.is_empty() => {}
                seen => verdict.fault(message, &format!("the next request was seen as {seen:?}")),
            }
        }
        verdict
    }

    fn count_connections(&mut self, seen: &[Seen]) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for one in seen {
            *counts.entry(&one.connection).or_default() += 1;
        }
        self.connections = counts.len();
        self.most = counts.into_values().max().unwrap_or(0);
    }

    /// Requests that did not come through the router as such: it gives each an id of its own.
    fn look_for_strays(&mut self, messages: &[Message], seen: &[Seen]) {
        let mut known: BTreeSet<String> = messages.iter().map(|one| one.path.clone()).collect();
        known.extend((0..messages.len()).map(probe));
        known.insert(SECOND.to_owned());
        let mut ids = BTreeSet::new();
        for one in seen {
            let id = one.headers.get("x-request-id").map_or("", String::as_str);
            if id.is_empty() || !ids.insert(id) || !known.contains(&one.path) {
                self.wrong
                    .push(format!("a request that nobody sent: {one:?}"));
            }
        }
    }

    fn judge(&mut self, message: &Message, answer: &str, seen: &[Seen]) {
        let seen = of(&message.path, seen);
        let status = answer.get(9..12).and_then(|code| code.parse::<u16>().ok());
        match (message.fate, seen.as_slice()) {
            (_, [_, _, ..]) => self.fault(message, &format!("seen as {seen:?}")),
            (Fate::Refused, [one]) => self.fault(message, &format!("not refused, but {one:?}")),
            (Fate::Passed(body), [one]) if one.body != body => {
                self.fault(message, &format!("not {body:?}, but {one:?}"));
            }
            (_, [_]) => self.passed += 1,
            // Over HTTP/2 the status is not legible here, and the tests of the router hold it.
            (Fate::Passed(_), []) if status.is_some_and(|status| status < 400) => {
                self.fault(message, &format!("not seen, but answered {answer:?}"));
            }
            (Fate::Passed(_), []) => self.declined += 1,
            (_, []) => self.refused += 1,
        }
    }

    fn fault(&mut self, message: &Message, what: &str) {
        let sent = String::from_utf8_lossy(&message.bytes);
        self.wrong
            .push(format!("{}: {what}; sent {sent:?}", message.name));
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed on, {} refused, {} refused by the server alone; {} requests over {} connections, at most {} over one",
            self.passed, self.refused, self.declined, self.requests, self.connections, self.most
        )
    }
}

/// Messages that two servers saw, and not alike.
pub(super) fn differences(messages: &[Message], heard: &[Heard]) -> Vec<String> {
    let mut differ = Vec::new();
    for message in messages {
        let readings: BTreeSet<(&str, &str)> = heard
            .iter()
            .flat_map(|heard| of(&message.path, &heard.seen))
            .map(|seen| (seen.method.as_str(), seen.body.as_str()))
            .collect();
        if readings.len() > 1 {
            let sent = String::from_utf8_lossy(&message.bytes);
            differ.push(format!(
                "{}: read as {readings:?}; sent {sent:?}",
                message.name
            ));
        }
    }
    differ
}

fn of<'a>(path: &str, seen: &'a [Seen]) -> Vec<&'a Seen> {
    seen.iter().filter(|one| one.path == path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fate: Fate) -> Message {
        Message {
            name: "one".to_owned(),
            path: "/a0".to_owned(),
            bytes: Vec::new(),
            fate,
        }
    }

    fn seen(path: &str, id: &str, method: &str, body: &str) -> Seen {
        Seen {
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.to_owned(),
            connection: "1".to_owned(),
            headers: BTreeMap::from([("x-request-id".to_owned(), id.to_owned())]),
        }
    }

    fn heard(answer: &str, seen_of_it: Vec<Seen>) -> Heard {
        let mut all = seen_of_it;
        all.push(seen("/probe/0", "probe", "GET", ""));
        Heard {
            answers: vec![answer.to_owned()],
            probes: vec!["HTTP/1.1 200 OK\r\n\r\n/probe/0".to_owned()],
            seen: all,
        }
    }

    fn wrong(fate: Fate, heard: &Heard) -> usize {
        Verdict::of(&[message(fate)], heard).wrong.len()
    }

    #[test]
    fn a_message_is_seen_once_or_not_at_all() {
        let ok = "HTTP/1.1 200 OK\r\n\r\n/a0";
        let one = || seen("/a0", "1", "POST", "ab");
        assert_eq!(wrong(Fate::Passed("ab"), &heard(ok, vec![one()])), 0);
        assert_eq!(wrong(Fate::Either, &heard(ok, vec![one()])), 0);
        assert_eq!(wrong(Fate::Passed("a"), &heard(ok, vec![one()])), 1);
        assert_eq!(wrong(Fate::Refused, &heard(ok, vec![one()])), 1);
        assert_eq!(wrong(Fate::Passed("ab"), &heard(ok, vec![])), 1);
        let refused = "HTTP/1.1 400 Bad Request\r\n\r\n";
        for fate in [Fate::Passed("ab"), Fate::Refused, Fate::Either] {
            assert_eq!(wrong(fate, &heard(refused, vec![])), 0);
        }
        let twice = vec![one(), seen("/a0", "2", "POST", "")];
        assert_eq!(wrong(Fate::Either, &heard(ok, twice)), 1);
    }

    #[test]
    fn what_did_not_come_as_a_request_is_none() {
        let one = seen("/a0", "1", "POST", "");
        for stray in [
            seen("/x", "", "GET", ""),
            seen("/x", "1", "GET", ""),
            seen("/y", "2", "GET", ""),
        ] {
            let heard = heard("", vec![one.clone(), stray]);
            assert_eq!(wrong(Fate::Either, &heard), 1);
        }
        let second = heard("", vec![one, seen("/x", "2", "GET", "")]);
        assert_eq!(wrong(Fate::Either, &second), 0);
    }

    #[test]
    fn the_next_request_gets_its_own_answer() {
        let mut other = heard("", vec![]);
        other.probes = vec!["HTTP/1.1 200 OK\r\n\r\n/a0".to_owned()];
        assert_eq!(wrong(Fate::Either, &other), 1);
        let mut bent = heard("", vec![]);
        bent.seen = vec![seen("/probe/0", "1", "GGET", "")];
        assert_eq!(wrong(Fate::Either, &bent), 1);
    }

    #[test]
    fn servers_that_differ_are_told() {
        let all = [message(Fate::Either)];
        let one = |body| heard("", vec![seen("/a0", "1", "POST", body)]);
        assert!(differences(&all, &[one("a"), one("a"), heard("", vec![])]).is_empty());
        assert_eq!(differences(&all, &[one("a"), one("b")]).len(), 1);
    }
}
