//! Pebble and its name server, on free ports of loopback, ended with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::rig::until;

/// The account that an authority with [`With::external`] knows.
pub(crate) const KEY_ID: &str = "kid-1";
pub(crate) const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// What is special about an authority.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct With {
    /// It finds nobody on port 80.
    pub(crate) no_http: bool,
    /// For which its certificates are valid, in seconds.
    pub(crate) lifetime: Option<u64>,
    /// It makes accounts only for those whom it knows.
    pub(crate) external: bool,
}

pub(crate) struct Pebble {
    dir: TempDir,
    ports: Ports,
    _names: Child,
    authority: Child,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    authority: u16,
    management: u16,
    names: u16,
    records: u16,
}

/// What another one at the same place is started with.
pub(crate) struct Again {
    dir: TempDir,
    ports: Ports,
    names: Child,
}

impl Pebble {
    /// Where it finds the router by HTTP, and where by TLS.
    pub(crate) async fn start(with: With, http: u16, tls: u16) -> Self {
        for _ in 0..5 {
            if let Some(pebble) = Self::try_start(with, http, tls).await {
                return pebble;
            }
        }
        panic!("never: ports that stay free");
    }

    /// `None` when somebody else took a port meanwhile.
    async fn try_start(with: With, http: u16, tls: u16) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let [authority, management, names, records] = free();
        let ports = Ports {
            authority,
            management,
            names,
            records,
        };
        certificates(&dir);
        let [nobody] = free();
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{authority}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": dir.path().join("cert.pem"),
            "privateKey": dir.path().join("key.pem"),
            "httpPort": if with.no_http { nobody } else { http },
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": with.external,
            "externalAccountMACKeys": {(KEY_ID): KEY},
        });
        if let Some(lifetime) = with.lifetime {
            config["certificateValidityPeriod"] = lifetime.into();
        }
        let config = json!({"pebble": config}).to_string();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let mut names = program("pebble-challtestsrv")
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-dns01", &format!("127.0.0.1:{names}")])
            .args(["-management", &format!("127.0.0.1:{records}")])
            .spawn()
            .unwrap();
        if !listening(records, &mut names).await {
            return None;
        }
        Self::authority(Again { dir, ports, names }).await
    }

    pub(crate) async fn start_again(again: Again) -> Self {
        Self::authority(again).await.unwrap()
    }

    async fn authority(again: Again) -> Option<Self> {
        let Again { dir, ports, names } = again;
        let mut authority = program("pebble")
            .args(["-dnsserver", &format!("127.0.0.1:{}", ports.names)])
            .arg("-config")
            .arg(dir.path().join("config.json"))
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "15")
            // Each order shows anew that the name leads here.
            .env("PEBBLE_AUTHZREUSE", "0")
            .spawn()
            .unwrap();
        for port in [ports.authority, ports.management] {
            if !listening(port, &mut authority).await {
                return None;
            }
        }
        Some(Self {
            dir,
            ports,
            _names: names,
            authority,
        })
    }

    pub(crate) async fn stop(&mut self) {
        self.authority.kill().await.unwrap();
    }

    pub(crate) fn options(&mut self) -> Again {
        let spare = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        let names = program("true").spawn().unwrap();
        Again {
            dir: spare,
            ports: self.ports,
            names: std::mem::replace(&mut self._names, names),
        }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.ports.authority)
    }

    /// Whom to trust for [`Self::directory`].
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The root of what it issues.
    pub(crate) async fn issuer(&self) -> RootCertStore {
        let mut own = RootCertStore::empty();
        own.add(CertificateDer::from_pem_file(self.ca_file()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(own)
            .with_no_client_auth();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.management))
            .await
            .unwrap();
        let mut client = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap();
        client
            .write_all(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        // It may end without saying so.
        let _ = client.read_to_end(&mut answer).await;
        let mut issuer = RootCertStore::empty();
        issuer
            .add(CertificateDer::from_pem_slice(&answer).unwrap())
            .unwrap();
        issuer
    }

    /// Where records are set.
    pub(crate) fn records(&self) -> u16 {
        self.ports.records
    }
}

/// Whether there is no Pebble here, and says so.
pub(crate) fn is_missing() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing = !is_there("pebble") || !is_there("pebble-challtestsrv");
    if missing {
        println!("skipped: pebble is not installed; `cargo xtask test` does that");
    }
    missing
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Waits until the program listens on the port; `false` when it has ended.
async fn listening(port: u16, program: &mut Child) -> bool {
    until("a port that is listened on", async || {
        if program.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let open = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        open.is_ok().then_some(true)
    })
    .await
}

/// Ports that nothing listens on. All are held until all are found.
pub(crate) fn free<const N: usize>() -> [u16; N] {
    let sockets = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// The certificate of the authority's own server, and who signed it.
fn certificates(dir: &TempDir) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    for (name, text) in [
        ("ca.pem", ca_certificate.pem()),
        ("cert.pem", leaf.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
}
