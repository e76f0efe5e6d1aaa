//! `ropewalk router`: the data plane as a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use ropewalk_router::{Config, Counters, Limits, Listeners, Source, TlsFiles, fixed_table};

use super::DataArg;
use super::data::{Data, ROUTER_CERTIFICATES, write_pid};

/// Folder of the local authority in the data directory.
const LOCAL_TLS: &str = "tls";

#[derive(Debug, Args)]
pub(crate) struct RouterCommand {
    #[command(flatten)]
    data: DataArg,
    /// Listen for HTTP here (sockets held by systemd are used when there are any)
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Listen for TLS here
    #[arg(long, value_name = "ADDR", requires = "cert")]
    tls_listen: Vec<SocketAddr>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Names below localhost speak TLS too, on every socket, with certificates of an authority of this machine's own
    #[arg(long)]
    local_tls: bool,
    /// Only this fixed table, whatever the host: no server needed
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    upstreams: Vec<SocketAddr>,
    /// The listening socket is standard input
    #[arg(long, hide = true)]
    listen_stdin: bool,
}

impl RouterCommand {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        ropewalk_telemetry::init(ropewalk_telemetry::Format::Human)?;
        let listeners = self.listeners()?;
        let source = if self.upstreams.is_empty() {
            let data = Data::open(&self.data.data)?;
            write_pid(&data.socket("router.pid"), std::process::id())?;
            Source::Link {
                socket: data.socket("router.sock"),
                table_file: data.path("router/table.json"),
                certificates_file: data.path(ROUTER_CERTIFICATES),
            }
        } else {
            Source::Fixed {
                table: fixed_table(&self.upstreams),
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
            limits: Limits::default(),
            counters: Arc::new(Counters::default()),
        };
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tokio::spawn(super::server::feed_watchdog());
        ropewalk_router::run(config, listeners, super::asked_to_end()).await?;
        Ok(ExitCode::SUCCESS)
    }

    fn listeners(&self) -> Result<Listeners> {
        if self.listen_stdin {
            let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
            return Ok(Listeners {
                plain: vec![TcpListener::from(socket)],
                tls: Vec::new(),
            });
        }
        let mut listeners = Listeners::inherited()?;
        let own = Listeners::bind(&self.listen, &self.tls_listen)?;
        listeners.plain.extend(own.plain);
        listeners.tls.extend(own.tls);
        if listeners.is_empty() {
            bail!("nothing to listen on: name an address with --listen");
        }
        Ok(listeners)
    }
}
