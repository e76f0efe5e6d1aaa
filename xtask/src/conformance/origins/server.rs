//! Servers that others wrote, each with a few lines of its own kind that note what it parsed.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tempfile::TempDir;

use super::judge::Seen;
use crate::process;

/// Until a server listens, and until it has noted what it answered.
const LIMIT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);
/// For what nobody waits for to be noted as well.
const SETTLE: Duration = Duration::from_millis(500);
/// Where Debian has Apache's modules.
const APACHE_MODULES: &str = "/usr/lib/apache2/modules";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Nginx,
    Apache,
    Gunicorn,
    Uvicorn,
    Node,
    Puma,
}

impl Kind {
    pub(super) const ALL: [Kind; 6] = [
        Kind::Nginx,
        Kind::Apache,
        Kind::Gunicorn,
        Kind::Uvicorn,
        Kind::Node,
        Kind::Puma,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Apache => "Apache",
            Kind::Gunicorn => "gunicorn",
            Kind::Uvicorn => "uvicorn",
            Kind::Node => "Node",
            Kind::Puma => "Puma",
        }
    }

    /// Program and package of Debian and Ubuntu.
    pub(super) fn package(self) -> (&'static str, &'static str) {
        match self {
            Kind::Nginx => ("nginx", "nginx"),
            // Without the service.
            Kind::Apache => ("apache2", "apache2-bin"),
            Kind::Gunicorn => ("gunicorn", "gunicorn"),
            Kind::Uvicorn => ("uvicorn", "uvicorn"),
            Kind::Node => ("node", "nodejs"),
            Kind::Puma => ("puma", "puma"),
        }
    }

    /// The file that says what it does, and its text.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Kind::Nginx => ("nginx.conf", include_str!("nginx.conf")),
            Kind::Apache => ("apache.conf", include_str!("apache.conf")),
            Kind::Gunicorn | Kind::Uvicorn => ("app.py", APP),
            Kind::Node => ("app.mjs", include_str!("app.mjs")),
            Kind::Puma => ("config.ru", include_str!("config.ru")),
        }
    }

    fn arguments(self, port: u16) -> Vec<String> {
        let text = match self {
            Kind::Nginx => "-p @FOLDER@ -c @FOLDER@/nginx.conf",
            Kind::Apache => "-D FOREGROUND -f @FOLDER@/apache.conf",
            Kind::Gunicorn => {
                "--bind 127.0.0.1:@PORT@ --worker-class gthread --threads 8 --keep-alive 75 app:wsgi"
            }
            Kind::Uvicorn => {
                "--host 127.0.0.1 --port @PORT@ --app-dir . --timeout-keep-alive 75 --no-proxy-headers app:asgi"
            }
            Kind::Node => "app.mjs",
            Kind::Puma => {
                "--bind tcp://127.0.0.1:@PORT@ --threads 1:8 --environment none config.ru"
            }
        };
        let text = text.replace("@PORT@", &port.to_string());
        text.split(' ').map(str::to_owned).collect()
    }
}

/// What gunicorn, uvicorn and Apache's CGI run.
const APP: &str = include_str!("app.py");

/// One that runs; it ends with this.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    notes: PathBuf,
    child: Child,
    _folder: TempDir,
}

impl Server {
    pub(super) fn start(kind: Kind) -> Result<Server> {
        let folder = tempfile::Builder::new()
            .prefix("ropewalk-origin-")
            .tempdir()?;
        let path = folder.path().canonicalize()?;
        // Apache's and nginx' own users write here.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777))?;
        let address = super::super::free()?;
        let notes = path.join("seen");
        File::create(&notes)?.set_permissions(PermissionsExt::from_mode(0o666))?;
        let put_in = |text: &str| {
            text.replace("@FOLDER@", &path.to_string_lossy())
                .replace("@SEEN@", &notes.to_string_lossy())
                .replace("@PORT@", &address.port().to_string())
                .replace("@MODULES@", APACHE_MODULES)
        };
        let (name, text) = kind.file();
        std::fs::write(path.join(name), put_in(text))?;
        if kind == Kind::Apache {
            write_program(&path.join("app.py"))?;
        }
        let log = File::create(path.join("log"))?;
        // Servers of the distribution are not on everybody's PATH.
        let search = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let child = Command::new(found(kind.package().0, &search))
            .args(kind.arguments(address.port()).iter().map(|one| put_in(one)))
            .current_dir(&path)
            .env("PATH", &search)
            .env("SEEN", &notes)
            .env("PORT", address.port().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} could not be started", kind.name()))?;
        let mut server = Server {
            address,
            notes,
            child,
            _folder: folder,
        };
        process::wait_for(LIMIT, &format!("{} to listen", kind.name()), || {
            if let Some(status) = server.child.try_wait()? {
                let log = std::fs::read_to_string(path.join("log")).unwrap_or_default();
                bail!("{} ended ({status}):\n{log}", kind.name());
            }
            Ok(TcpStream::connect(address).is_ok())
        })?;
        Ok(server)
    }

    /// All that it noted, once the request for `last` is among it.
    pub(super) fn seen(&self, last: &str) -> Result<Vec<Seen>> {
        let noted = || -> Result<Vec<Seen>> {
            // nginx notes bytes as they are: one letter each.
            let bytes = std::fs::read(&self.notes)?;
            let text: String = bytes.into_iter().map(char::from).collect();
            let lines = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let line = |line: &str| {
                serde_json::from_str(line).with_context(|| format!("no note: {line:?}"))
            };
            lines.map(line).collect()
        };
        process::wait_for(LIMIT, "a server to note its last request", || {
            Ok(noted()?.iter().any(|seen| seen.path == last))
        })?;
        thread::sleep(SETTLE);
        noted()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = process::end(self.child.id(), GRACE);
        let _ = self.child.wait();
    }
}

fn write_program(path: &Path) -> Result<()> {
    std::fs::write(path, APP)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// A program's file; by its name alone if it is in none of these folders.
fn found(program: &str, search: &str) -> PathBuf {
    std::env::split_paths(search)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| program.into())
}
