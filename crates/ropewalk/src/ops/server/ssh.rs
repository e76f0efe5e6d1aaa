//! Git over SSH: the one port that the server listens on itself. The router is for HTTP, and a push ends with the
//! server anyway; while the server restarts, connections are refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use ropewalk_api::Ssh;
use ropewalk_builder::{Builder, HostKey};
use ropewalk_telemetry::Tasks;
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ops::data::Data;

/// The host's key, in the data directory.
const KEY: &str = "ssh_host_ed25519_key";
/// Between tries to listen where something else does.
const RETRY: Duration = Duration::from_secs(5);

/// Where clients come in, and the key they see.
#[derive(Clone)]
pub(super) struct Door {
    address: SocketAddr,
    key: HostKey,
}

impl Door {
    /// `None` where no address was given.
    pub(super) fn open(data: &Data, address: Option<SocketAddr>) -> Result<Option<Self>> {
        let Some(address) = address else {
            return Ok(None);
        };
        if address.port() == 0 {
            bail!("--ssh needs a port that clients can be told, for example 0.0.0.0:2222");
        }
        let key = HostKey::open(&data.path(KEY))?;
        Ok(Some(Self { address, key }))
    }

    /// For those who ask the API.
    pub(super) fn shown(&self) -> Ssh {
        Ssh {
            port: self.address.port(),
            host_key: self.key.public(),
        }
    }

    /// Listens as soon as pushes can be taken. A port that is somebody else's keeps the platform from nothing: it is
    /// tried again.
    pub(super) fn start(self, tasks: &Tasks, builder: &Builder, mut ready: watch::Receiver<bool>) {
        let (builder, shutdown) = (builder.clone(), tasks.shutdown());
        tasks.spawn("git over SSH", async move {
            let serving = async {
                if ready.wait_for(|ready| *ready).await.is_err() {
                    return;
                }
                let listener = self.listen().await;
                tracing::info!(address = %self.address, "Git speaks SSH.");
                builder.serve_ssh(listener, &self.key).await;
            };
            until(&shutdown, serving).await;
        });
    }

    async fn listen(&self) -> TcpListener {
        loop {
            match bind(self.address).await {
                Ok(listener) => return listener,
                Err(error) => {
                    tracing::error!(address = %self.address, %error, "Git over SSH cannot be listened for; it is tried again.");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

async fn until(shutdown: &CancellationToken, serving: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = serving => {}
    }
}

/// `[::]` takes IPv4 too; where the host has no IPv6, it means `0.0.0.0`.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let any = address.is_ipv6() && address.ip().is_unspecified();
    match TcpListener::bind(address).await {
        Err(error) if any && error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}
