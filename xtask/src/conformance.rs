//! `cargo xtask conformance SUITE`: public suites against the router on its own, over an app that does next to nothing.
//!
//! A case that fails and is not known to is an error; `docs/conformance.md` says which are known, and why. The suites
//! are others' programs: those that the distribution has are installed where they are missing, any other is said with
//! the way to get it.

mod app;
mod autobahn;
mod clients;
mod h2spec;
mod origins;
mod slow;
mod testssl;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use tempfile::TempDir;

use crate::place::Place;
use crate::process::{self, loud};

#[derive(Args)]
pub struct Conformance {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// HTTP/2 and HPACK, strictly: h2spec, without and with TLS
    H2spec,
    /// WebSockets: Autobahn's fuzzing client, directly and through the router
    Autobahn(autobahn::Autobahn),
    /// Slow clients: slowhttptest, and whether others are served beside it
    Slowhttptest,
    /// curl, Python's and Node's clients through the router, in HTTP/1.1 and HTTP/2
    Clients,
    /// TLS: testssl.sh, and nothing that it finds of medium severity or above
    Testssl,
    /// Messages that could be read in two ways, through the router to nginx, Apache, gunicorn, uvicorn, Node and Puma
    Origins(origins::Origins),
}

impl Conformance {
    pub fn run(&self) -> Result<()> {
        match &self.suite {
            Suite::H2spec => h2spec::run(),
            Suite::Autobahn(autobahn) => autobahn.run(),
            Suite::Slowhttptest => slow::run(),
            Suite::Clients => clients::run(),
            Suite::Testssl => testssl::run(),
            Suite::Origins(origins) => origins.run(),
        }
    }
}

/// A router over an app; it ends with this.
struct Bed {
    plain: SocketAddr,
    tls: SocketAddr,
    folder: TempDir,
    router: Child,
}

impl Bed {
    fn over(app: SocketAddr) -> Result<Bed> {
        let binary = binary(&Place::find()?)?;
        let folder = tempfile::Builder::new()
            .prefix("ropewalk-conformance-")
            .tempdir()?;
        let (cert, key) = certificate(folder.path())?;
        let [plain, tls] = [free()?, free()?];
        let router = Command::new(binary)
            .arg("router")
            .args(["--listen", &plain.to_string()])
            .args(["--tls-listen", &tls.to_string()])
            .arg("--cert")
            .arg(cert)
            .arg("--key")
            .arg(key)
            .args(["--upstreams", &app.to_string()])
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("router.log"))?)
            .stderr(Stdio::inherit())
            .spawn()?;
        let mut bed = Bed {
            plain,
            tls,
            folder,
            router,
        };
        process::wait_for(Duration::from_secs(10), "the router to listen", || {
            if let Some(status) = bed.router.try_wait()? {
                bail!("the router ended ({status})");
            }
            Ok([plain, tls]
                .iter()
                .all(|addr| TcpStream::connect(addr).is_ok()))
        })?;
        Ok(bed)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Requests of the suite may hang: they are not waited for.
        let _ = self.router.kill();
        let _ = self.router.wait();
    }
}

/// The one that is named, or one that is built now.
fn binary(place: &Place) -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("ROPEWALK_TEST_BINARY") {
        return Ok(binary.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    loud(
        Command::new(cargo)
            .args(["build", "--locked", "--package", "ropewalk"])
            .current_dir(&place.root),
    )?;
    Ok(place.target.join("debug/ropewalk"))
}

/// A certificate that nobody trusts, and its key.
pub(crate) fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let paths = [&key, &cert].map(|path| path.to_string_lossy().into_owned());
    let [key_path, cert_path] = &paths;
    let args = [
        "req",
        "-x509",
        "-nodes",
        // Not so near to its end that a suite warns of it, and not longer than browsers take.
        "-days",
        "200",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
        key_path,
        "-out",
        cert_path,
    ];
    process::quiet("openssl", &args)?;
    Ok((cert, key))
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
