//! The link between server and router: newline-delimited JSON on one unix socket, both ways.
//!
//! The server listens, the router connects and reconnects. Each line is one message of at most
//! [`MAX_LINE`] bytes. The server sends a whole table ([`ToRouter::Table`]), then what changes in it
//! ([`ToRouter::Changes`]), each with a higher generation than the last; the router answers each with [`ToServer::Ack`]
//! once no *new* request can reach an upstream that the table no longer names, and reports what it saw. Certificates are
//! numbered and answered likewise ([`ToServer::Certified`]).
//!
//! The two are upgraded apart: what either side does not know (a type of message, a key) it passes over, and what may be
//! missing has a default. A new kind of something that stands inside a known message is none of that, so that an older
//! side would lose the message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::tcp_route::ProxyProtocol;

/// Longest line either side accepts, in bytes. 10,000 apps with 10 dynos each take about 20 MB.
pub const MAX_LINE: usize = 64 << 20;

/// From server to router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToRouter {
    Table(Table),
    /// To a router that has said that it understands them, after the table that they change.
    Changes(Changes),
    /// Takes the place of the certificates sent before.
    Certificates(Certificates),
    /// Sent every few seconds when nothing else is; a router that hears nothing for 30 s reconnects.
    Ping,
    /// Of a newer server.
    #[serde(other)]
    Unknown,
}

/// Everything the router needs to serve, whole. Kept on disk by the router as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Grows with each table of one server run; a router takes any first table after (re)connecting.
    pub generation: u64,
    /// Host name (lower case, no port, no trailing dot; `*.zone` allowed) to the key of its target in `apps`,
    /// or to the platform itself.
    pub hosts: BTreeMap<String, Target>,
    /// By app id.
    pub apps: BTreeMap<String, AppRoute>,
    /// Unix socket that serves terminals of one-off dynos to clients that speak rendezvous.
    #[serde(default)]
    pub rendezvous: Option<String>,
}

/// What makes one table of another. Kept on disk by the router behind the table, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Of the table that comes out.
    pub generation: u64,
    /// Of the table that goes in.
    pub since: u64,
    /// As in [`Table::hosts`]; `None` for one that is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Option<Target>>,
    /// As in [`Table::apps`]; `None` for one that is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<String, Option<AppRoute>>,
}

impl Changes {
    /// What makes `new` of `old`, or `None` where only a whole table says it.
    pub fn between(old: &Table, new: &Table) -> Option<Changes> {
        if old.rendezvous != new.rendezvous {
            return None;
        }
        Some(Changes {
            generation: new.generation,
            since: old.generation,
            hosts: difference(&old.hosts, &new.hosts),
            apps: difference(&old.apps, &new.apps),
        })
    }
}

impl Table {
    /// Makes the table that comes out of `changes`, unless they are to another one: then it stays, and this is `false`.
    pub fn change(&mut self, changes: Changes) -> bool {
        if changes.since != self.generation {
            return false;
        }
        self.generation = changes.generation;
        merge(&mut self.hosts, changes.hosts);
        merge(&mut self.apps, changes.apps);
        true
    }
}

fn difference<V: Clone + PartialEq>(
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
) -> BTreeMap<String, Option<V>> {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let news = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(value));
    gone.map(|key| (key.clone(), None))
        .chain(news.map(|(key, value)| (key.clone(), Some(value.clone()))))
        .collect()
}

fn merge<V>(into: &mut BTreeMap<String, V>, changes: BTreeMap<String, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
}

/// The certificates of people's domains, whole. Kept on disk by the router, readable by its user alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// Grows with each change of one server run; 0 is answered by nobody.
    #[serde(default)]
    pub generation: u64,
    pub endpoints: Vec<Certificate>,
    /// About the router's own certificate, which it has in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Own>,
    /// What is answered to an authority that looks whether a name leads here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<Challenge>,
}

/// One answer to an authority, for one host alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Lower case, no port, no trailing dot, no wildcard.
    pub host: String,
    pub proof: Proof,
}

/// What shows that a name leads here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "over", rename_all = "snake_case")]
pub enum Proof {
    /// The page at `/.well-known/acme-challenge/<token>`.
    Http {
        token: String,
        authorization: String,
    },
    /// The certificate, PEM, for clients that speak `acme-tls/1`, and its key, PEM.
    Tls { chain: String, key: Secret },
}

/// One certificate and the names it is served for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// As in [`Table::hosts`].
    pub hosts: Vec<String>,
    /// PEM, leaf first.
    pub chain: String,
    /// PEM.
    pub key: Secret,
    /// What its authority says about it, for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staple: Option<Staple>,
}

/// What an authority says about the certificate in the router's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// PEM, leaf first: it is about this one, and the files may have another by now.
    pub chain: String,
    pub staple: Staple,
}

/// An answer of OCSP, to be sent with the certificate (RFC 6066, 8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staple {
    /// DER, in base64.
    pub answer: String,
    /// In seconds since 1970. From then on it is not sent.
    pub until: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Target {
    /// An app, by its id.
    App { app: String },
    /// `api.`, `git.`, `registry.`: forwarded to this unix socket, host header untouched. No dyno log line.
    Platform { socket: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoute {
    pub name: String,
    /// H80 for everybody.
    #[serde(default)]
    pub maintenance: bool,
    /// A client comes to the upstream again that it came to before, by a cookie.
    #[serde(default)]
    pub session_affinity: bool,
    /// Requests that one dyno takes at once; the rest wait in the router. `None`: any number.
    #[serde(default)]
    pub concurrency: Option<u32>,
    #[serde(default)]
    pub protocol: DynoProtocol,
    /// Custom pages, as Heroku's config vars of these names: absolute URLs that a redirect-free iframe shows.
    #[serde(default)]
    pub error_page_url: Option<String>,
    #[serde(default)]
    pub maintenance_page_url: Option<String>,
    /// What is asked of a request before it goes to an upstream. `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<Box<EdgePolicy>>,
    /// Seconds for which a request waits for a dyno that boots, where that is longer than the router's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<u32>,
    /// It sleeps, or is just waking: who asks for it says so ([`ToServer::Wake`]) and waits.
    #[serde(default, skip_serializing_if = "is_not")]
    pub asleep: bool,
    /// Browsers are shown a page while it wakes.
    #[serde(default, skip_serializing_if = "is_not")]
    pub waiting_page: bool,
    /// What to answer while `upstreams` is empty.
    pub when_empty: WhenEmpty,
    pub upstreams: Vec<Upstream>,
    /// Where bytes come in that go to dynos of the app as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpRoute>,
}

fn is_not(flag: &bool) -> bool {
    !flag
}

/// A way to an app's dynos for bytes of any protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    /// What counts are kept under from table to table.
    pub id: String,
    /// `mqtt`, for the log line.
    pub process_type: String,
    pub entrance: TcpEntrance,
    /// Seconds without a byte in either direction.
    pub idle: u32,
    /// A header goes to the dyno first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Dynos of the type are wanted: while there is none a connection waits for one.
    pub wanted: bool,
    pub upstreams: Vec<Upstream>,
}

/// Where clients come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpEntrance {
    /// Of the host, on every address on which the router takes HTTP.
    Port(u16),
    /// Named by a client of TLS, which goes on undecrypted; lower case, no trailing dot, no wildcard.
    ServerName(String),
}

/// What an app's dynos speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynoProtocol {
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte on. Upgrades, WebSockets among them, are HTTP/1.1 all the same.
    H2c,
}

/// What an app asks of a request before it goes to an upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgePolicy {
    /// Requests wait as if the app were booting.
    pub pause: bool,
    /// Requests over plain HTTP are sent to HTTPS.
    pub https_redirect: bool,
    /// Seconds that answers over HTTPS name in `Strict-Transport-Security`.
    pub hsts: Option<u64>,
    /// Ranges of addresses that alone get through; empty for everybody.
    pub trusted_ips: Vec<String>,
    /// By what user and password are known, as `model::edge` keeps it.
    pub basic_auth: Option<Secret>,
    /// How many requests one client address may make.
    pub rate_limit: Option<RateLimit>,
    /// Bytes of a request's body.
    pub max_body: Option<u64>,
    /// Another app whose dynos answer some of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// Whose dynos answer some of an app's requests, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// By its key in [`Table::apps`]. Where that lacks it, or has no upstream of it, the app's own answer.
    pub app: String,
    /// Hundredths of a percent of the clients.
    pub weight: u16,
    /// The cookie with which a client asks for it (`always`) or for the app's own dynos (`never`).
    #[serde(default)]
    pub cookie: Option<String>,
}

/// So many requests in so many seconds on the whole, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    pub requests: u32,
    pub seconds: u32,
    pub burst: u32,
}

/// Why an app has no upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenEmpty {
    /// H14: web is scaled to 0, or the app has no release yet that has a web process (then H81 instead).
    NoWebDynos,
    /// H81: nothing was ever deployed.
    Blank,
    /// H10: every web dyno is crashed.
    Crashed,
    /// Web dynos are starting: hold the request up to 75 s for the next table, then H20.
    Booting,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Upstream {
    /// The dyno's id (uuid): what in-flight counts and drain reports are kept under.
    pub id: String,
    /// `web.1`, for the log line.
    pub dyno: String,
    /// `ip:port`.
    pub addr: String,
}

/// From router to server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToServer {
    /// First line after connecting.
    Hello {
        pid: u32,
        version: String,
        /// It understands [`ToRouter::Changes`].
        #[serde(default)]
        changes: bool,
    },
    /// The table of this generation is in force. `draining`: upstreams no longer named that still have requests
    /// in flight, by id with the count; sent again each time one of them reaches zero (then without it).
    Ack {
        generation: u64,
        draining: BTreeMap<String, u64>,
        /// Ports of [`TcpRoute`]s that could not be listened on, and why; sent again when that changes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unbound: Vec<Unbound>,
    },
    /// New connections get the certificates of this generation, and authorities its answers.
    Certified { generation: u64 },
    /// Router log lines (`at=info method=…`, without time and source), in order. Batched: at most 512 lines,
    /// 1 MiB of text or 100 ms. A line is at most 10,000 bytes.
    Log { lines: Vec<LogLine> },
    /// Somebody asked for an app that is [`AppRoute::asleep`]. Once, and again to each server that is new.
    Wake { app: String },
    /// Every second, apps with traffic only.
    Stats { apps: BTreeMap<String, AppStats> },
    /// Of a newer router.
    #[serde(other)]
    Unknown,
}

/// A port that could not be listened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbound {
    pub port: u16,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// App id.
    pub app: String,
    /// RFC 3339, microseconds, UTC.
    pub at: String,
    pub text: String,
}

/// What one app did in the last second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppStats {
    pub requests: u64,
    /// By status class: index 1 is 1xx … 5 is 5xx; 0 is answered by the router itself.
    pub classes: [u64; 6],
    /// Requests in flight now, queue included.
    pub in_flight: u64,
    /// Those of them that wait for a dyno.
    #[serde(default)]
    pub waiting: u64,
    /// How long requests that were handed to a dyno had waited before, counted as [`AppStats::times`] is. `None`
    /// where that is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Vec<(u16, u64)>>,
    /// Requests that were refused because too many waited for a dyno, or waited too long. `None` where they are not told
    /// from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<u64>,
    /// What the router answered itself or logged as an error, by code (`H12`) or edge setting (`https-redirect`).
    #[serde(default)]
    pub codes: BTreeMap<String, u64>,
    /// Service time in ms at p50, p95 and p99 of this second.
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
    /// The same times counted by bucket, as `model::response_times` numbers them.
    #[serde(default)]
    pub times: Vec<(u16, u64)>,
    /// By the dyno's id, those with traffic only.
    #[serde(default)]
    pub dynos: BTreeMap<String, DynoStats>,
    /// `None` without connections over [`TcpRoute`]s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpStats>,
}

/// What an app's [`TcpRoute`]s did in the last second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpStats {
    /// Connections that have ended, by what their log line has as `code`; `none` for those without.
    pub ended: BTreeMap<String, u64>,
    /// Connections that are open now.
    pub open: u64,
    /// Bytes that clients sent, and that dynos did.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// What one dyno of an app did in the last second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DynoStats {
    /// As in [`AppStats::classes`].
    pub classes: [u64; 6],
    pub in_flight: u64,
    /// As in [`AppStats::times`].
    pub times: Vec<(u16, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(generation: u64, hosts: &[(&str, &str)]) -> Table {
        let target = |app: &str| Target::App {
            app: app.to_owned(),
        };
        Table {
            generation,
            hosts: hosts
                .iter()
                .map(|(host, app)| ((*host).to_owned(), target(app)))
                .collect(),
            ..Table::default()
        }
    }

    #[test]
    fn changes_make_one_table_of_another() {
        let old = table(7, &[("a", "1"), ("b", "1"), ("c", "2")]);
        let new = table(9, &[("a", "1"), ("b", "2"), ("d", "2")]);
        let changes = Changes::between(&old, &new).unwrap();
        assert_eq!(changes.hosts.len(), 3, "{changes:?}");
        let mut made = old.clone();
        assert!(made.change(changes.clone()));
        assert_eq!(made, new);
        assert!(!made.change(changes), "they are to another table");
        assert_eq!(made, new);
    }

    #[test]
    fn a_side_that_knows_no_tcp_is_understood() {
        let ack = r#"{"type":"ack","generation":3,"draining":{}}"#;
        let read: ToServer = serde_json::from_str(ack).unwrap();
        let ToServer::Ack { unbound, .. } = &read else {
            panic!("{read:?}");
        };
        assert!(unbound.is_empty());
        assert_eq!(serde_json::to_string(&read).unwrap(), ack);
        let unbound = vec![Unbound {
            port: 20_000,
            reason: "in use".to_owned(),
        }];
        let told = ToServer::Ack {
            generation: 3,
            draining: BTreeMap::new(),
            unbound,
        };
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<ToServer>(&text).unwrap(), told);
        let stats: AppStats = serde_json::from_str(
            r#"{"requests":0,"classes":[0,0,0,0,0,0],"in_flight":0,"p50_ms":0,"p95_ms":0,"p99_ms":0}"#,
        )
        .unwrap();
        assert_eq!(stats, AppStats::default());
    }

    #[test]
    fn a_side_that_knows_no_staples_is_understood() {
        let text = r#"{"hosts":["a"],"chain":"","key":""}"#;
        let read: Certificate = serde_json::from_str(text).unwrap();
        assert_eq!(read.staple, None);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn a_message_or_a_key_that_is_not_known_is_passed_over() {
        let text = r#"{"type":"yawn","app":"1"}"#;
        assert_eq!(
            serde_json::from_str::<ToServer>(text).unwrap(),
            ToServer::Unknown
        );
        assert_eq!(
            serde_json::from_str::<ToRouter>(text).unwrap(),
            ToRouter::Unknown
        );
        let text = r#"{"type":"certified","generation":7,"more":[1]}"#;
        let read: ToServer = serde_json::from_str(text).unwrap();
        assert_eq!(read, ToServer::Certified { generation: 7 });
    }

    #[test]
    fn another_socket_for_terminals_takes_a_whole_table() {
        let old = table(1, &[]);
        let new = Table {
            rendezvous: Some("/run/terminals".to_owned()),
            ..table(2, &[])
        };
        assert_eq!(Changes::between(&old, &new), None);
    }
}
