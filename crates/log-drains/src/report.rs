//! What an app's log is told of a drain: how many lines it lost, and what must be put right by its owner.
//!
//! Each kind of trouble at most once in a while: the lines go to the drains too, and shall not add to a flood.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ropewalk_logs::Logs;
use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;

use crate::connect::ConnectError;
use crate::format::time;

/// The process that the lines are from, as on Heroku.
const PROCESS: &str = "logplex";

pub(crate) struct Report {
    logs: Logs,
    app: AppId,
    token: String,
    every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    dropped: u64,
    since: Option<Timestamp>,
    dropped_said: Option<Instant>,
    trouble_said: Option<Instant>,
}

impl Report {
    pub(crate) fn new(logs: Logs, app: AppId, token: String, every: Duration) -> Self {
        Self {
            logs,
            app,
            token,
            every,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many lines will not be sent.
    pub(crate) fn dropped(&self, lines: u64) {
        if lines > 0 {
            let mut state = self.state();
            state.dropped += lines;
            state.since.get_or_insert_with(Timestamp::now);
        }
    }

    /// Says how many lines were dropped, if it is time to.
    pub(crate) fn tell(&self) {
        let text = {
            let mut state = self.state();
            if state.dropped == 0 || !self.is_due(state.dropped_said) {
                return;
            }
            state.dropped_said = Some(Instant::now());
            let since = state.since.take().unwrap_or_else(Timestamp::now);
            format!(
                "Error L10 (output buffer overflow): drain '{}' dropped {} messages since {}.",
                self.token,
                std::mem::take(&mut state.dropped),
                time(since)
            )
        };
        self.say(&text);
    }

    /// Says why no connection is made, where only the drain's owner can do something about it.
    pub(crate) fn not_connected(&self, error: &ConnectError) {
        let text = match error {
            ConnectError::Certificate(why) => format!(
                "Error L14 (certificate validation): drain '{}': {why}",
                self.token
            ),
            ConnectError::Refused => format!(
                "Error L13 (delivery error): drain '{}': its host leads to addresses that drains may not connect to.",
                self.token
            ),
            _ => return,
        };
        self.trouble(&text);
    }

    /// Says that the target refuses lines for good.
    pub(crate) fn rejected(&self, status: u16) {
        self.trouble(&format!(
            "Error L13 (delivery error): drain '{}' was answered with status {status}.",
            self.token
        ));
    }

    fn trouble(&self, text: &str) {
        {
            let mut state = self.state();
            if !self.is_due(state.trouble_said) {
                return;
            }
            state.trouble_said = Some(Instant::now());
        }
        self.say(text);
    }

    fn is_due(&self, said: Option<Instant>) -> bool {
        said.is_none_or(|said| said.elapsed() >= self.every)
    }

    fn say(&self, text: &str) {
        let source = LogSource::Heroku;
        self.logs
            .append(self.app, Timestamp::now(), source, PROCESS, text.as_bytes());
    }
}
