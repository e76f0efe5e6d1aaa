//! What can go wrong between us and the server.

use std::path::PathBuf;

use ropewalk_api_types::ErrorBody;
use thiserror::Error as ThisError;

/// The result of every request.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that did not succeed. The message is a clause without a full stop; the cause is in `source()`.
#[derive(Debug, ThisError)]
pub enum Error {
    /// The base address is not `http(s)://host[:port]`.
    #[error("`{url}` is not an address of the form http://host or https://host")]
    BadUrl { url: String },
    /// A path has no place in the base address.
    #[error("no address could be made for {what}")]
    BadPath { what: String },
    /// The CA file is not there, or not ours to read.
    #[error("the CA file {} could not be read", path.display())]
    CaFile {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The CA file holds no certificates.
    #[error("the CA file {} holds no usable certificates", path.display())]
    CaContent {
        path: PathBuf,
        source: reqwest::Error,
    },
    /// TLS could not be set up.
    #[error("the HTTP client could not be set up")]
    SetUp(#[source] reqwest::Error),
    /// No connection, or one that broke before the answer was there.
    #[error("the server at {host} could not be reached")]
    Unreachable {
        host: String,
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("the server at {host} did not answer in time")]
    Timeout { host: String },
    /// The server answered with an error of the API.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The server answered something else than the API's JSON.
    #[error("the answer of {host} to {what} is not what the Platform API says")]
    BadAnswer {
        host: String,
        what: String,
        source: serde_json::Error,
    },
    /// A stream (log, output) broke.
    #[error("the {what} stream broke")]
    Stream {
        what: &'static str,
        source: reqwest::Error,
    },
    /// A stream was refused.
    #[error("the {what} stream answered with status {status}")]
    StreamRefused { what: &'static str, status: u16 },
    /// A stream sent nothing for too long, keep-alives included, and could not be taken up again.
    #[error("the {what} stream was silent for too long")]
    StreamSilent { what: &'static str },
    /// The attach address is of a kind that this client does not speak.
    #[error("the dyno offers `{scheme}` to attach to, which this client does not speak")]
    AttachScheme { scheme: String },
    /// The server did not turn the attach request into a WebSocket.
    #[error("attaching to the dyno was refused with status {status}: {reason}")]
    AttachRefused { status: u16, reason: String },
    /// The connection to the dyno broke.
    #[error("the connection to the dyno broke")]
    Attach(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// The dyno sent a message that is none of the protocol's.
    #[error("the dyno sent a message that is not part of the attach protocol")]
    AttachProtocol,
}

/// An answer with a status of 400 or above.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{}", body.message)]
pub struct ApiError {
    pub status: u16,
    pub body: ErrorBody,
}

impl Error {
    /// The API's answer, when there was one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the API answered with this error id.
    pub fn has_id(&self, id: &str) -> bool {
        self.api().is_some_and(|error| error.body.id == id)
    }
}
