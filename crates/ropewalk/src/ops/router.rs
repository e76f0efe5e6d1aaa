//! `ropewalk router`: the data plane as a process of its own.

mod succession;
mod upgrade;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use ropewalk_api_types::router::DynoProtocol;
use ropewalk_model::egress::Cidr;
use ropewalk_router::{Config, Counters, Limits, Listeners, Source, Stop, TlsFiles, fixed_table};

use super::DataArg;
use super::data::{Data, ROUTER_CERTIFICATES, write_pid};
use succession::{Heir, Predecessor};

pub(crate) use upgrade::Upgrade;

/// Folder of the local authority in the data directory.
const LOCAL_TLS: &str = "tls";

#[derive(Debug, Args)]
pub(crate) struct RouterCommand {
    #[command(flatten)]
    data: DataArg,
    /// Listen for HTTP here (sockets held by systemd are used when there are any)
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Listen for TLS here, with the certificates that the server sends and the one that is named
    #[arg(long, value_name = "ADDR")]
    tls_listen: Vec<SocketAddr>,
    /// Take HTTP/3 here, over UDP, with the same certificates; clients of TLS are told of it
    #[arg(long, value_name = "ADDR")]
    quic_listen: Vec<SocketAddr>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Names below localhost speak TLS too, on every socket, with certificates of an authority of this machine's own
    #[arg(long)]
    local_tls: bool,
    /// Proxies in front, whose connections begin with a PROXY header that names the client: 10.0.0.0/8,192.168.1.9
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',')]
    proxy_protocol_from: Vec<Cidr>,
    /// Only this fixed table, whatever the host: no server needed
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    upstreams: Vec<SocketAddr>,
    /// What is in the fixed table speaks HTTP/2 without TLS
    #[arg(long, requires = "upstreams")]
    h2c: bool,
    /// The listening socket is standard input
    #[arg(long, hide = true)]
    listen_stdin: bool,
    /// A router at the other end of standard input hands its sockets over
    #[arg(long, hide = true)]
    take_over: bool,
}

impl RouterCommand {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        ropewalk_telemetry::init(ropewalk_telemetry::Format::Human)?;
        let predecessor = match self.take_over {
            true => Some(Predecessor::at_stdin()?),
            false => None,
        };
        let listeners = match &predecessor {
            Some(predecessor) => predecessor.listeners()?,
            None => self.listeners()?,
        };
        let heir = Heir::new(&listeners)?;
        let mut pid_file = None;
        let source = if self.upstreams.is_empty() {
            let data = Data::open(&self.data.data)?;
            pid_file = Some(data.socket("router.pid"));
            Source::Link {
                socket: data.socket("router.sock"),
                table_file: data.path("router/table.json"),
                certificates_file: data.path(ROUTER_CERTIFICATES),
            }
        } else {
            let protocol = match self.h2c {
                true => DynoProtocol::H2c,
                false => DynoProtocol::Http1,
            };
            Source::Fixed {
                table: fixed_table(&self.upstreams, protocol),
                log: Some(Box::new(std::io::BufWriter::new(std::io::stdout()))),
            }
        };
        let tls = self
            .cert
            .zip(self.key)
            .map(|(cert, key)| TlsFiles { cert, key });
        let config = Config {
            source,
            tls,
            local_authority: self.local_tls.then(|| self.data.data.join(LOCAL_TLS)),
            proxies: self.proxy_protocol_from,
            limits: Limits::default(),
            counters: Arc::new(Counters::default()),
        };
        let started = ropewalk_router::start(config, listeners).await?;
        if let Some(file) = pid_file
            && let Err(error) = write_pid(&file, std::process::id())
        {
            // A full disk must not keep requests from being served.
            tracing::warn!(error = format!("{error:#}"), "A pid file is out of date.");
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        if let Some(predecessor) = predecessor {
            predecessor.dismiss();
        }
        tokio::spawn(super::server::feed_watchdog());
        let stop = async {
            tokio::select! {
                () = super::asked_to_end() => Stop::Ended,
                () = heir.succeeds() => Stop::Succeeded,
            }
        };
        started.until(stop).await;
        Ok(ExitCode::SUCCESS)
    }

    fn listeners(&self) -> Result<Listeners> {
        let mut listeners = match self.listen_stdin {
            true => Listeners {
                plain: vec![TcpListener::from(
                    std::io::stdin().as_fd().try_clone_to_owned()?,
                )],
                ..Listeners::default()
            },
            false => Listeners::inherited()?,
        };
        let own = Listeners::bind(&self.listen, &self.tls_listen)?;
        listeners.plain.extend(own.plain);
        listeners.tls.extend(own.tls);
        listeners.bind_quic(&self.quic_listen)?;
        if listeners.is_empty() {
            bail!("nothing to listen on: name an address with --listen");
        }
        Ok(listeners)
    }
}
