//! What must be in place before dynos and builds can run: networks, packet filter, stack images.
//!
//! An engine that is away only delays this: the API answers, and the router serves what runs.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use ropewalk_engine::{Engine, NetworkSpec, firewall::Firewall};
use ropewalk_store::Store;
use ropewalk_telemetry::Tasks;
use tokio::sync::watch;

use super::Parts;
use crate::ops::data::Data;
use crate::ops::stacks;

/// Between two looks whether everything is still in place.
const PERIOD: Duration = Duration::from_secs(60);
/// After a failure.
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn start(data: &Data, parts: &Parts, tasks: &Tasks, prepared: watch::Sender<bool>) {
    let (data, store, engine) = (data.clone(), parts.store.clone(), parts.engine.clone());
    tasks.supervise("host", move |token| {
        let (data, store, engine, prepared) = (
            data.clone(),
            store.clone(),
            engine.clone(),
            prepared.clone(),
        );
        async move {
            let mut said = String::new();
            loop {
                let wait = match prepare(&data, &store, engine.as_ref()).await {
                    Ok(()) => {
                        said.clear();
                        prepared.send_replace(true);
                        PERIOD
                    }
                    Err(error) => {
                        let text = format!("{error:#}");
                        if text != said {
                            tracing::warn!(error = text, "The host is not ready for dynos.");
                            said = text;
                        }
                        RETRY
                    }
                };
                tokio::select! {
                    () = token.cancelled() => return Ok::<(), Infallible>(()),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    });
}

async fn prepare(data: &Data, store: &Store, engine: &dyn Engine) -> Result<()> {
    let bridges = [data.dyno_network(), data.build_network()];
    // The filter comes before the bridges, so that there is no moment without it.
    let firewall = Firewall {
        instance: data.instance.clone(),
    };
    firewall.apply(&bridges, &resolvers(), &[]).await?;
    for name in bridges {
        engine
            .ensure_network(&NetworkSpec { name, subnet: None })
            .await?;
    }
    stacks::load(data, store, engine).await
}

/// The host's name servers: containers ask them through the engine.
fn resolvers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse().ok())
        .filter(|address: &IpAddr| !address.is_loopback())
        .collect()
}
