//! One command of git: the channel's bytes go in, git's answer comes out, and its exit status ends the channel.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use russh::ChannelId;
use russh::server::Handle;
use tokio::sync::mpsc;

use super::auth::authorize;
use super::exec::Asked;
use crate::Error;
use crate::context::Context;
use crate::error::chain;
use crate::git::body::{Encoding, LINGER, bounded, feed};
use crate::git::exchange::{self, BUSY, Course, Exchange};

/// The other end of a channel.
pub(super) struct Client {
    pub(super) handle: Handle,
    pub(super) channel: ChannelId,
}

/// The client went away; nobody is left to be told anything.
struct Gone;

impl Client {
    async fn say(&self, text: &str) {
        // Whoever has gone hears nothing.
        let said = format!("{text}\n");
        let _ = self.handle.extended_data(self.channel, 1, said).await;
    }

    /// In this order, or clients lose the last of the output or the status.
    async fn end(&self, status: u32) {
        let _ = self.handle.exit_status_request(self.channel, status).await;
        let _ = self.handle.eof(self.channel).await;
        let _ = self.handle.close(self.channel).await;
    }
}

/// Serves the command to its end. Dropping it ends git, unless the push stands already.
pub(super) async fn run(
    context: Arc<Context>,
    client: Client,
    fingerprint: String,
    asked: Asked,
    version: Option<&'static str>,
    input: mpsc::Receiver<Bytes>,
) {
    let status = match exchange(&context, &client, &fingerprint, &asked, version, input).await {
        Ok(status) => status,
        Err(Gone) => return,
    };
    client.end(status).await;
}

async fn exchange(
    context: &Arc<Context>,
    client: &Client,
    fingerprint: &str,
    asked: &Asked,
    version: Option<&'static str>,
    received: mpsc::Receiver<Bytes>,
) -> Result<u32, Gone> {
    let refused = async |text: &str| {
        client.say(text).await;
        Ok(1)
    };
    let (app, user) = match authorize(context, fingerprint, asked).await {
        Ok(found) => found,
        Err(text) => return refused(text).await,
    };
    let Some(place) = exchange::place(context, asked.service) else {
        return refused(BUSY).await;
    };
    let service = asked.service;
    let started = exchange::start(context, app, user, service, Course::Whole, version, place).await;
    let Exchange {
        mut running,
        input,
        most,
    } = match started {
        Ok(started) => started,
        Err(error) => {
            tracing::error!(error = chain(&error), "Could not serve git.");
            return refused(match error {
                Error::GitStart(_) => "Ropewalk cannot run git on its host.",
                _ => "Ropewalk cannot use the app's repository right now.",
            })
            .await;
        }
    };
    if let Some(input) = input {
        let feeding = feed(body(received), Encoding::Plain, most, input);
        let (shutdown, over) = (context.shutdown.clone(), running.over.clone());
        context.tasks.spawn(async move {
            if let Err(error) = bounded(feeding, &shutdown, &over, LINGER).await {
                tracing::debug!(%error, "A client's input ended early.");
            }
        });
    }
    loop {
        match running.next().await {
            Ok(chunk) if chunk.is_empty() => break,
            Ok(chunk) => {
                let sent = client.handle.data(client.channel, chunk).await;
                sent.map_err(|_| Gone)?;
            }
            Err(error) => {
                tracing::warn!(%error, "Could not read what git says.");
                return Ok(1);
            }
        }
    }
    let status = running.conclude().await.and_then(|status| status.code());
    // Without a code it was ended by a signal, which git itself would call 128 and more.
    Ok(status
        .and_then(|code| u32::try_from(code).ok())
        .unwrap_or(128))
}

/// What arrives, as the body that [`feed`] takes. It ends with the client's input, or with the client.
fn body(received: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(stream::unfold(received, async |mut received| {
        let chunk = received.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), received))
    }))
}
