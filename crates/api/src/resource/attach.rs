//! `/ropewalk/attach/:secret`: a WebSocket to a one-off dyno. The address alone authorises, once, and as long as the
//! token it was given to may run commands in the app.

use std::time::Duration;

use axum::extract::State as Shared;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use ropewalk_api_types::attach::{FromDyno, MAX_FRAME, SUBPROTOCOL, ToDyno};
use tokio::sync::mpsc;

use crate::platform::{AttachError, Attachment};
use crate::resource::path::Path;
use crate::state::State;
use crate::transport::error::{ApiError, ApiResult};

/// Between pings while nothing else is sent.
const PING: Duration = Duration::from_secs(30);
/// How long the client may take to close after the last frame.
const CLOSE: Duration = Duration::from_secs(5);

pub(crate) async fn connect(
    Shared(state): Shared<State>,
    Path(secret): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult {
    // Before the secret is spent.
    let upgrade =
        upgrade.map_err(|_| ApiError::bad_request("This address takes WebSockets only."))?;
    let gone = || ApiError::not_found("dyno");
    let lost = state.ctx.terminals.right(&secret).await.ok_or_else(gone)?;
    let attachment = match state.ctx.platform.attach(&secret).await {
        Ok(attachment) => attachment,
        Err(AttachError::Unknown) => return Err(gone()),
        Err(error @ AttachError::Failed(_)) => return Err(ApiError::internal(&error)),
    };
    Ok(upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .on_upgrade(move |socket| bridge(socket, attachment, lost)))
}

/// Both ways at once: a dyno that does not read while it writes must not stop what it writes.
/// Hangs up once the right is `lost`.
async fn bridge(socket: WebSocket, attachment: Attachment, lost: impl Future<Output = ()>) {
    let Attachment { input, output } = attachment;
    let (mut to_client, mut from_client) = socket.split();
    let ended = tokio::select! {
        ended = to_the_client(&mut to_client, output) => ended,
        () = to_the_dyno(&mut from_client, input) => false,
        () = lost => false,
    };
    if ended {
        // What the client still sent is read away, so that closing does not cut off what it has not read.
        let rest = async { while let Some(Ok(_)) = from_client.next().await {} };
        let _ = tokio::time::timeout(CLOSE, rest).await;
    }
}

/// `true` once the dyno's last frame is out; `false` when the client is gone.
async fn to_the_client(
    client: &mut SplitSink<WebSocket, Message>,
    mut output: mpsc::Receiver<FromDyno>,
) -> bool {
    let mut ping = tokio::time::interval(PING);
    ping.reset();
    loop {
        let message = tokio::select! {
            frame = output.recv() => match frame {
                Some(frame) => Message::Binary(frame.encode()),
                None => break,
            },
            _ = ping.tick() => Message::Ping(bytes::Bytes::new()),
        };
        if client.send(message).await.is_err() {
            return false;
        }
    }
    client.close().await.is_ok()
}

/// Ends when the client is gone.
async fn to_the_dyno(client: &mut SplitStream<WebSocket>, input: mpsc::Sender<ToDyno>) {
    while let Some(Ok(message)) = client.next().await {
        let Message::Binary(frame) = message else {
            continue;
        };
        if let Some(frame) = ToDyno::decode(&frame) {
            // A dyno that takes no more input may still write.
            let _ = input.send(frame).await;
        }
    }
}
