//! HTTPS for names of this machine, certificates that people bring, and terminals over rendezvous.

#![allow(clippy::unwrap_used)] // support code of tests

mod rig;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rig::{ANY, DEADLINE, Dyno, Log, Rig, Server, app, get, read_all, table, until};
use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{
    Certificate, Certificates, Challenge, Own, Proof, Staple, Table, Target, ToRouter,
};
use ropewalk_router::{
    AUTHORITY_CERTIFICATE, Config, Limits, Listeners, RouterError, Source, TlsFiles,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::client::TlsStream;

const CHAIN: &str = include_str!("fixtures/localhost.pem");
const KEY: &str = include_str!("fixtures/localhost.key");

/// A handshake by a client that trusts only the certificates of `file`. `name` is checked; without `sni` it is not said.
async fn handshake(
    rig: &Rig,
    file: &Path,
    name: &str,
    sni: bool,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusting(file))
        .with_no_client_auth();
    config.enable_sni = sni;
    connect(rig, config, name).await
}

fn trusting(file: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    roots
}

async fn connect(
    rig: &Rig,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name.to_owned()).unwrap(), stream)
        .await
}

#[tokio::test]
async fn the_router_chooses_the_cipher_and_not_the_client() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let _link = server.rise().await;
    let authority = server.dir.path().join("tls").join(AUTHORITY_CERTIFICATE);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut seen = Vec::new();
        for backwards in [false, true] {
            let mut provider = rustls::crypto::aws_lc_rs::default_provider();
            if backwards {
                provider.cipher_suites.reverse();
            }
            let config = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(trusting(&authority))
                .with_no_client_auth();
            let stream = connect(&rig, config, "shop.localhost").await.unwrap();
            seen.push(
                stream
                    .get_ref()
                    .1
                    .negotiated_cipher_suite()
                    .unwrap()
                    .suite(),
            );
        }
        assert_eq!(seen[0], seen[1]);
        // As strong as anybody needs, and the cheapest where processors know AES.
        assert!(format!("{:?}", seen[0]).contains("AES_128_GCM"), "{seen:?}");
    }
}

#[tokio::test]
async fn one_socket_speaks_http_and_https_for_names_of_this_machine() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let dyno = Dyno::hello("safe").await;
    let mut table = table(1, app(&[dyno.addr]));
    let target = table.hosts.values().next().unwrap().clone();
    table.hosts.insert("shop.localhost".to_owned(), target);
    link.send(&ToRouter::Table(table)).await;
    link.ack().await;

    assert!(
        rig.get("shop.localhost", "/")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let authority = server.dir.path().join("tls").join(AUTHORITY_CERTIFICATE);
    let mut client = handshake(&rig, &authority, "shop.localhost", true)
        .await
        .unwrap();
    client
        .write_all(get("shop.localhost", "/").as_bytes())
        .await
        .unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let head = dyno.last_head().to_ascii_lowercase();
    assert!(head.contains("x-forwarded-proto: https"), "{head}");
    // A client that names nobody checks the address that it came to.
    handshake(&rig, &authority, "127.0.0.1", false)
        .await
        .unwrap();
    // Others' names get nothing, whoever trusts the authority.
    handshake(&rig, &authority, "www.example.com", true)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn certificates_of_the_server_are_served_and_kept() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let chain = server.dir.path().join("chain.pem");
    std::fs::write(&chain, CHAIN).unwrap();
    handshake(&rig, &chain, "app.test", true).await.unwrap_err();
    let broken = Certificate {
        hosts: vec!["broken.test".to_owned()],
        chain: CHAIN.to_owned(),
        key: Secret("nothing".to_owned()),
        staple: None,
    };
    let good = Certificate {
        hosts: vec!["app.test".to_owned()],
        chain: CHAIN.to_owned(),
        key: Secret(KEY.to_owned()),
        staple: None,
    };
    let all = Certificates {
        generation: 7,
        own: None,
        endpoints: vec![broken, good],
        challenges: Vec::new(),
    };
    link.send(&ToRouter::Certificates(all)).await;
    assert_eq!(link.certified().await, 7);
    handshake(&rig, &chain, "app.test", true).await.unwrap();
    until("the file", || {
        server.certificates_file.exists().then_some(())
    })
    .await;
    let mode = std::fs::metadata(&server.certificates_file)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    rig.shut_down().await;
    drop(link);

    // A router that starts without the server has them.
    let rig = Rig::local(&server, Limits::default());
    let kept = async {
        while handshake(&rig, &chain, "app.test", true).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, kept)
        .await
        .expect("the kept certificate");
}

/// A client of [`CHAIN`] that keeps what comes with the certificate.
#[derive(Debug)]
struct Reading(Anything, Mutex<Vec<u8>>);

impl ServerCertVerifier for Reading {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.1.lock().unwrap() = staple.to_vec();
        self.0.verify_server_cert(leaf, others, name, staple, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[tokio::test]
async fn the_authoritys_word_is_sent_while_it_holds() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let staple = |answer: &str, until: u64| {
        Some(Staple {
            answer: answer.to_owned(),
            until,
        })
    };
    let cases = [
        ("holds.test", staple("aGVsbG8=", now + 3600), "hello"),
        ("old.test", staple("aGVsbG8=", now - 1), ""),
        ("broken.test", staple("no base64", now + 3600), ""),
        ("none.test", None, ""),
    ];
    let endpoints = cases.iter().map(|(host, staple, _)| Certificate {
        hosts: vec![(*host).to_owned()],
        chain: CHAIN.to_owned(),
        key: Secret(KEY.to_owned()),
        staple: staple.clone(),
    });
    let mut all = Certificates {
        generation: 1,
        own: None,
        endpoints: endpoints.collect(),
        challenges: Vec::new(),
    };
    link.send(&ToRouter::Certificates(all.clone())).await;
    link.certified().await;
    for (host, _, expected) in &cases {
        assert_eq!(word(&rig, host).await, *expected, "{host}");
    }
    // A newer word takes the place of the old one.
    all.generation = 2;
    all.endpoints[0].staple = staple("d29ybGQ=", now + 3600);
    link.send(&ToRouter::Certificates(all)).await;
    link.certified().await;
    assert_eq!(word(&rig, "holds.test").await, "world");
}

#[tokio::test]
async fn the_certificate_in_files_has_the_word_that_is_about_it() {
    let server = Server::new();
    let listeners = Listeners::bind(&[ANY], &[ANY]).unwrap();
    let addr = listeners.tls[0].local_addr().unwrap();
    let (cert, key) = (
        server.dir.path().join("cert.pem"),
        server.dir.path().join("key.pem"),
    );
    std::fs::write(&cert, CHAIN).unwrap();
    std::fs::write(&key, KEY).unwrap();
    let source = Source::Link {
        socket: server.socket.clone(),
        table_file: server.table_file.clone(),
        certificates_file: server.certificates_file.clone(),
    };
    let files = Some(TlsFiles { cert, key });
    let rig = Rig::run(
        source,
        Limits::default(),
        Log::default(),
        listeners,
        files,
        addr,
    );
    let mut link = server.rise().await;
    let other = rcgen::generate_simple_self_signed(vec!["app.test".to_owned()]).unwrap();
    let chains = [CHAIN.to_owned(), other.cert.pem(), CHAIN.to_owned()];
    for (generation, (chain, expected)) in (1..).zip(chains.into_iter().zip(["hello", "", "hello"]))
    {
        let all = Certificates {
            generation,
            own: Some(Own {
                chain,
                staple: Staple {
                    answer: "aGVsbG8=".to_owned(),
                    until: u64::MAX / 4,
                },
            }),
            ..Certificates::default()
        };
        link.send(&ToRouter::Certificates(all)).await;
        link.certified().await;
        assert_eq!(word(&rig, "app.test").await, expected, "{generation}");
    }
    let none = Certificates {
        generation: 9,
        ..Certificates::default()
    };
    link.send(&ToRouter::Certificates(none)).await;
    link.certified().await;
    assert_eq!(word(&rig, "app.test").await, "");
}

/// What comes with the certificate of a name.
async fn word(rig: &Rig, host: &str) -> String {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let reading = Arc::new(Reading(Anything(provider.clone()), Mutex::default()));
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(reading.clone())
        .with_no_client_auth();
    connect(rig, config, host).await.unwrap();
    let staple = reading.1.lock().unwrap().clone();
    String::from_utf8(staple).unwrap()
}

/// Takes whatever certificate comes, as an authority does.
#[derive(Debug)]
struct Anything(rustls::crypto::CryptoProvider);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A handshake as an authority makes it; the server's certificate.
async fn look(rig: &Rig, host: &str) -> Option<CertificateDer<'static>> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let stream = TcpStream::connect(rig.addr).await.unwrap();
    let mut client = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(host.to_owned()).unwrap(), stream)
        .await
        .ok()?;
    let (_, session) = client.get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let certificate = session.peer_certificates().unwrap()[0].clone().into_owned();
    assert_eq!(read_all(&mut client).await, "", "nothing is spoken there");
    Some(certificate)
}

#[tokio::test]
async fn authorities_are_answered_for_the_exact_host_and_token() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let dyno = Dyno::hello("the app").await;
    let mut table = table(1, app(&[dyno.addr]));
    let target = table.hosts.values().next().unwrap().clone();
    for host in ["app.test", "other.test"] {
        table.hosts.insert(host.to_owned(), target.clone());
    }
    link.send(&ToRouter::Table(table)).await;
    link.ack().await;
    // With the extension that only authorities understand.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["app.test".to_owned()]).unwrap();
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
    let proof = params.self_signed(&key).unwrap();
    let challenges = vec![
        Challenge {
            host: "app.test".to_owned(),
            proof: Proof::Http {
                token: "abc".to_owned(),
                authorization: "abc.thumb".to_owned(),
            },
        },
        Challenge {
            host: "app.test".to_owned(),
            proof: Proof::Tls {
                chain: proof.pem(),
                key: Secret(key.serialize_pem()),
            },
        },
    ];
    let mut all = Certificates {
        generation: 1,
        own: None,
        endpoints: Vec::new(),
        challenges,
    };
    link.send(&ToRouter::Certificates(all.clone())).await;
    assert_eq!(link.certified().await, 1);
    let page = "/.well-known/acme-challenge/abc";
    let answer = rig.get("app.test", page).await;
    assert!(answer.ends_with("\r\n\r\nabc.thumb"), "{answer}");
    // It does not reach the app.
    assert_eq!(dyno.count(), 0);
    for (host, path) in [
        ("other.test", page),
        ("app.test", "/.well-known/acme-challenge/abcd"),
        ("app.test", "/.well-known/acme-challenge/"),
    ] {
        let answer = rig.get(host, path).await;
        assert!(answer.ends_with("the app"), "{host} {path}: {answer}");
    }
    assert_eq!(look(&rig, "app.test").await, Some(proof.der().clone()));
    assert_eq!(look(&rig, "other.test").await, None);

    all.challenges.clear();
    all.generation = 2;
    link.send(&ToRouter::Certificates(all)).await;
    assert_eq!(link.certified().await, 2);
    let answer = rig.get("app.test", page).await;
    assert!(answer.ends_with("the app"), "{answer}");
    assert_eq!(look(&rig, "app.test").await, None);
}

#[tokio::test]
async fn a_terminal_goes_to_the_servers_socket() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let socket = server.dir.path().join("rendezvous.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut table = table(1, app(&[ANY]));
    table.hosts.insert(
        "api.localhost".to_owned(),
        Target::Platform {
            socket: String::new(),
        },
    );
    table.rendezvous = Some(socket.to_string_lossy().into_owned());
    link.send(&ToRouter::Table(table)).await;
    link.ack().await;
    let authority = server.dir.path().join("tls").join(AUTHORITY_CERTIFICATE);
    let mut client = handshake(&rig, &authority, "127.0.0.1", false)
        .await
        .unwrap();
    client.write_all(b"rendezvous.0123\r\n").await.unwrap();
    let (mut dyno, _) = tokio::time::timeout(DEADLINE, listener.accept())
        .await
        .unwrap()
        .unwrap();
    let mut secret = [0; b"rendezvous.0123\r\n".len()];
    dyno.read_exact(&mut secret).await.unwrap();
    assert_eq!(&secret, b"rendezvous.0123\r\n");
    dyno.write_all(b"rendezvous\r\n").await.unwrap();
    let mut greeting = [0; 64];
    let count = client.read(&mut greeting).await.unwrap();
    assert_eq!(&greeting[..count], b"rendezvous\r\n");
    client.write_all(b"ls\n").await.unwrap();
    let mut typed = [0; 3];
    dyno.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"ls\n");
    dyno.write_all(b"out").await.unwrap();
    drop(dyno);
    assert_eq!(read_all(&mut client).await, "out");
}

#[tokio::test]
async fn a_host_of_another_certificate_is_told_to_come_by_its_own() {
    let server = Server::new();
    let rig = Rig::local(&server, Limits::default());
    let mut link = server.rise().await;
    let dyno = Dyno::hello("safe").await;
    let mut table = table(1, app(&[dyno.addr]));
    let target = |app: &str| Target::App {
        app: app.to_owned(),
    };
    table.apps.insert("other-id".to_owned(), app(&[dyno.addr]));
    for (host, app) in [
        ("www.app.test", "app-id"),
        ("localhost", "other-id"),
        ("plain.test", "other-id"),
        ("plain-too.test", "app-id"),
    ] {
        table.hosts.insert(host.to_owned(), target(app));
    }
    link.send(&ToRouter::Table(table)).await;
    link.ack().await;
    let certificate = |host: &str| Certificate {
        hosts: vec![host.to_owned()],
        chain: CHAIN.to_owned(),
        key: Secret(KEY.to_owned()),
        staple: None,
    };
    let all = Certificates {
        generation: 1,
        own: None,
        challenges: Vec::new(),
        endpoints: ["app.test", "localhost"].map(certificate).into(),
    };
    link.send(&ToRouter::Certificates(all)).await;
    link.certified().await;
    let chain = server.dir.path().join("chain.pem");
    std::fs::write(&chain, CHAIN).unwrap();
    for (name, host, status) in [
        ("app.test", "app.test", 200),
        ("app.test", "APP.test:443", 200),
        // Another certificate, or none, of the same app.
        ("app.test", "www.app.test", 200),
        ("app.test", "plain-too.test", 200),
        ("app.test", "localhost", 421),
        ("app.test", "plain.test", 421),
        ("localhost", "plain.test", 200),
        ("localhost", "www.app.test", 421),
        ("app.test", "nobody.test", 404),
    ] {
        let mut client = handshake(&rig, &chain, name, true).await.unwrap();
        client.write_all(get(host, "/").as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert_eq!(rig::status(&answer), status, "{name} asked for {host}");
    }
    // Without a name, and without TLS, nothing is promised.
    let line = link.log(6).await;
    assert!(
        line.iter()
            .any(|line| line.text.contains("cause=\"misdirected request\"")),
        "{line:?}"
    );
    for host in ["localhost", "plain.test"] {
        assert!(rig.get(host, "/").await.starts_with("HTTP/1.1 200"));
    }
    // Neither of two hosts has a certificate of its own: that of the authority is for both.
    let authority = server.dir.path().join("tls").join(AUTHORITY_CERTIFICATE);
    let mut client = handshake(&rig, &authority, "127.0.0.1", false)
        .await
        .unwrap();
    client
        .write_all(get("plain.test", "/").as_bytes())
        .await
        .unwrap();
    assert_eq!(rig::status(&read_all(&mut client).await), 200);
}

#[tokio::test]
async fn a_tls_socket_waits_for_the_certificates_of_the_server() {
    let server = Server::new();
    let listeners = Listeners::bind(&[], &[ANY]).unwrap();
    let addr = listeners.tls[0].local_addr().unwrap();
    let source = Source::Link {
        socket: server.socket.clone(),
        table_file: server.table_file.clone(),
        certificates_file: server.certificates_file.clone(),
    };
    let rig = Rig::run(
        source,
        Limits::default(),
        rig::Log::default(),
        listeners,
        None,
        addr,
    );
    let mut link = server.rise().await;
    let chain = server.dir.path().join("chain.pem");
    std::fs::write(&chain, CHAIN).unwrap();
    let unknown = async |host: &str| {
        let error = handshake(&rig, &chain, host, true).await.unwrap_err();
        assert!(error.to_string().ends_with("UnrecognisedName"), "{error}");
    };
    unknown("app.test").await;
    // An authority may look before there is any.
    let all = Certificates {
        generation: 1,
        own: None,
        endpoints: Vec::new(),
        challenges: vec![Challenge {
            host: "app.test".to_owned(),
            proof: Proof::Tls {
                chain: CHAIN.to_owned(),
                key: Secret(KEY.to_owned()),
            },
        }],
    };
    link.send(&ToRouter::Certificates(all)).await;
    assert_eq!(link.certified().await, 1);
    assert!(look(&rig, "app.test").await.is_some());
    assert!(look(&rig, "other.test").await.is_none());
    unknown("app.test").await;
    let all = Certificates {
        generation: 2,
        own: None,
        endpoints: vec![Certificate {
            hosts: vec!["app.test".to_owned()],
            chain: CHAIN.to_owned(),
            key: Secret(KEY.to_owned()),
            staple: None,
        }],
        challenges: Vec::new(),
    };
    link.send(&ToRouter::Certificates(all)).await;
    assert_eq!(link.certified().await, 2);
    handshake(&rig, &chain, "app.test", true).await.unwrap();
    unknown("other.test").await;
}

#[tokio::test]
async fn without_a_server_a_tls_socket_needs_a_certificate() {
    let listeners = Listeners::bind(&[], &[ANY]).unwrap();
    let config = Config {
        source: Source::Fixed {
            table: Table::default(),
            log: None,
        },
        tls: None,
        local_authority: None,
        proxies: Vec::new(),
        limits: Limits::default(),
        counters: Arc::default(),
    };
    let error = ropewalk_router::start(config, listeners).await.unwrap_err();
    assert!(matches!(error, RouterError::NoCertificate), "{error}");
}
