//! An app's log: a session, then a stream of events that is taken up again where it broke.

use std::collections::VecDeque;
use std::time::Duration;

use http::{Method, header};
use reqwest::{Response, StatusCode};
use ropewalk_api_types::LogSession;
use ropewalk_api_types::log_session::LogSessionCreate;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::sse::Parser;

/// The server sends a comment every 30 s; three missing ones mean that nobody is there.
const SILENT_FOR: Duration = Duration::from_secs(90);
/// Between a stream's end and the next attempt, unless the server says otherwise.
const RECONNECT_AFTER: Duration = Duration::from_secs(3);
/// How often in a row a followed log is asked for in vain.
const ATTEMPTS: u32 = 20;

/// A log being read.
#[derive(Debug)]
pub struct LogStream {
    client: Client,
    url: String,
    follow: bool,
    stream: Option<Response>,
    parser: Parser,
    ready: VecDeque<String>,
    last_event_id: Option<String>,
    failures: u32,
}

impl Client {
    pub async fn create_log_session(
        &self,
        app: &str,
        session: &LogSessionCreate,
    ) -> Result<LogSession> {
        self.send(Method::POST, &["apps", app, "log-sessions"], session)
            .await
    }

    /// Asks for a log and opens it.
    ///
    /// With `tail` the stream is taken up again after every end, from the last event on; without, its end is the end.
    pub async fn logs(&self, app: &str, session: &LogSessionCreate) -> Result<LogStream> {
        let follow = session.tail.unwrap_or(false);
        let session = self.create_log_session(app, session).await?;
        let mut stream = LogStream {
            client: self.clone(),
            url: session.logplex_url,
            follow,
            stream: None,
            parser: Parser::default(),
            ready: VecDeque::new(),
            last_event_id: None,
            failures: 0,
        };
        stream.stream = Some(stream.connect().await?);
        Ok(stream)
    }
}

impl LogStream {
    /// The next line, without its line end; `None` when the log has ended.
    ///
    /// # Errors
    /// A followed log that was refused, or that could not be reached many times in a row; any break otherwise.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) if !self.follow => return Ok(None),
                Err(error) if !self.follow => return Err(error),
                Ok(false) | Err(_) => self.resume().await?,
            }
        }
    }

    /// Reads what is there; `false` at the stream's clean end.
    async fn read(&mut self) -> Result<bool> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let chunk = match tokio::time::timeout(SILENT_FOR, stream.chunk()).await {
            Ok(chunk) => chunk.map_err(|source| Error::Stream {
                what: "log",
                source,
            })?,
            Err(_) => return Err(Error::StreamSilent { what: "log" }),
        };
        let Some(chunk) = chunk else { return Ok(false) };
        self.failures = 0;
        for event in self.parser.push(&chunk) {
            self.ready.extend(event.data.lines().map(str::to_owned));
            if event.id.is_some() {
                self.last_event_id = event.id;
            }
        }
        Ok(true)
    }

    async fn resume(&mut self) -> Result<()> {
        self.stream = None;
        self.parser.restart();
        loop {
            let pause = self.parser.retry.unwrap_or(RECONNECT_AFTER);
            tokio::time::sleep(pause.clamp(Duration::from_millis(10), Duration::from_secs(30)))
                .await;
            match self.connect().await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                // The session is over for good.
                Err(
                    error @ Error::StreamRefused {
                        status: 401 | 403 | 404 | 410,
                        ..
                    },
                ) => return Err(error),
                Err(error) => {
                    self.failures += 1;
                    if self.failures >= ATTEMPTS {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<Response> {
        let mut request = self
            .client
            .http
            .get(&self.url)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(id) = &self.last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.client.unreachable(error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            status => Err(Error::StreamRefused {
                what: "log",
                status: status.as_u16(),
            }),
        }
    }
}
