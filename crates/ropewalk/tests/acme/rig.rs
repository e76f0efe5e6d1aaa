//! A platform of this machine alone, without an engine, whose certificates come from an authority of the test's.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ropewalk_api_types::router::{Table, Target};
use ropewalk_store::{Key, Store};
use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::pebble::{Pebble, With, free};

/// Every wait of a test ends here.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Platform {
    dir: TempDir,
    port: u16,
    /// Where TLS is spoken.
    tls_port: u16,
    pebble: Pebble,
    issuer: RootCertStore,
    token: String,
    _server: Child,
    _router: Child,
}

/// For whom the platform is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// This machine, whose names have an authority of its own.
    Here,
    /// The world, by names of a domain without any certificate.
    World,
}

impl Platform {
    pub(crate) async fn start(with: With) -> Self {
        let platform = Self::start_for(For::Here, with).await;
        until("the API", async || {
            let ran = platform.try_run(&["apps"]).await;
            ran.status.success().then_some(())
        })
        .await;
        platform
    }

    /// Of the domain `apps.test`, as `install` sets it up without a certificate.
    pub(crate) async fn start_for_world(with: With) -> Self {
        Self::start_for(For::World, with).await
    }

    async fn start_for(whom: For, with: With) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for folder in ["router", "run"] {
            std::fs::create_dir_all(data.join(folder)).unwrap();
        }
        // Apps are made on a stack, and only an engine builds one.
        let key = Key::open(&data.join("key")).unwrap();
        let store = Store::open(&data.join("ledger.db"), key).unwrap();
        let images = serde_json::json!({});
        store
            .write(move |tx| tx.put_stack("debian-13", "sha256:13", &images, Timestamp::now()))
            .await
            .unwrap();
        drop(store);
        // A server that sees no engine makes no table: the router serves by the last one.
        let socket = data.join("run/platform.sock").display().to_string();
        let table = Table {
            generation: 1,
            hosts: [("api.localhost".to_owned(), Target::Platform { socket })].into(),
            ..Table::default()
        };
        let table = serde_json::to_vec(&table).unwrap();
        std::fs::write(data.join("router/table.json"), table).unwrap();

        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let tls_port = match whom {
            For::Here => port,
            For::World => {
                let [free] = free();
                free
            }
        };
        let pebble = Pebble::start(with, port, tls_port).await;
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let start = |name: &str, input: Stdio, args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
            command
                .arg(name)
                .arg("--data")
                .arg(&data)
                .args((whom == For::Here).then_some("--local-tls"))
                .args(args)
                .env_clear()
                // Neither engine nor packet filter of this machine.
                .env("PATH", dir.path())
                .env(
                    "DOCKER_HOST",
                    format!("unix://{}/none", dir.path().display()),
                )
                .stdin(input)
                .stdout(log.try_clone().unwrap())
                .stderr(log.try_clone().unwrap())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        let ca_file = pebble.ca_file().display().to_string();
        let (server_port, tls_address) = (tls_port.to_string(), format!("127.0.0.1:{tls_port}"));
        let directory = pebble.directory();
        let mut of_server = vec![
            "--port",
            &server_port,
            "--acme-directory",
            &directory,
            "--acme-ca-file",
            &ca_file,
            "--acme-email",
            "ops@example.com",
        ];
        let mut of_router = vec!["--listen-stdin"];
        if whom == For::World {
            of_server.extend(["--domain", "apps.test", "--https", "--acme-platform"]);
            of_router.extend(["--tls-listen", &tls_address]);
        }
        let server = start("server", Stdio::null(), &of_server);
        let router = start("router", Stdio::from(OwnedFd::from(socket)), &of_router);
        let token = until("the administrator's token", async || {
            std::fs::read_to_string(data.join("admin-token")).ok()
        })
        .await;
        let issuer = pebble.issuer().await;
        Self {
            dir,
            port,
            tls_port,
            pebble,
            issuer,
            token: token.trim().to_owned(),
            _server: server,
            _router: router,
        }
    }

    /// What a command that works prints to either stream, the first behind the second.
    pub(crate) async fn run(&self, args: &[&str]) -> String {
        let ran = self.try_run(args).await;
        let text = [ran.stderr, ran.stdout].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(ran.status.success(), "{args:?}: {text}\n{}", self.said());
        text
    }

    async fn try_run(&self, args: &[&str]) -> Output {
        self.command()
            .args(args)
            .env(
                "ROPEWALK_URL",
                format!("http://api.localhost:{}", self.port),
            )
            .env("ROPEWALK_TOKEN", &self.token)
            .output()
            .await
            .unwrap()
    }

    /// What the doctor says. Much is missing here.
    pub(crate) async fn doctor(&self) -> String {
        let data = self.dir.path().join("data");
        let mut command = self.command();
        command.arg("doctor").arg("--data").arg(data);
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
        command
            .env_clear()
            .env("PATH", self.dir.path())
            .env("HOME", self.dir.path())
            .env(
                "DOCKER_HOST",
                format!("unix://{}/none", self.dir.path().display()),
            )
            .env("TZ", "UTC")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Whether the name is served with a certificate of the authority's.
    pub(crate) async fn speaks_for(&self, host: &str) -> bool {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.issuer.clone())
            .with_no_client_auth();
        // A router that has just been started may not listen yet.
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.tls_port)).await else {
            return false;
        };
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from(host.to_owned()).unwrap(), stream)
            .await
            .is_ok()
    }

    /// What server and router said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
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
