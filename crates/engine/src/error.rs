//! What can fail between us and the engine.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum EngineError {
    /// Nothing answers on the engine's socket. Running dynos go on; callers try again later.
    #[error("Docker Engine does not answer: {0}")]
    Unreachable(String),
    /// No answer within the verb's deadline.
    #[error("Docker Engine did not answer within {seconds} s: {verb}")]
    Timeout { verb: &'static str, seconds: u64 },
    #[error("no such {kind}: {name}")]
    NotFound { kind: &'static str, name: String },
    #[error("{name} is there already")]
    Conflict { name: String },
    #[error("Docker Engine refused to {verb} {name}: {message}")]
    Refused {
        verb: &'static str,
        name: String,
        message: String,
    },
    #[error("{verb} {path}: {source}")]
    Io {
        verb: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// An external program (nft, …) failed.
    #[error("{program} failed: {message}")]
    Program {
        program: &'static str,
        message: String,
    },
}
