//! The one way out to addresses that users name. A name is looked up, every address it has is judged, and the
//! connection goes to one that passed; what a redirect leads to is judged the same way. Neither this host nor anything
//! that only it can reach is asked, unless the operator has listed it.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Url};
use ropewalk_builder::{EgressError, Fetched};
use ropewalk_model::Egress as Permitted;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer's head, redirects counted in.
const HEAD: Duration = Duration::from_secs(60);
/// Hosts that keep archives elsewhere need two.
const REDIRECTS: usize = 5;
/// For all of a notice.
const NOTICE: Duration = Duration::from_secs(10);

/// Fetches from public addresses, and from those that the operator listed.
#[derive(Debug)]
pub(super) struct Egress {
    http: Client,
    /// Goes where it is told, and no further.
    straight: Client,
    permitted: Arc<Permitted>,
}

impl Egress {
    pub(super) fn new(permitted: Permitted) -> Result<Self> {
        let permitted = Arc::new(permitted);
        let build =
            |with: fn(ClientBuilder) -> ClientBuilder| match with(builder(&permitted)).build() {
                Ok(http) => Ok(http),
                // A host without any CA certificates can still fetch over plain HTTP.
                Err(_) => with(builder(&permitted)).tls_certs_only([]).build(),
            };
        let http = build(|builder| builder)?;
        let straight = build(|builder| builder.redirect(Policy::none()).timeout(NOTICE))?;
        Ok(Self {
            http,
            straight,
            permitted,
        })
    }

    /// Sends JSON with one header more, and gives the answer's status. A redirect is an answer.
    pub(super) async fn post(
        &self,
        url: &str,
        header: (&'static str, &str),
        body: Vec<u8>,
    ) -> Result<u16, EgressError> {
        let url = Url::parse(url)
            .map_err(|_| EgressError::Refused("its address is no address of the web".to_owned()))?;
        check(&url, &self.permitted)
            .map_err(|refused| EgressError::Refused(refused.to_string()))?;
        let (name, value) = header;
        let request = self.straight.post(url).header(name, value);
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
        match request.body(body).send().await {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) => Err(explain(&error)),
        }
    }

    async fn fetch(&self, url: &str) -> Result<Fetched, EgressError> {
        let url = Url::parse(url)
            .map_err(|_| EgressError::Refused("its address is no address of the web".to_owned()))?;
        check(&url, &self.permitted)
            .map_err(|refused| EgressError::Refused(refused.to_string()))?;
        let sent = tokio::time::timeout(HEAD, self.http.get(url).send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(explain(&error)),
            Err(_) => return Err(EgressError::Failed("no answer within a minute".to_owned())),
        };
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(EgressError::Failed(format!("status {status}")));
        }
        Ok(Fetched {
            length: response.content_length(),
            body: Box::pin(response.bytes_stream().map_err(std::io::Error::other)),
        })
    }
}

impl ropewalk_builder::Egress for Egress {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>> {
        self.fetch(url).boxed()
    }
}

fn builder(permitted: &Arc<Permitted>) -> ClientBuilder {
    let followed = Arc::clone(permitted);
    Client::builder()
        .user_agent(concat!("ropewalk/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Judging(Arc::clone(permitted)))
        .connect_timeout(CONNECT)
        // A proxy would look names up itself, and reach what we must not.
        .no_proxy()
        .redirect(Policy::custom(move |attempt| follow(attempt, &followed)))
}

fn follow(attempt: Attempt<'_>, permitted: &Permitted) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(Refused("its address leads on and on"));
    }
    let was_secret = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "https");
    if was_secret && attempt.url().scheme() != "https" {
        return attempt.error(Refused("its https address leads to one without"));
    }
    match check(attempt.url(), permitted) {
        Ok(()) => attempt.follow(),
        Err(refused) => attempt.error(refused),
    }
}

/// Why an address is not asked, as a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Refused {}

const PRIVATE: Refused =
    Refused("its address leads to this host or into a private network, which is not allowed");

/// Names are judged when they are looked up; here are those that are addresses themselves.
fn check(url: &Url, permitted: &Permitted) -> Result<(), Refused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused("its address is no address of the web"));
    }
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(ip) if !may_reach(ip, permitted) => Err(PRIVATE),
        _ => Ok(()),
    }
}

/// The first of ours in what went wrong, else a word about its kind. Nothing of the answer, nothing of the address.
fn explain(error: &reqwest::Error) -> EgressError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return EgressError::Refused(refused.to_string());
        }
        cause = error.source();
    }
    let what = match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "the answer broke off",
    };
    EgressError::Failed(what.to_owned())
}

/// Looks names up and leaves out what must not be reached.
struct Judging(Arc<Permitted>);

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let permitted = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let some = !found.is_empty();
            let passed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|found| may_reach(found.ip(), &permitted))
                .collect();
            match some && passed.is_empty() {
                true => Err(Box::new(PRIVATE) as Box<dyn Error + Send + Sync>),
                false => Ok(Box::new(passed.into_iter()) as Addrs),
            }
        })
    }
}

fn may_reach(ip: IpAddr, permitted: &Permitted) -> bool {
    permitted.lists(ip) || (permitted.permits(ip) && !is_own(ip))
}

/// Only an address of this host can be bound to.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ropewalk_builder::Egress as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_hosts_own_addresses_are_known() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }

    fn permitting(range: &str) -> Egress {
        Egress::new(Permitted::new(vec![range.parse().unwrap()])).unwrap()
    }

    /// A server on loopback that gives the same answer to everybody.
    async fn serve(answer: String) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn this_host_is_asked_only_where_that_is_allowed() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
        let port = serve(answer.to_owned()).await;
        let closed = Egress::new(Permitted::default()).unwrap();
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "[::ffff:127.0.0.1]",
            "localhost",
            "0.0.0.0",
        ] {
            let error = closed
                .get(&format!("http://{host}:{port}/"))
                .await
                .unwrap_err();
            assert_eq!(error, EgressError::Refused(PRIVATE.to_string()), "{host}");
        }
        for url in ["file:///etc/passwd", "gopher://127.0.0.1/", "nonsense"] {
            assert!(
                matches!(closed.get(url).await, Err(EgressError::Refused(_))),
                "{url}"
            );
        }
        let open = permitting("127.0.0.0/8");
        let fetched = open
            .get(&format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap();
        assert_eq!(fetched.length, Some(2));
        let body: Vec<bytes::Bytes> = fetched.body.try_collect().await.unwrap();
        assert_eq!(body.concat(), b"hi");
    }

    #[tokio::test]
    async fn notices_go_where_that_is_allowed_and_no_further() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let port = serve(answer.to_owned()).await;
        let url = format!("http://127.0.0.1:{port}/hook");
        let closed = Egress::new(Permitted::default()).unwrap();
        let refused = closed.post(&url, ("x-a", "b"), Vec::new()).await;
        assert_eq!(refused, Err(EgressError::Refused(PRIVATE.to_string())));
        let open = permitting("127.0.0.0/8");
        assert_eq!(open.post(&url, ("x-a", "b"), b"{}".to_vec()).await, Ok(302));
    }

    #[tokio::test]
    async fn redirects_are_judged_and_end() {
        let open = permitting("127.0.0.1");
        for (to, why) in [
            ("http://169.254.169.254/latest", "private network"),
            ("file:///etc/passwd", ""),
            ("/again", "on and on"),
        ] {
            let answer = format!(
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let port = serve(answer).await;
            let error = open
                .get(&format!("http://127.0.0.1:{port}/"))
                .await
                .unwrap_err();
            assert!(error.to_string().contains(why), "{to}: {error}");
        }
        let port = serve(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret"
                .to_owned(),
        )
        .await;
        let error = open
            .get(&format!("http://127.0.0.1:{port}/"))
            .await
            .unwrap_err();
        assert_eq!(error, EgressError::Failed("status 404".to_owned()));
    }
}
