//! What is told of a connection: a line in the app's log, and counts.
//!
//! A [`Record`] closes itself when dropped. Dropped without an outcome, the router was replaced, or stopped.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use ropewalk_api_types::router::{TcpEntrance, TcpStats};

use super::index::{Route, Seat};
use crate::clock;
use crate::code::Code;
use crate::router::Router;
use crate::upstream::InFlight;

/// Why a connection did not come to a dyno, or what ended it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The route has as many as it takes.
    Crowded,
    /// This client has.
    CrowdedByClient,
    /// No dyno is wanted.
    NoDynos,
    /// Neither side sent a byte for too long.
    Idle,
    /// No dyno took it in time.
    Timeout,
    /// There was no dyno within its patience.
    Booting,
    /// No dyno took it.
    Refused,
    Maintenance,
    /// The app's edge policy does not let this address in.
    Untrusted,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both sides were told the end of the other.
    Ended,
    /// One of them broke it off, and the other was told so.
    Reset,
    Failed(Fault),
}

impl Fault {
    const ALL: [Fault; 9] = [
        Fault::Crowded,
        Fault::CrowdedByClient,
        Fault::NoDynos,
        Fault::Idle,
        Fault::Timeout,
        Fault::Booting,
        Fault::Refused,
        Fault::Maintenance,
        Fault::Untrusted,
    ];

    fn code(self) -> Option<Code> {
        Some(match self {
            Fault::Crowded | Fault::CrowdedByClient => Code::H11,
            Fault::NoDynos => Code::H14,
            Fault::Idle => Code::H15,
            Fault::Timeout => Code::H19,
            Fault::Booting => Code::H20,
            Fault::Refused => Code::H21,
            Fault::Maintenance => Code::H80,
            Fault::Untrusted => return None,
        })
    }

    fn name(self) -> &'static str {
        self.code().map_or("trusted-ips", Code::name)
    }

    fn desc(self) -> &'static str {
        match self {
            Fault::Crowded => "Too many open connections",
            Fault::CrowdedByClient => "Too many open connections of one client",
            Fault::NoDynos => "No processes of this type running",
            Fault::Untrusted => "Address not trusted",
            Fault::Idle | Fault::Timeout | Fault::Booting | Fault::Refused | Fault::Maintenance => {
                self.code().map_or("", Code::desc)
            }
        }
    }
}

/// Counters of one route since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// By [`Fault`].
    failed: [AtomicU64; Fault::ALL.len()],
    ended: AtomicU64,
    pub(super) open: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Counts {
    pub(super) fn open(&self) -> u64 {
        self.open.load(SeqCst)
    }

    fn end(&self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Failed(fault)) => {
                if let Some(count) = self.failed.get(fault as usize) {
                    count.fetch_add(1, Relaxed);
                }
            }
            Some(Outcome::Ended | Outcome::Reset) | None => {
                self.ended.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn take(&self) -> TcpStats {
        let mut ended: BTreeMap<String, u64> = BTreeMap::new();
        let failed = Fault::ALL.map(Fault::name).into_iter().zip(&self.failed);
        for (name, count) in failed.chain([("none", &self.ended)]) {
            match count.swap(0, Relaxed) {
                0 => {}
                count => *ended.entry(name.to_owned()).or_default() += count,
            }
        }
        TcpStats {
            ended,
            open: self.open(),
            bytes_in: self.bytes_in.swap(0, Relaxed),
            bytes_out: self.bytes_out.swap(0, Relaxed),
        }
    }
}

/// One connection's record.
#[derive(Debug)]
pub(crate) struct Record {
    router: Arc<Router>,
    route: Arc<Route>,
    client: IpAddr,
    began: u64,
    /// Bytes that the client sent, and that the dyno did.
    pub(crate) bytes_in: Arc<AtomicU64>,
    pub(crate) bytes_out: Arc<AtomicU64>,
    /// How many of each were counted already.
    counted: [u64; 2],
    /// Until it came to a dyno, in ms.
    connect: Option<u64>,
    place: Option<InFlight>,
    outcome: Option<Outcome>,
    /// Last: a connection that is told of as ended is open no more.
    seat: Option<Seat>,
}

impl Record {
    pub(crate) fn begin(router: &Arc<Router>, route: &Arc<Route>, client: IpAddr) -> Record {
        Record {
            router: Arc::clone(router),
            route: Arc::clone(route),
            client,
            began: clock::millis(),
            bytes_in: Arc::default(),
            bytes_out: Arc::default(),
            counted: [0; 2],
            connect: None,
            place: None,
            outcome: None,
            seat: None,
        }
    }

    pub(crate) fn take_seat(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

    /// It came to a dyno, which has it from here.
    pub(crate) fn connected(&mut self, place: InFlight) {
        self.connect = Some(clock::millis().saturating_sub(self.began));
        self.place = Some(place);
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// Counts the bytes that have passed since the last time.
    pub(crate) fn count(&mut self) {
        let counts = &self.route.shared.counts;
        let sums = [&counts.bytes_in, &counts.bytes_out];
        let passed = [&self.bytes_in, &self.bytes_out];
        for ((sum, passed), counted) in sums.into_iter().zip(passed).zip(&mut self.counted) {
            let now = passed.load(Relaxed);
            sum.fetch_add(now.saturating_sub(*counted), Relaxed);
            *counted = now;
        }
    }

    fn line(&self) -> String {
        let mut line = String::with_capacity(200);
        // Writing to a String cannot fail.
        let _ = self.write(&mut line);
        line
    }

    fn write(&self, line: &mut String) -> std::fmt::Result {
        match self.outcome {
            Some(Outcome::Failed(fault)) => match fault.code() {
                Some(code) => {
                    let (at, name, desc) = (code.at(), code.name(), fault.desc());
                    write!(line, "at={at} code={name} desc=\"{desc}\"")?;
                }
                None => write!(
                    line,
                    "at=info edge={} desc=\"{}\"",
                    fault.name(),
                    fault.desc()
                )?,
            },
            Some(Outcome::Ended) => line.push_str("at=info"),
            Some(Outcome::Reset) => line.push_str("at=info cause=\"connection reset\""),
            None => line.push_str("at=info cause=\"router stopped\""),
        }
        match &self.route.entrance {
            TcpEntrance::Port(port) => write!(line, " port={port} protocol=tcp")?,
            TcpEntrance::ServerName(name) => write!(line, " host={name} protocol=tls")?,
        }
        let process_type = &self.route.process_type;
        write!(
            line,
            " process={process_type} fwd=\"{}\" dyno=",
            self.client
        )?;
        if let Some(place) = &self.place {
            line.push_str(&place.upstream().dyno);
        }
        line.push_str(" connect=");
        let lasted = clock::millis().saturating_sub(self.began);
        match self.connect {
            Some(ms) => write!(line, "{ms}ms service={}ms", lasted.saturating_sub(ms))?,
            None => line.push_str(" service="),
        }
        let (bytes_in, bytes_out) = (self.bytes_in.load(Relaxed), self.bytes_out.load(Relaxed));
        write!(line, " bytes_in={bytes_in} bytes_out={bytes_out}")
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.count();
        self.route.shared.counts.end(self.outcome);
        if !self.router.logs.is_closed() {
            let line = self.line();
            self.router.logs.push(&self.route.shared.tally, line);
        }
    }
}
