//! A ledger, a router and what gets certificates, against an authority.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use ropewalk_acme::{Acme, Answer, External, Front, Parts, Policy, Proof, Settings, roots};
use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{self, Certificate, Challenge};
use ropewalk_logs::{Filter, Logs};
use ropewalk_model::acm::AcmStatus;
use ropewalk_model::{AppId, AppName, ReleaseId, UserId};
use ropewalk_router::{Config, Limits, Listeners, Source};
use ropewalk_scheduler::{Platform, Routes};
use ropewalk_store::{AcmeOrder, Key, NewApp, SniEndpoint, Store};
use ropewalk_telemetry::Shutdown;
use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::pebble::{KEY, KEY_ID, Pebble, With};

/// The platform's.
const DOMAIN: &str = "apps.test";

/// Every wait of a test ends here.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) type Client = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) struct Rig {
    dir: TempDir,
    pub(crate) pebble: Pebble,
    pub(crate) acme: Acme,
    /// The first one.
    pub(crate) app: AppId,
    store: Store,
    logs: Logs,
    routes: Routes,
    /// Where TLS is spoken.
    port: u16,
    /// Whom what is served is checked against.
    issuer: RootCertStore,
    _tasks: JoinSet<()>,
}

/// What the platform has.
#[derive(Default)]
pub(crate) struct Means {
    pub(crate) policy: Policy,
    /// The names of the platform itself get certificates too. The router has none of its own then, and speaks TLS on a
    /// socket for that alone.
    pub(crate) platform: bool,
    /// A program that sets TXT records.
    pub(crate) hook: bool,
}

struct Routers {
    routes: Routes,
    store: Store,
}

impl Rig {
    pub(crate) async fn start(with: With, means: Means) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let any = [([127, 0, 0, 1], 0).into()];
        let of_tls = if means.platform { &any[..] } else { &[] };
        let listeners = Listeners::bind(&any, of_tls).unwrap();
        let plain = listeners.plain[0].local_addr().unwrap().port();
        let port = match listeners.tls.first() {
            Some(listener) => listener.local_addr().unwrap().port(),
            None => plain,
        };
        let pebble = Pebble::start(with, plain, port).await;
        let store = Store::open(&at("ledger.db"), Key::open(&at("key")).unwrap()).unwrap();
        let logs = Logs::open(&at("logs")).unwrap();
        let platform = Platform {
            domain: DOMAIN.to_owned(),
            socket: at("platform.sock"),
            rendezvous: at("rendezvous.sock"),
            tcp_ports: None,
        };
        let routes = Routes::new(platform, logs.clone());
        let mut tasks = JoinSet::new();
        let listener = UnixListener::bind(at("router.sock")).unwrap();
        let serving = routes.clone();
        tasks.spawn(async move { serving.serve(listener, Shutdown::new()).await.unwrap() });
        let config = Config {
            source: Source::Link {
                socket: at("router.sock"),
                table_file: at("table.json"),
                certificates_file: at("certificates.json"),
            },
            proxies: Vec::new(),
            tls: None,
            local_authority: (!means.platform).then(|| at("tls")),
            limits: Limits::default(),
            counters: Arc::default(),
        };
        tasks.spawn(async move {
            ropewalk_router::run(config, listeners, std::future::pending())
                .await
                .unwrap();
        });
        let hook = means.hook.then(|| {
            let program = at("hook");
            write_hook(&program, pebble.records(), &at("calls"));
            program
        });
        std::fs::write(at("eab"), KEY).unwrap();
        let external = with
            .external
            .then(|| External::read(KEY_ID.to_owned(), &at("eab")).unwrap());
        let acme = Acme::new(Parts {
            store: store.clone(),
            logs: logs.clone(),
            front: Arc::new(Routers {
                routes: routes.clone(),
                store: store.clone(),
            }),
            settings: Settings {
                directory: pebble.directory(),
                email: Some("ops@example.com".to_owned()),
                external,
                roots: roots(Some(&pebble.ca_file())).unwrap(),
                hook,
            },
            policy: means.policy,
            platform: means.platform.then(|| DOMAIN.to_owned()),
        })
        .unwrap();
        let issuer = pebble.issuer().await;
        let running = acme.clone();
        tasks.spawn(async move { running.run(Shutdown::new()).await });
        let mut rig = Self {
            dir,
            pebble,
            acme,
            app: AppId(Uuid::nil()),
            store,
            logs,
            routes,
            port,
            issuer,
            _tasks: tasks,
        };
        rig.app = rig.app("demo").await;
        rig.acme.changed();
        rig
    }

    /// Gives the first app another name.
    pub(crate) async fn rename(&self, name: &'static str) {
        let app = self.app;
        self.store
            .write(move |tx| {
                let name = AppName::parse(name).unwrap();
                tx.rename_app(app, &name, Timestamp::now())
            })
            .await
            .unwrap();
        self.acme.changed();
    }

    pub(crate) async fn destroy(&self) {
        let app = self.app;
        self.store
            .write(move |tx| tx.delete_app(app))
            .await
            .unwrap();
        self.acme.changed();
    }

    /// Names of the platform's own that have a certificate.
    pub(crate) async fn certified(&self) -> Vec<String> {
        let all = self.store.read(|view| view.platform_certificates()).await;
        all.unwrap().into_iter().map(|one| one.hostname).collect()
    }

    pub(crate) async fn app(&self, name: &'static str) -> AppId {
        let app = AppId(Uuid::new_v4());
        self.store
            .write(move |tx| {
                let user = UserId(Uuid::new_v4());
                tx.create_user(user, &format!("{name}@example.com"), true, Timestamp::now())?;
                let new = NewApp {
                    id: app,
                    name: AppName::parse(name).unwrap(),
                    owner: user,
                    stack: "debian-13".into(),
                    release: ReleaseId(Uuid::new_v4()),
                };
                tx.create_app(&new, Timestamp::now())
            })
            .await
            .unwrap();
        app
    }

    /// A domain of the first app.
    pub(crate) async fn domain(&self, host: &'static str) -> Uuid {
        self.domain_of(self.app, host).await
    }

    pub(crate) async fn domain_of(&self, app: AppId, host: &'static str) -> Uuid {
        let id = Uuid::new_v4();
        self.store
            .write(move |tx| tx.add_domain(id, app, host, Timestamp::now()))
            .await
            .unwrap();
        self.acme.changed();
        id
    }

    pub(crate) async fn enable(&self, app: AppId) {
        self.store
            .write(move |tx| tx.enable_acm(app, Timestamp::now()))
            .await
            .unwrap();
        self.acme.changed();
    }

    pub(crate) async fn disable(&self, app: AppId) {
        self.store
            .write(move |tx| tx.disable_acm(app, Timestamp::now()))
            .await
            .unwrap();
        publish(&self.routes, &self.store).await;
    }

    pub(crate) async fn status(&self, domain: Uuid) -> (Option<AcmStatus>, Option<String>) {
        let all = self.store.read(|view| view.all_domains()).await.unwrap();
        let found = all.into_iter().find(|one| one.id == domain).unwrap();
        (found.acm_status, found.acm_status_reason)
    }

    /// How far it is once nothing more is tried for now.
    pub(crate) async fn settled(&self, domain: Uuid) -> (Option<AcmStatus>, Option<String>) {
        until("an end", async || {
            let (status, reason) = self.status(domain).await;
            matches!(
                status,
                Some(AcmStatus::Ok | AcmStatus::Failing | AcmStatus::Failed)
            )
            .then_some((status, reason))
        })
        .await
    }

    pub(crate) async fn endpoint(&self, domain: Uuid) -> Option<SniEndpoint> {
        let all = self.store.read(|view| view.acm_domains()).await.unwrap();
        let found = all.into_iter().find(|one| one.domain.id == domain)?;
        found.endpoint
    }

    pub(crate) async fn orders(&self) -> Vec<AcmeOrder> {
        self.store.read(|view| view.acme_orders()).await.unwrap()
    }

    /// The first app's log.
    pub(crate) async fn log(&self) -> String {
        let lines = self.logs.read(self.app, &Filter::default()).await.unwrap();
        let lines: Vec<String> = lines.iter().map(|entry| entry.line()).collect();
        lines.join("\n")
    }

    pub(crate) fn hook_calls(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("calls")).unwrap()
    }

    /// A client that trusts the authority's certificates alone; `None` when it is served another.
    pub(crate) async fn handshake(&self, host: &str) -> Option<Client> {
        connect(
            ([127, 0, 0, 1], self.port).into(),
            host,
            self.issuer.clone(),
        )
        .await
    }
}

impl Front for Routers {
    fn publish(&self, answers: Vec<Answer>) -> BoxFuture<'_, bool> {
        async move {
            publish(&self.routes, &self.store).await;
            let challenges = answers.into_iter().map(|answer| Challenge {
                host: answer.host,
                proof: match answer.proof {
                    Proof::Http {
                        token,
                        authorization,
                    } => router::Proof::Http {
                        token,
                        authorization,
                    },
                    Proof::Tls { chain, key } => router::Proof::Tls {
                        chain,
                        key: Secret(key),
                    },
                },
            });
            self.routes.publish_challenges(challenges.collect())
        }
        .boxed()
    }

    fn answering(&self) -> BoxFuture<'_, ()> {
        self.routes.answering().boxed()
    }

    fn certificates_changed(&self) {
        let (routes, store) = (self.routes.clone(), self.store.clone());
        tokio::spawn(async move { publish(&routes, &store).await });
    }
}

async fn publish(routes: &Routes, store: &Store) {
    let served = store.read(|view| view.served_certificates()).await.unwrap();
    let endpoints = served.into_iter().map(|served| Certificate {
        hosts: served.hosts,
        chain: served.certificate_chain,
        key: Secret(served.private_key.to_string()),
        staple: None,
    });
    routes.publish_certificates(endpoints.collect(), None);
}

/// Sets records at the name server of the tests, and writes down how it was called.
fn write_hook(program: &std::path::Path, records: u16, calls: &std::path::Path) {
    let text = format!(
        "#!/bin/bash\n\
         echo \"$1 $2 $3\" >> {}\n\
         case $1 in\n\
         add) path=/set-txt body=\"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" ;;\n\
         remove) path=/clear-txt body=\"{{\\\"host\\\":\\\"$2.\\\"}}\" ;;\n\
         esac\n\
         exec 3<>/dev/tcp/127.0.0.1/{records}\n\
         printf 'POST %s HTTP/1.0\\r\\nContent-Length: %d\\r\\n\\r\\n%s' $path ${{#body}} \"$body\" >&3\n\
         read -r _ status _ <&3\n\
         [ \"$status\" = 200 ]\n",
        calls.display()
    );
    std::fs::write(program, text).unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn connect(addr: std::net::SocketAddr, host: &str, roots: RootCertStore) -> Option<Client> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await.unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(host.to_owned()).unwrap(), stream)
        .await
        .ok()
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
