//! An attached dyno: its terminal over a WebSocket. What travels is in `ropewalk_api_types::attach`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, header};
use reqwest::{Response, Upgraded, Url};
use ropewalk_api_types::attach::SUBPROTOCOL;
pub use ropewalk_api_types::attach::{FromDyno, ToDyno};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::client::Client;
use crate::error::{Error, Result};
use crate::request::refusal_of;

/// A dyno may take its boot timeout (60 s) before it can be attached to.
const CONNECT_WITHIN: Duration = Duration::from_secs(90);

/// The way to the dyno.
#[derive(Debug)]
pub struct Sender {
    sink: SplitSink<WebSocketStream<Upgraded>, Message>,
}

/// The way from it.
#[derive(Debug)]
pub struct Receiver {
    stream: SplitStream<WebSocketStream<Upgraded>>,
}

impl Client {
    /// Attaches to the dyno behind an `attach_url`. The address authorises by itself, so the token is not sent.
    ///
    /// # Errors
    /// A scheme other than `ws` and `wss`, an address that was used before, a dyno that did not start.
    pub async fn attach(&self, attach_url: &str) -> Result<(Sender, Receiver)> {
        let url = http_url(attach_url)?;
        let key = generate_key();
        let request = self
            .http
            .get(url)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        let response = match tokio::time::timeout(CONNECT_WITHIN, request.send()).await {
            Ok(response) => response.map_err(|error| self.unreachable(error))?,
            Err(_) => return Err(Error::StreamSilent { what: "attach" }),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status().as_u16();
            return Err(Error::AttachRefused {
                status,
                reason: refusal_of(response).await.to_string(),
            });
        }
        check_handshake(&response, &key)?;
        let upgraded = response.upgrade().await.map_err(|source| Error::Stream {
            what: "attach",
            source,
        })?;
        let (sink, stream) = WebSocketStream::from_raw_socket(upgraded, Role::Client, None)
            .await
            .split();
        Ok((Sender { sink }, Receiver { stream }))
    }
}

impl Sender {
    pub async fn send(&mut self, message: ToDyno) -> Result<()> {
        self.sink
            .send(Message::Binary(message.encode()))
            .await
            .map_err(broken)
    }

    /// Keeps proxies from thinking that nobody is there.
    pub async fn ping(&mut self) -> Result<()> {
        self.sink
            .send(Message::Ping(Bytes::new()))
            .await
            .map_err(broken)
    }
}

impl Receiver {
    /// The next message; `None` when the connection was closed.
    pub async fn next(&mut self) -> Result<Option<FromDyno>> {
        loop {
            match self.stream.next().await {
                None | Some(Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed)) => {
                    return Ok(None);
                }
                Some(Ok(Message::Binary(bytes))) => {
                    return FromDyno::decode(&bytes)
                        .map(Some)
                        .ok_or(Error::AttachProtocol);
                }
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Err(Error::AttachProtocol);
                }
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Err(error)) => return Err(broken(error)),
            }
        }
    }
}

/// The HTTP address that a WebSocket starts from.
fn http_url(attach_url: &str) -> Result<Url> {
    let (scheme, rest) = attach_url.split_once("://").unwrap_or(("", attach_url));
    let http = match scheme {
        "ws" => "http",
        "wss" => "https",
        other => {
            return Err(Error::AttachScheme {
                scheme: other.to_owned(),
            });
        }
    };
    Url::parse(&format!("{http}://{rest}")).map_err(|_| Error::BadUrl {
        url: attach_url.to_owned(),
    })
}

/// That the other side really speaks WebSocket, and our protocol on it.
fn check_handshake(response: &Response, key: &str) -> Result<()> {
    let header = |name: header::HeaderName| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let accepted =
        header(header::SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).as_str());
    let protocol = header(header::SEC_WEBSOCKET_PROTOCOL) == Some(SUBPROTOCOL);
    if accepted && protocol {
        Ok(())
    } else {
        Err(Error::AttachProtocol)
    }
}

fn broken(error: tungstenite::Error) -> Error {
    Error::Attach(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websocket_addresses_are_attached_to() {
        assert_eq!(
            http_url("ws://api.localhost:8080/a?s=1").unwrap().as_str(),
            "http://api.localhost:8080/a?s=1"
        );
        assert_eq!(
            http_url("wss://api.example.com/a").unwrap().as_str(),
            "https://api.example.com/a"
        );
        assert!(matches!(
            http_url("rendezvous://r:5000/x"),
            Err(Error::AttachScheme { .. })
        ));
        assert!(matches!(
            http_url("nothing"),
            Err(Error::AttachScheme { .. })
        ));
    }
}
