//! One request's record: what the router log line says and what the counters count.
//!
//! A [`Visit`] closes itself when dropped. Dropped without an outcome, the client has left: H27.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use crate::clock;
use crate::code::Code;
use crate::edge::Gate;
use crate::router::Router;
use crate::stats::Tally;
use crate::table::App;
use crate::upstream::{InFlight, Upstream};

/// Most bytes of what a client chooses in a line; the rest of it is cut off. With what the router
/// says itself a line stays below 10,000 bytes, which is where Heroku's end.
const METHOD: usize = 127;
const PATH: usize = 6_000;
const HOST: usize = 253;
const FWD: usize = 2_000;

/// What is known of a request from its head.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    /// Lower case, without the port.
    pub(crate) host: String,
    pub(crate) request_id: HeaderValue,
    /// `X-Forwarded-For` as the dyno sees it.
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) https: bool,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Visit {
    router: Arc<Router>,
    /// `None` for the platform's own hosts: counted in sum, not logged.
    tally: Option<Arc<Tally>>,
    /// Whose dynos answer instead of the app's own: it is counted and logged there, too.
    canary: Option<Arc<App>>,
    subject: Subject,
    place: Option<InFlight>,
    connect_ms: Option<u64>,
    /// When it came, [`clock::millis`].
    came: u64,
    /// How long it waited until it went to a dyno for the first time is counted.
    handed_over: bool,
    /// When the request was handed to a dyno, [`clock::millis`].
    sent: Option<u64>,
    bytes: u64,
    outcome: Option<Outcome>,
    /// It is not to be counted.
    withdrawn: bool,
}

#[derive(Debug, Clone, Copy)]
struct Outcome {
    status: u16,
    code: Option<Code>,
    /// What of the app's edge policy kept it from a dyno.
    gate: Option<Gate>,
    cause: Option<&'static str>,
}

impl Visit {
    pub(crate) fn begin(router: Arc<Router>, tally: Option<Arc<Tally>>, subject: Subject) -> Visit {
        router.counters.requests.fetch_add(1, Relaxed);
        router.counters.in_flight.fetch_add(1, Relaxed);
        if let Some(tally) = &tally {
            tally.begin();
        }
        Visit {
            router,
            tally,
            canary: None,
            subject,
            place: None,
            connect_ms: None,
            came: clock::millis(),
            handed_over: false,
            sent: None,
            bytes: 0,
            outcome: None,
            withdrawn: false,
        }
    }

    /// As if it had never begun: somebody else begins with the request anew.
    pub(crate) fn withdraw(mut self) {
        self.place = None;
        self.withdrawn = true;
        self.router.counters.requests.fetch_sub(1, Relaxed);
        self.router.counters.in_flight.fetch_sub(1, Relaxed);
        if let Some(tally) = &self.tally {
            tally.withdraw();
        }
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The dynos of this app are to answer; `None` for the own of the app that the host belongs to.
    pub(crate) fn lead(&mut self, canary: Option<Arc<App>>) {
        if let Some(before) = &self.canary {
            before.tally.leave();
        }
        if let Some(next) = &canary {
            next.tally.begin();
        }
        self.place = None;
        self.canary = canary;
    }

    /// Takes a place on an upstream, giving up the one held before.
    pub(crate) fn occupy(&mut self, place: InFlight) {
        self.place = Some(place);
        self.connect_ms = None;
        self.sent = None;
    }

    pub(crate) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.place.as_ref().map(InFlight::upstream)
    }

    /// How long the connection took, 0 for one that was open.
    pub(crate) fn connected(&mut self, ms: u64) {
        self.connect_ms = Some(ms);
    }

    /// From here the dyno's time counts; gives when that is, [`clock::millis`].
    pub(crate) fn sending(&mut self) -> u64 {
        let now = clock::millis();
        self.sent = Some(now);
        if !std::mem::replace(&mut self.handed_over, true) {
            // Of the app whose dynos answer: more of those would have had it sooner.
            let canary = self.canary.as_ref().map(|canary| &canary.tally);
            if let Some(tally) = canary.or(self.tally.as_ref()) {
                tally.hand_over(now.saturating_sub(self.came));
            }
        }
        now
    }

    pub(crate) fn add_bytes(&mut self, count: usize) {
        self.bytes += count as u64;
    }

    /// The dyno answered, whole.
    pub(crate) fn succeed(&mut self, status: u16) {
        self.outcome = Some(Outcome {
            status,
            code: None,
            gate: None,
            cause: None,
        });
    }

    /// The app's edge policy kept it from a dyno.
    pub(crate) fn turn_away(&mut self, gate: Gate, status: u16) {
        self.outcome = Some(Outcome {
            status,
            code: None,
            gate: Some(gate),
            cause: None,
        });
    }

    /// It ended otherwise.
    pub(crate) fn fail(&mut self, code: Code) {
        self.refuse(code, code.status(), None);
    }

    /// It ended otherwise, with a status or cause of its own.
    pub(crate) fn refuse(&mut self, code: Code, status: u16, cause: Option<&'static str>) {
        self.outcome = Some(Outcome {
            status,
            code: Some(code),
            gate: None,
            cause,
        });
    }

    /// `service`: how long the dyno took.
    fn line(&self, outcome: Outcome, service: Option<u64>) -> String {
        let mut line = String::with_capacity(320);
        // Writing to a String cannot fail.
        let _ = self.write(&mut line, outcome, service);
        line
    }

    fn write(&self, line: &mut String, outcome: Outcome, service: Option<u64>) -> std::fmt::Result {
        match (outcome.code, outcome.gate) {
            (None, None) => line.push_str("at=info"),
            (None, Some(gate)) => {
                let (at, name, desc) = (gate.at(), gate.name(), gate.desc());
                write!(line, "at={at} edge={name} desc=\"{desc}\"")?;
            }
            (Some(code), _) => {
                if let Some(sock) = code.sock() {
                    write!(line, "sock={sock} ")?;
                }
                write!(
                    line,
                    "at={} code={} desc=\"{}\"",
                    code.at(),
                    code.name(),
                    code.desc()
                )?;
                if let Some(cause) = outcome.cause {
                    write!(line, " cause=\"{cause}\"")?;
                }
            }
        }
        // Every line has these: put in without the formatter, which costs more than all the rest.
        line.push_str(" method=");
        line.push_str(clip(self.subject.method.as_str(), METHOD));
        line.push_str(" path=\"");
        quote(line, self.subject.path.as_str(), PATH);
        line.push_str("\" host=");
        line.push_str(clip(&self.subject.host, HOST));
        line.push_str(" request_id=");
        line.push_str(self.subject.request_id.to_str().unwrap_or_default());
        line.push_str(" fwd=\"");
        let fwd = self.subject.forwarded_for.to_str().unwrap_or_default();
        match fwd.contains(' ') {
            true => quote(line, &fwd.replace(", ", ","), FWD),
            false => quote(line, fwd, FWD),
        }
        line.push_str("\" dyno=");
        if let Some(upstream) = self.upstream() {
            line.push_str(&upstream.dyno);
        }
        if let Some(canary) = &self.canary {
            write!(line, " canary={}", canary.name)?;
        }
        line.push_str(" connect=");
        if let Some(ms) = self.connect_ms {
            write!(line, "{ms}ms")?;
        }
        line.push_str(" service=");
        if let Some(ms) = service {
            write!(line, "{ms}ms")?;
        }
        write!(line, " status={} bytes=", outcome.status)?;
        if self.sent.is_some() {
            write!(line, "{}", self.bytes)?;
        }
        line.push_str(" protocol=");
        line.push_str(if self.subject.https { "https" } else { "http" });
        Ok(())
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.withdrawn {
            return;
        }
        let outcome = self.outcome.unwrap_or(Outcome {
            status: Code::H27.status(),
            code: Some(Code::H27),
            gate: None,
            cause: None,
        });
        // What the router said itself is class 0, what a client never heard is its status' class.
        let class = match (outcome.code, outcome.gate) {
            (Some(Code::H27 | Code::H28), _) => 4,
            (Some(_), _) | (None, Some(_)) => 0,
            (None, None) => usize::from(outcome.status / 100).min(5),
        };
        let counters = &self.router.counters;
        counters.in_flight.fetch_sub(1, Relaxed);
        if let Some(count) = counters.classes.get(class) {
            count.fetch_add(1, Relaxed);
        }
        let Some(tally) = &self.tally else { return };
        let took = (self.sent).map(|sent| clock::millis().saturating_sub(sent));
        // A tunnel's life says nothing about how fast the app answers.
        let service = match (outcome.code, outcome.status) {
            (None, status) if status != 101 => took,
            (Some(Code::H12), _) => took,
            _ => None,
        };
        let canary = self.canary.as_ref().map(|canary| &canary.tally);
        let in_line = matches!(outcome.code, Some(Code::H11 | Code::H12 | Code::H20));
        if in_line && !self.handed_over {
            canary.unwrap_or(tally).give_up();
        }
        // How fast a canary answers says nothing about the app's own dynos, by which those are scaled.
        let own = service.filter(|_| canary.is_none());
        let ended = [Some((tally, own)), canary.map(|tally| (tally, service))];
        for (tally, service) in ended.into_iter().flatten() {
            tally.end(class, service);
            match (outcome.code, outcome.gate) {
                (None, None) => {}
                (Some(code), _) => tally.fail(code),
                (None, Some(gate)) => tally.turn_away(gate),
            }
        }
        if let Some(upstream) = self.upstream() {
            upstream.ended.add(class, service);
        }
        if !self.router.logs.is_closed() {
            let line = self.line(outcome, took);
            if let Some(canary) = canary {
                self.router.logs.push(canary, line.clone());
            }
            self.router.logs.push(tally, line);
        }
    }
}

/// Appends text that stands between double quotes, at most `most` bytes.
fn quote(line: &mut String, text: &str, most: usize) {
    if text.len() <= most && !text.contains(['"', '\\']) {
        line.push_str(text);
        return;
    }
    let most = line.len() + most;
    for char in text.chars() {
        let escaped = matches!(char, '"' | '\\');
        if line.len() + usize::from(escaped) + char.len_utf8() > most {
            return;
        }
        if escaped {
            line.push('\\');
        }
        line.push(char);
    }
}

/// The beginning of a text, at most `most` bytes.
fn clip(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
