//! The way to a responder: plain HTTP (RFC 6960, A.1), bounded in time and size, and to permitted addresses alone.
//!
//! Whoever brings a certificate names the responder, so the address that is checked is the one that is connected to, and
//! no redirect is followed.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use ropewalk_model::Egress;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::MAX;
use crate::subject::{Asked, Responder};

/// Longest address of a question that is asked with GET, in bytes, so that caches know it again (RFC 5019, 5).
const SHORT: usize = 255;
/// Addresses of one name that are tried.
const TRIES: usize = 2;

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For a connection.
    pub connect: Duration,
    /// For one question in all.
    pub answer: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(20),
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum FetchError {
    #[error("the name of the responder could not be looked up: {0}")]
    Lookup(std::io::Error),
    #[error("the responder's address is not one that may be connected to (server --allow-egress)")]
    Forbidden,
    #[error("no connection to the responder: {0}")]
    Connect(std::io::Error),
    #[error("the responder answered with HTTP status {0}")]
    Status(u16),
    #[error("the responder's answer is cut off or larger than {} KiB", MAX >> 10)]
    Body,
    #[error("the responder does not speak HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the question cannot be put into an address")]
    Question(#[from] http::Error),
    #[error("the responder took too long")]
    Deadline,
}

#[derive(Debug)]
pub(crate) struct Fetcher {
    egress: Egress,
    timing: Timing,
}

impl Fetcher {
    pub(crate) fn new(egress: Egress, timing: Timing) -> Self {
        Self { egress, timing }
    }

    /// An answer as it came.
    pub(crate) async fn fetch(&self, asked: &Asked) -> Result<Bytes, FetchError> {
        timeout(self.timing.answer, self.exchange(asked))
            .await
            .map_err(|_| FetchError::Deadline)?
    }

    async fn exchange(&self, asked: &Asked) -> Result<Bytes, FetchError> {
        if let Some(path) = short(&asked.responder, &asked.request) {
            match self.send(&asked.responder, Method::GET, &path, &[]).await {
                // There are those that know only the older way.
                Err(FetchError::Status(_)) => {}
                answered => return answered,
            }
        }
        let path = &asked.responder.path;
        self.send(&asked.responder, Method::POST, path, &asked.request)
            .await
    }

    async fn send(
        &self,
        to: &Responder,
        method: Method,
        path: &str,
        question: &[u8],
    ) -> Result<Bytes, FetchError> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, &to.authority)
            .header(header::ACCEPT, "application/ocsp-response")
            .header(header::USER_AGENT, "ropewalk")
            .header(header::CONNECTION, "close");
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/ocsp-request");
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(question)))?;
        let stream = self.connect(to).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It is driven here, so that giving up ends it.
        let exchange = async {
            let response = sender.send_request(request).await?;
            match response.status() {
                StatusCode::OK => {}
                status => return Err(FetchError::Status(status.as_u16())),
            }
            let body = Limited::new(response.into_body(), MAX).collect().await;
            body.map(|body| body.to_bytes())
                .map_err(|_| FetchError::Body)
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            answered = &mut exchange => answered,
            // What was read before it ended is still to be taken.
            _ = &mut connection => exchange.await,
        }
    }

    async fn connect(&self, to: &Responder) -> Result<TcpStream, FetchError> {
        let found: Vec<SocketAddr> = match to.host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, to.port)],
            Err(_) => tokio::net::lookup_host((to.host.as_str(), to.port))
                .await
                .map_err(FetchError::Lookup)?
                .collect(),
        };
        let permitted = found.into_iter().filter(|to| self.permits(to.ip()));
        let mut last = FetchError::Forbidden;
        for address in permitted.take(TRIES) {
            match timeout(self.timing.connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = FetchError::Connect(error),
                Err(_) => last = FetchError::Deadline,
            }
        }
        Err(last)
    }

    /// The internet and what the administrator lists, and never this host by itself.
    fn permits(&self, address: IpAddr) -> bool {
        let is_own = || UdpSocket::bind((address, 0)).is_ok();
        self.egress.lists(address) || (self.egress.permits(address) && !is_own())
    }
}

/// The path with the question in it, where it is short enough (RFC 6960, A.1).
fn short(to: &Responder, question: &[u8]) -> Option<String> {
    if to.path.contains('?') {
        return None;
    }
    let mut path = to.path.trim_end_matches('/').to_owned();
    path.push('/');
    for letter in BASE64_STANDARD.encode(question).chars() {
        match letter {
            '+' => path.push_str("%2B"),
            '/' => path.push_str("%2F"),
            '=' => path.push_str("%3D"),
            letter => path.push(letter),
        }
    }
    let length = "http://".len() + to.authority.len() + path.len();
    (length <= SHORT).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responder(path: &str) -> Responder {
        Responder {
            host: "ocsp.example.com".to_owned(),
            port: 80,
            authority: "ocsp.example.com".to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn a_short_question_is_put_into_the_address() {
        let path = short(&responder("/"), &[0xfb, 0xff, 0xfe, 0xff]).unwrap();
        assert_eq!(path, "/%2B%2F%2F%2B%2Fw%3D%3D");
        assert_eq!(short(&responder("/a/b"), b"abc").unwrap(), "/a/b/YWJj");
        assert_eq!(short(&responder("/a?b"), b"abc"), None);
        assert_eq!(short(&responder("/"), &[7; 300]), None);
    }

    #[test]
    fn neither_this_host_nor_its_networks_are_asked_by_themselves() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let strict = Fetcher::new(Egress::default(), Timing::default());
        for address in ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254"] {
            assert!(!strict.permits(ip(address)), "{address}");
        }
        assert!(strict.permits(ip("8.8.8.8")));
        let listed = Egress::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let open = Fetcher::new(listed, Timing::default());
        assert!(open.permits(ip("127.0.0.1")) && !open.permits(ip("10.0.0.1")));
    }
}
