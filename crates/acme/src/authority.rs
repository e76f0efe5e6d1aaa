//! The way to the authority: our account there, made when it is first needed and kept sealed in the ledger.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, CertificateIdentifier, Error, ExternalAccountKey, NewAccount,
};
use jiff::{SignedDuration, Timestamp};
use ropewalk_store::{AcmeAccount, Store};
use rustls::RootCertStore;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::http::Http;
use crate::plan::{Asked, Window};
use crate::settings::Settings;

/// Between two questions after the same window. An authority may ask for more or less patience than this.
const WINDOW_AGAIN: [SignedDuration; 2] = [
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(24),
];

/// Calls that lose their nonce are made again so often; the library tries three times by itself.
pub(crate) const NONCES: usize = 5;

/// Makes a call again whose nonce the authority did not take.
macro_rules! again {
    ($call:expr) => {{
        let mut tries = 1;
        loop {
            match $call {
                Err(error)
                    if $crate::authority::is_bad_nonce(&error)
                        && tries < $crate::authority::NONCES =>
                {
                    tries += 1;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use again;

pub(crate) struct Authority {
    settings: Settings,
    store: Store,
    http: Http,
    account: Mutex<Option<Account>>,
}

impl Authority {
    pub(crate) fn new(mut settings: Settings, store: Store) -> Result<Self, rustls::Error> {
        // Needed here alone, and not small.
        let http = Http::new(std::mem::replace(
            &mut settings.roots,
            RootCertStore::empty(),
        ))?;
        Ok(Self {
            settings,
            store,
            http,
            account: Mutex::default(),
        })
    }

    /// Our account, made at first.
    pub(crate) async fn account(&self) -> Result<Account, Failure> {
        let mut known = self.account.lock().await;
        if let Some(account) = known.as_ref() {
            return Ok(account.clone());
        }
        let directory = self.settings.directory.clone();
        let kept = self
            .store
            .read(move |view| view.acme_account(&directory))
            .await
            .map_err(|error| Failure::away(error.to_string()))?;
        let account = match kept {
            Some(kept) => self.open(kept).await?,
            None => self.make().await?,
        };
        *known = Some(account.clone());
        Ok(account)
    }

    /// After a failure that may lie in the account or in what is known of the authority: both are looked up anew.
    pub(crate) async fn doubt(&self, failure: &Failure) {
        *self.account.lock().await = None;
        if failure.is_stranger {
            tracing::warn!(
                "The certificate authority does not know our account; a new one is made."
            );
            let directory = self.settings.directory.clone();
            let forgotten = self
                .store
                .write(move |tx| tx.forget_acme_account(&directory))
                .await;
            if let Err(error) = forgotten {
                tracing::warn!(%error, "The account could not be forgotten.");
            }
        }
    }

    /// When the authority would have this certificate renewed.
    pub(crate) async fn window(&self, id: Option<CertificateIdentifier<'static>>) -> Asked {
        let account = self.account().await;
        window(account.ok(), id, Timestamp::now()).await
    }

    async fn open(&self, kept: AcmeAccount) -> Result<Account, Failure> {
        let credentials: AccountCredentials = serde_json::from_str(&kept.credentials)
            .map_err(|error| Failure::away(error.to_string()))?;
        let account = Account::builder_with_http(Box::new(self.http.clone()))
            .from_credentials(credentials)
            .await
            .map_err(|error| Failure::of_account(&error))?;
        if kept.email != self.settings.email {
            let contact = self.contact();
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            again!(account.update_contacts(&contact).await)
                .map_err(|error| Failure::of_account(&error))?;
            self.keep(kept.credentials).await?;
        }
        Ok(account)
    }

    async fn make(&self) -> Result<Account, Failure> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.settings.external.as_ref();
        let external =
            external.map(|known| ExternalAccountKey::new(known.key_id.clone(), &known.key));
        let made = again!(
            Account::builder_with_http(Box::new(self.http.clone()))
                .create(&new, self.settings.directory.clone(), external.as_ref())
                .await
        );
        let (account, credentials) = made.map_err(|error| Failure::of_account(&error))?;
        let text = serde_json::to_string(&credentials)
            .map_err(|error| Failure::away(error.to_string()))?;
        self.keep(Zeroizing::new(text)).await?;
        tracing::info!(
            directory = self.settings.directory,
            "Made an account at the certificate authority."
        );
        Ok(account)
    }

    async fn keep(&self, credentials: Zeroizing<String>) -> Result<(), Failure> {
        let account = AcmeAccount {
            credentials,
            email: self.settings.email.clone(),
        };
        let directory = self.settings.directory.clone();
        self.store
            .write(move |tx| tx.put_acme_account(&directory, &account, Timestamp::now()))
            .await
            .map_err(|error| Failure::away(error.to_string()))
    }

    fn contact(&self) -> Option<String> {
        self.settings
            .email
            .as_ref()
            .map(|email| format!("mailto:{email}"))
    }
}

async fn window(
    account: Option<Account>,
    id: Option<CertificateIdentifier<'static>>,
    now: Timestamp,
) -> Asked {
    let [soon, late] = WINDOW_AGAIN;
    let again = |wait: SignedDuration| now.checked_add(wait).unwrap_or(now);
    let none = |wait| Asked::At {
        window: None,
        again: again(wait),
    };
    let (Some(account), Some(id)) = (account, id) else {
        return none(soon);
    };
    match account.renewal_info(&id).await {
        Ok((info, wait)) => {
            let time = |seconds| Timestamp::from_second(seconds).ok();
            let start = time(info.suggested_window.start.unix_timestamp());
            let end = time(info.suggested_window.end.unix_timestamp());
            let wait = SignedDuration::try_from(wait).unwrap_or(late);
            Asked::At {
                window: start
                    .zip(end)
                    .filter(|(start, end)| start < end)
                    .map(|(start, end)| Window { start, end }),
                again: again(wait.clamp(soon, late)),
            }
        }
        Err(Error::Unsupported(_)) => none(late),
        Err(error) => {
            tracing::debug!(%error, "The authority says nothing about a renewal.");
            none(soon)
        }
    }
}

/// How long the library is to wait for the authority: it answers within seconds, or its queue is long.
pub(crate) const POLL: instant_acme::RetryPolicy = instant_acme::RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.4)
    .timeout(Duration::from_secs(120));

pub(crate) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem)
        if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce"))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use bytes::Bytes;
    use http_body_util::Full;
    use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

    use super::*;

    /// An authority that answers this, with that header, when a renewal is asked about.
    #[derive(Clone)]
    struct Says {
        renewal: Option<&'static str>,
        body: &'static str,
        wait: &'static str,
    }

    impl HttpClient for Says {
        fn request(
            &self,
            request: http::Request<BodyWrapper<Bytes>>,
        ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
            let url = |name: &str| format!("https://ca.test/{name}");
            let directory = serde_json::json!({
                "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
                "renewalInfo": self.renewal.map(url),
            });
            let path = request.uri().path();
            let (status, body) = match path {
                "/directory" => (200, directory.to_string()),
                "/account" => (201, "{}".to_owned()),
                path if path.starts_with("/renewal/") => (200, self.body.to_owned()),
                _ => (200, String::new()),
            };
            let answer = http::Response::builder()
                .status(status)
                .header("replay-nonce", "n")
                .header("location", url("account/1"))
                .header("retry-after", self.wait)
                .body(Full::new(Bytes::from(body)));
            Box::pin(async move { Ok(BytesResponse::from(answer?)) })
        }
    }

    async fn ask(says: Says) -> Asked {
        let new = NewAccount {
            contact: &[],
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, _) = Account::builder_with_http(Box::new(says))
            .create(&new, "https://ca.test/directory".to_owned(), None)
            .await
            .unwrap();
        let id = CertificateIdentifier {
            authority_key_identifier: "aki".into(),
            serial: "serial".into(),
        };
        window(Some(account), Some(id), now()).await
    }

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn at(window: Option<[&str; 2]>, again: &str) -> Asked {
        Asked::At {
            window: window.map(|[start, end]| Window {
                start: start.parse().unwrap(),
                end: end.parse().unwrap(),
            }),
            again: again.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn the_authority_says_when_a_certificate_is_to_be_renewed() {
        let window = r#"{"suggestedWindow":{"start":"2026-07-01T00:00:00Z","end":"2026-07-03T00:00:00+01:00"}}"#;
        let says = |renewal, body, wait| Says {
            renewal,
            body,
            wait,
        };
        // A wait of the library's clock is less by some microseconds.
        let Asked::At {
            window: Some(found),
            again,
        } = ask(says(Some("renewal"), window, "21600")).await
        else {
            panic!("a window");
        };
        assert_eq!(found.start, "2026-07-01T00:00:00Z".parse().unwrap());
        assert_eq!(found.end, "2026-07-02T23:00:00Z".parse().unwrap());
        let wait = again.duration_since(now()).as_secs();
        assert!((21_590..=21_600).contains(&wait), "{wait}");
        // Not more often than once an hour, and at least once a day.
        let dates = Some(["2026-07-01T00:00:00Z", "2026-07-02T23:00:00Z"]);
        for (wait, again) in [
            ("1", "2026-06-01T13:00:00Z"),
            ("99999999", "2026-06-02T12:00:00Z"),
        ] {
            assert_eq!(
                ask(says(Some("renewal"), window, wait)).await,
                at(dates, again)
            );
        }
        // What makes no sense is none.
        let backwards =
            r#"{"suggestedWindow":{"start":"2026-07-03T00:00:00Z","end":"2026-07-01T00:00:00Z"}}"#;
        let none = at(None, "2026-06-01T13:00:00Z");
        assert_eq!(ask(says(Some("renewal"), backwards, "1")).await, none);
        assert_eq!(ask(says(Some("renewal"), "nonsense", "1")).await, none);
        assert_eq!(ask(says(Some("renewal"), window, "")).await, none);
        // One that never says is asked once a day.
        let never = at(None, "2026-06-02T12:00:00Z");
        assert_eq!(ask(says(None, window, "1")).await, never);
    }
}
