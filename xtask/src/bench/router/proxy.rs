//! The proxies and the apps behind them: how each is configured and started.
//!
//! All pass the same headers on, keep connections to the apps open and use as many threads as there are CPUs. nginx and
//! Ropewalk write a line for each request to a file, and so does kamal-proxy; HAProxy logs to syslog only and Caddy by
//! request only, so both log nothing.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

use super::super::group::Group;
use super::super::run::run;
use crate::process::exists;

/// Bytes of the usual answer.
pub(super) const BODY: usize = 1024;
/// The program.
const KAMAL_PROXY: &str = "kamal-proxy";
/// For it to take its apps.
const DEPLOY: Duration = Duration::from_secs(40);
/// Apps behind each proxy.
const APPS: usize = 4;
/// Connections to the apps that are kept.
const KEPT: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(in super::super) enum Kind {
    #[value(skip)]
    Ropewalk,
    /// Another build of it.
    #[value(skip)]
    Before,
    #[value(name = "nginx")]
    Nginx,
    #[value(name = "haproxy")]
    Haproxy,
    #[value(name = "caddy")]
    Caddy,
    #[value(name = "kamal-proxy")]
    KamalProxy,
}

/// A running proxy.
pub(in super::super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) group: Group,
}

/// What all proxies stand before.
pub(super) struct Site {
    folder: PathBuf,
    binary: PathBuf,
    before: Option<PathBuf>,
    cert: PathBuf,
    key: PathBuf,
    /// Both in one file, as HAProxy wants it.
    both: PathBuf,
    apps: Vec<SocketAddr>,
    dead: Dead,
    threads: usize,
}

/// An address that refuses connections, and that nobody else gets.
struct Dead {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl Kind {
    /// Those that are measured unless others are asked for: what a distribution has.
    pub(super) const PEERS: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Caddy];

    pub(super) fn is_peer(&self) -> bool {
        !matches!(self, Self::Ropewalk | Self::Before)
    }

    /// # Errors
    /// No distribution has it, and it is not here.
    pub(super) fn must_be_here(self) -> Result<()> {
        if self == Self::KamalProxy && !exists(KAMAL_PROXY) {
            bail!(
                "{KAMAL_PROXY} is not on the PATH; with Go: \
                 go install github.com/basecamp/kamal-proxy/cmd/kamal-proxy@latest"
            );
        }
        Ok(())
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ropewalk => "ropewalk",
            Self::Before => "ropewalk before",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::KamalProxy => KAMAL_PROXY,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Proxy {
    /// Starts one; with `dead`, one of its upstreams refuses every connection.
    pub(super) fn start(kind: Kind, site: &Site, dead: bool) -> Result<Self> {
        let [plain, tls] = free::<2>()?;
        let mut upstreams = site.apps.clone();
        upstreams.extend(dead.then_some(site.dead.address));
        let name = format!("{}{}", kind.name(), if dead { "-dead" } else { "" }).replace(' ', "-");
        let plan = Plan {
            site,
            name: &name,
            plain,
            tls,
            upstreams: &upstreams,
        };
        let mut command = match kind {
            Kind::Ropewalk => plan.ropewalk(&site.binary),
            Kind::Before => plan.ropewalk(site.before.as_deref().context("no other build")?),
            Kind::Nginx => plan.nginx()?,
            Kind::Haproxy => plan.haproxy()?,
            Kind::Caddy => plan.caddy()?,
            Kind::KamalProxy => plan.kamal_proxy()?,
        };
        let group = Group::start(&mut command, &site.folder, &name, &[plain, tls])?;
        if kind == Kind::KamalProxy {
            run(&mut plan.kamal_deploy(), DEPLOY)
                .with_context(|| format!("{KAMAL_PROXY} took no apps"))?;
        }
        Ok(Self {
            kind,
            plain,
            tls,
            group,
        })
    }
}

impl Site {
    pub(super) fn start(folder: &Path, binary: &Path, before: Option<&Path>) -> Result<Self> {
        let apps = free::<APPS>()?;
        let site = Self {
            folder: folder.to_owned(),
            binary: binary.to_owned(),
            before: before.map(Path::to_owned),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            both: folder.join("both.pem"),
            apps: apps.to_vec(),
            dead: Dead::new()?,
            threads: std::thread::available_parallelism()?.get(),
        };
        site.certificate()?;
        let config = folder.join("apps.conf");
        std::fs::write(&config, site.apps_config())?;
        std::fs::write(folder.join("large"), random(1 << 20))?;
        Group::start(&mut nginx(&config), folder, "apps", &site.apps)?;
        Ok(site)
    }

    fn certificate(&self) -> Result<()> {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&self.key)
            .arg("-out")
            .arg(&self.cert);
        run(&mut command, Duration::from_secs(20)).context("no certificate could be made")?;
        let both = std::fs::read_to_string(&self.cert)? + &std::fs::read_to_string(&self.key)?;
        std::fs::write(&self.both, both)?;
        Ok(())
    }

    /// Four apps: a kilobyte at `/`, a file at `/large`, and `/upload`, which reads all before it answers.
    fn apps_config(&self) -> String {
        let mut servers = String::new();
        for app in &self.apps {
            let _ = write!(
                servers,
                "server {{
                    listen {app} backlog=4096;
                    location / {{ default_type text/plain; return 200 \"{body}\"; }}
                    location = /large {{ root {root}; }}
                    location = /upload {{
                        proxy_pass http://{app}/read;
                        proxy_pass_request_body off;
                        proxy_set_header Content-Length \"\";
                    }}
                    location = /read {{ return 200 ok; }}
                }}\n",
                body = "x".repeat(BODY),
                root = self.folder.display(),
            );
        }
        self.nginx_config(
            "apps",
            &format!("access_log off; sendfile on; client_body_buffer_size 128k;\n{servers}"),
        )
    }

    fn nginx_config(&self, name: &str, http: &str) -> String {
        let folder = self.folder.display();
        let user = match rustix::process::geteuid().is_root() {
            true => "user root;",
            false => "",
        };
        let mut text = format!(
            "daemon off; {user} worker_processes {threads}; worker_rlimit_nofile {files};
            error_log {folder}/{name}.error.log crit; pid {folder}/{name}.pid;
            events {{ worker_connections 8192; }}
            http {{
                keepalive_requests 1000000000; keepalive_timeout 300s; client_max_body_size 100m; tcp_nodelay on;\n",
            threads = self.threads,
            files = super::FILES,
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(text, "{kind}_temp_path {folder}/{name}.{kind};");
        }
        text + http + "}\n"
    }
}

/// One proxy about to be started.
struct Plan<'a> {
    site: &'a Site,
    name: &'a str,
    plain: SocketAddr,
    tls: SocketAddr,
    upstreams: &'a [SocketAddr],
}

impl Plan<'_> {
    fn ropewalk(&self, binary: &Path) -> Command {
        let upstreams: Vec<String> = self.upstreams.iter().map(ToString::to_string).collect();
        let mut command = Command::new(binary);
        command
            .arg("router")
            .args(["--listen", &self.plain.to_string()])
            .args(["--tls-listen", &self.tls.to_string()])
            .arg("--cert")
            .arg(&self.site.cert)
            .arg("--key")
            .arg(&self.site.key)
            .args(["--upstreams", &upstreams.join(",")]);
        command
    }

    fn nginx(&self) -> Result<Command> {
        let mut http = String::from(
            "log_format router 'at=info method=$request_method path=\"$request_uri\" host=$host \
             request_id=$request_id fwd=\"$remote_addr\" dyno=$upstream_addr connect=$upstream_connect_time \
             service=$request_time status=$status bytes=$bytes_sent protocol=$scheme';\n",
        );
        let folder = self.site.folder.display();
        let _ = writeln!(http, "access_log {folder}/{}.access.log router;", self.name);
        http.push_str("upstream apps {\n");
        for upstream in self.upstreams {
            let _ = writeln!(http, "server {upstream};");
        }
        let _ = write!(
            http,
            "keepalive {KEPT}; keepalive_requests 1000000000; }}
            server {{
                listen {plain} reuseport backlog=4096;
                listen {tls} ssl http2 reuseport backlog=4096;
                ssl_certificate {cert}; ssl_certificate_key {key};
                ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
                location / {{
                    proxy_pass http://apps; proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_set_header Host $host;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_set_header X-Forwarded-Port $server_port;
                    proxy_set_header X-Request-Id $request_id;
                    proxy_set_header X-Request-Start $msec;
                    proxy_set_header Via \"1.1 nginx\";
                }}
            }}\n",
            plain = self.plain,
            tls = self.tls,
            cert = self.site.cert.display(),
            key = self.site.key.display(),
        );
        let config = self.config("conf", &self.site.nginx_config(self.name, &http))?;
        Ok(nginx(&config))
    }

    fn haproxy(&self) -> Result<Command> {
        let mut text = format!(
            "global
                nbthread {threads}
                maxconn 8192
                tune.ssl.cachesize 0
            defaults
                mode http
                timeout connect 5s
                timeout client 60s
                timeout server 60s
                retries 3
                option redispatch
            frontend clients
                bind {plain} backlog 4096
                bind {tls} ssl crt {both} alpn h2,http/1.1 no-tls-tickets
                option forwardfor
                http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
                http-request set-header X-Forwarded-Port %[dst_port]
                http-request set-header X-Request-Id %[uuid()]
                http-request set-header X-Request-Start %[date(0,ms)]
                http-request set-header Via \"1.1 haproxy\"
                default_backend apps
            backend apps
                balance roundrobin
                http-reuse always\n",
            threads = self.site.threads,
            plain = self.plain,
            tls = self.tls,
            both = self.site.both.display(),
        );
        for (number, upstream) in self.upstreams.iter().enumerate() {
            let _ = writeln!(text, "server app{number} {upstream}");
        }
        let config = self.config("cfg", &text)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(config);
        Ok(command)
    }

    fn caddy(&self) -> Result<Command> {
        let upstreams: Vec<String> = self.upstreams.iter().map(ToString::to_string).collect();
        let site = |scheme: &str, address: SocketAddr, tls: &str| {
            format!(
                "{scheme}://:{port} {{
                    bind 127.0.0.1
                    {tls}
                    reverse_proxy {to} {{
                        lb_policy round_robin
                        lb_try_duration 2s
                        header_up X-Request-Start {{time.now.unix_ms}}
                        transport http {{
                            keepalive_idle_conns_per_host {KEPT}
                        }}
                    }}
                }}\n",
                port = address.port(),
                to = upstreams.join(" "),
            )
        };
        let (cert, key) = (self.site.cert.display(), self.site.key.display());
        let text = [
            "{\n admin off\n auto_https off\n}\n".to_owned(),
            site("http", self.plain, ""),
            site("https", self.tls, &format!("tls {cert} {key}")),
        ]
        .concat();
        let config = self.config("Caddyfile", &text)?;
        let mut command = Command::new("caddy");
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(config)
            .env("HOME", &self.site.folder)
            .env("XDG_DATA_HOME", &self.site.folder)
            .env("XDG_CONFIG_HOME", &self.site.folder);
        Ok(command)
    }

    /// It is told of its apps once it runs, and writes a line for each request.
    fn kamal_proxy(&self) -> Result<Command> {
        std::fs::create_dir_all(self.kamal_home())?;
        let mut command = self.kamal();
        command
            .arg("run")
            .args(["--http-port", &self.plain.port().to_string()])
            .args(["--https-port", &self.tls.port().to_string()]);
        Ok(command)
    }

    /// Apps are asked whether they are well, by `/`. A dead one would not be taken, and is not asked first.
    fn kamal_deploy(&self) -> Command {
        let has_dead = self.upstreams.contains(&self.site.dead.address);
        let mut command = self.kamal();
        command
            .args(["deploy", "apps", "--host", "127.0.0.1,localhost"])
            .args(has_dead.then_some("--force"))
            .args(["--health-check-path", "/"])
            .args(["--tls", "--tls-redirect=false", "--forward-headers"])
            .arg("--tls-certificate-path")
            .arg(&self.site.cert)
            .arg("--tls-private-key-path")
            .arg(&self.site.key);
        for upstream in self.upstreams {
            command.args(["--target", &upstream.to_string()]);
        }
        command
    }

    fn kamal(&self) -> Command {
        let home = self.kamal_home();
        let mut command = Command::new(KAMAL_PROXY);
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
        command
    }

    fn kamal_home(&self) -> PathBuf {
        self.site.folder.join(format!("{}.home", self.name))
    }

    fn config(&self, end: &str, text: &str) -> Result<PathBuf> {
        let path = self.site.folder.join(format!("{}.{end}", self.name));
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Dead {
    fn new() -> Result<Self> {
        // Bound, but nobody listens.
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = getsockname(&socket)?.try_into()?;
        Ok(Self {
            address,
            _socket: socket,
        })
    }
}

fn nginx(config: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-c").arg(config);
    command
}

/// Addresses that nobody listens on.
fn free<const N: usize>() -> Result<[SocketAddr; N]> {
    // All are held until the last is found, so that they differ.
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::new();
    for address in &mut found {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(found)
}

/// Bytes that do not compress.
fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_dead_address_refuses() -> Result<()> {
        let dead = Dead::new()?;
        let refused = TcpStream::connect(dead.address).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(std::io::ErrorKind::ConnectionRefused));
        assert!(TcpListener::bind(dead.address).is_err());
        Ok(())
    }

    #[test]
    fn free_addresses_differ() -> Result<()> {
        let mut all = free::<8>()?.to_vec();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8);
        Ok(())
    }
}
