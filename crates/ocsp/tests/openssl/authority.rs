//! An authority with the responder of OpenSSL, on a free port of loopback, ended with the test.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SerialNumber,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Every wait of a test ends here.
const DEADLINE: Duration = Duration::from_secs(60);

/// Who signs answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    Issuer,
    /// Whom the authority lets do that.
    Delegate,
    /// Who has a certificate of the authority's, and no more.
    Stranger,
}

/// What is said about its certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Good,
    Revoked,
    Unknown,
}

pub(crate) struct Authority {
    dir: TempDir,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) port: u16,
    responder: Option<Child>,
}

/// A chain and its key, PEM.
pub(crate) struct Leaf {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    /// Nobody answers yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of a test");
        let certificate = params.self_signed(&key).unwrap().pem();
        let this = Self {
            certificate,
            port: free(),
            responder: None,
            issuer: Issuer::new(params, key),
            dir,
        };
        this.write("ca.pem", &this.certificate);
        this.write("ca.key", &this.issuer.key().serialize_pem());
        for (name, usage) in [
            ("delegate", ExtendedKeyUsagePurpose::OcspSigning),
            ("stranger", ExtendedKeyUsagePurpose::ServerAuth),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![usage];
            let signed = params.signed_by(&key, &this.issuer).unwrap();
            this.write(&format!("{name}.pem"), &signed.pem());
            this.write(&format!("{name}.key"), &key.serialize_pem());
        }
        this
    }

    /// Of the authority alone.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn leaf(&self, host: &str, serial: u16, must_staple: bool) -> Leaf {
        let address = format!("http://127.0.0.1:{}", self.port);
        self.leaf_by(&address, host, serial, must_staple)
    }

    /// That names `responder`.
    pub(crate) fn leaf_by(
        &self,
        responder: &str,
        host: &str,
        serial: u16,
        must_staple: bool,
    ) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial.to_be_bytes().to_vec()));
        params.custom_extensions.push(access(responder));
        if must_staple {
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
            let feature = vec![0x30, 3, 2, 1, 5];
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&oid, feature));
        }
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            chain: format!("{}{}", signed.pem(), self.certificate),
            key: key.serialize_pem(),
        }
    }

    /// From now on this is answered about certificates of these numbers. `days` is how long an answer holds.
    pub(crate) async fn answer(&mut self, signer: Signer, days: u32, words: &[(u16, Word)]) {
        self.stop().await;
        let line = |(serial, word): &(u16, Word)| match word {
            Word::Good => format!("V\t490101000000Z\t\t{serial:04X}\tunknown\t/CN={serial}\n"),
            Word::Revoked => format!(
                "R\t490101000000Z\t260102030405Z,keyCompromise\t{serial:04X}\tunknown\t/CN={serial}\n"
            ),
            Word::Unknown => String::new(),
        };
        self.write("index.txt", &words.iter().map(line).collect::<String>());
        self.write("index.txt.attr", "unique_subject = no\n");
        let name = match signer {
            Signer::Issuer => "ca",
            Signer::Delegate => "delegate",
            Signer::Stranger => "stranger",
        };
        let file = |name: &str| self.dir.path().join(name);
        let said = File::create(file("said")).unwrap();
        let mut responder = Command::new("openssl")
            .args(["ocsp", "-port", &self.port.to_string()])
            .arg("-index")
            .arg(file("index.txt"))
            .arg("-CA")
            .arg(file("ca.pem"))
            .arg("-rsigner")
            .arg(file(&format!("{name}.pem")))
            .arg("-rkey")
            .arg(file(&format!("{name}.key")))
            .args(["-ndays", &days.to_string()])
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // A connection that says nothing would hold it up for good, so none is made to see whether it listens.
        until("the responder", async || {
            let ended = responder.try_wait().unwrap();
            assert!(ended.is_none(), "the responder ended: {ended:?}");
            let said = std::fs::read_to_string(file("said")).unwrap();
            said.contains("aiting for OCSP client connections")
                .then_some(())
        })
        .await;
        self.responder = Some(responder);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(mut responder) = self.responder.take() {
            responder.kill().await.unwrap();
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }
}

/// Authority information access (RFC 5280, 4.2.2.1) with one responder, of a short address.
fn access(responder: &str) -> CustomExtension {
    let tagged = |tag: u8, inner: &[u8]| {
        let length = u8::try_from(inner.len()).unwrap();
        assert!(length < 128, "a short form");
        [&[tag, length], inner].concat()
    };
    let ocsp = [0x2b, 6, 1, 5, 5, 7, 0x30, 1];
    let described = [tagged(6, &ocsp), tagged(0x86, responder.as_bytes())].concat();
    let content = tagged(0x30, &tagged(0x30, &described));
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}

/// A port that nothing listens on.
pub(crate) fn free() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap().port()
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
