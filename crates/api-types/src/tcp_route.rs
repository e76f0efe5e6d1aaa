//! `/ropewalk/apps/:app/tcp-routes`: where bytes of any protocol come in for an app's dynos. Not in Heroku's API.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reference::Named;

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    pub id: Uuid,
    pub app: Named,
    /// Whose dynos have the connections.
    pub process_type: String,
    /// Of the host; `null` where clients of TLS name `hostname`.
    pub port: Option<u16>,
    /// That clients of TLS name; `null` where they come to `port`.
    pub hostname: Option<String>,
    /// Where the dynos listen.
    pub dyno_port: u16,
    /// Seconds after which a connection ends that is silent both ways.
    pub idle_timeout: u32,
    /// Each connection begins for the dyno with a header that names the client; `null` for none.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// `host:port` that clients connect to.
    pub address: String,
    pub status: TcpRouteStatus,
    /// Why it is not open.
    pub status_reason: Option<String>,
    #[serde(with = "crate::time")]
    pub created_at: Timestamp,
}

/// Version of the PROXY protocol: a line of text, or binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    V1,
    V2,
}

/// Whether clients can come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpRouteStatus {
    Open,
    /// A router could not listen on the port, or may not.
    Failed,
    /// No router is there to tell.
    Unknown,
}

impl fmt::Display for TcpRouteStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

/// `POST …/tcp-routes`: without `port` and `hostname` the lowest free port is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpRouteCreate {
    /// `web` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What the dynos find in `PORT`, where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dyno_port: Option<u16>,
    /// 10 to 86,400; an hour where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
    /// No header where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}
