//! How long a drain waits for what.

use std::time::Duration;

/// Waits and deadlines; tests use shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Before the first try again; doubles up to `longest_wait`.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// A connection that lived as long as this makes the next wait short again.
    pub healthy: Duration,
    /// For a name to be looked up, for a connection and for the TLS handshake, each.
    pub connect: Duration,
    /// For a target to answer a request.
    pub answer: Duration,
    /// For a target to take more lines of syslog; then it gets another connection.
    pub stall: Duration,
    /// Lines that come within this time go into one request.
    pub gather: Duration,
    /// A connection that carried nothing for so long is closed; networks forget silent ones.
    pub idle: Duration,
    /// Between two lines about the same trouble in the app's log.
    pub say_every: Duration,
    /// How often the ledger is looked at without being told.
    pub look: Duration,
    /// For what is still in the buffers when the server stops.
    pub closing: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            first_wait: seconds(1),
            longest_wait: seconds(60),
            healthy: seconds(10),
            connect: seconds(10),
            answer: seconds(20),
            stall: seconds(60),
            gather: seconds(1),
            idle: seconds(120),
            say_every: seconds(60),
            look: seconds(30),
            closing: seconds(3),
        }
    }
}
