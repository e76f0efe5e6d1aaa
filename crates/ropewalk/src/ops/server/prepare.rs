//! What must be in place before dynos and builds can run: networks, packet filter, stack images.
//!
//! An engine that is away only delays this: the API answers, and the router serves what runs.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use ropewalk_engine::{Engine, NetworkSpec, firewall::Firewall};
use ropewalk_store::Store;
use ropewalk_telemetry::Tasks;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::ops::data::Data;
use crate::ops::stacks;

/// Between two looks whether everything is still in place.
const PERIOD: Duration = Duration::from_secs(60);
/// Between two looks whether a stack was built.
const LOOK: Duration = Duration::from_secs(1);
/// After a failure.
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn start(data: &Data, parts: &Parts, tasks: &Tasks, prepared: watch::Sender<bool>) {
    let (data, store, engine) = (data.clone(), parts.store.clone(), parts.engine.clone());
    let folder = data.path("stacks");
    tasks.supervise("host", move |token| {
        let (data, store, engine) = (data.clone(), store.clone(), engine.clone());
        let look = move || {
            let (data, store, engine) = (data.clone(), store.clone(), engine.clone());
            async move { prepare(&data, &store, engine.as_ref()).await }
        };
        let stacks = folder.clone();
        keep(token, prepared.clone(), stacks, look)
    });
}

/// Prepares now and then, and when something changed in the folder of `stacks`, and says whether all is in place. Ends as soon as it is told to: an engine that takes in
/// a stack for half a minute does not hold the server up.
async fn keep<F: Future<Output = Result<()>>>(
    token: CancellationToken,
    prepared: watch::Sender<bool>,
    stacks: PathBuf,
    prepare: impl Fn() -> F,
) -> Result<(), Infallible> {
    let look = async {
        let mut said = String::new();
        loop {
            let seen = changed_at(&stacks);
            let wait = match prepare().await {
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
                    prepared.send_replace(false);
                    RETRY
                }
            };
            rest(wait, || changed_at(&stacks) != seen).await;
        }
    };
    token.run_until_cancelled(look).await;
    Ok(())
}

/// When a file was put into the folder, or taken out of it, the last time.
fn changed_at(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder)
        .and_then(|facts| facts.modified())
        .ok()
}

/// Waits for `long`, or until `is_over`.
async fn rest(long: Duration, is_over: impl Fn() -> bool) {
    let until = Instant::now() + long;
    while !is_over() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
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
    stacks::load(data, store, engine).await?;
    // What cannot be taken in leaves what there is as good as it was.
    if let Err(error) = stacks::admit(data, store, engine).await {
        tracing::warn!(
            error = format!("{error:#}"),
            "A stack that was built cannot be taken in."
        );
    }
    Ok(())
}

/// Where the host's name servers stand, and where they do if the first names only a server on the host itself that
/// passes questions on (systemd-resolved). Docker Engine looks in the same places.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The host's name servers: containers ask them through the engine.
fn resolvers() -> Vec<IpAddr> {
    resolvers_in(|path| std::fs::read_to_string(path).unwrap_or_default())
}

/// Those of the first file that names any outside the host itself.
fn resolvers_in(read: impl Fn(&str) -> String) -> Vec<IpAddr> {
    RESOLVERS
        .iter()
        .map(|path| name_servers(&read(path)))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn name_servers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next().filter(|word| *word == "nameserver");
            address.and(words.next())?.parse().ok()
        })
        .filter(|address: &IpAddr| !address.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_long_does_not_hold_up_the_end() {
        let (token, prepared) = (CancellationToken::new(), watch::Sender::new(false));
        let begun = tokio::sync::Notify::new();
        let keep = keep(token.clone(), prepared.clone(), PathBuf::new(), || {
            begun.notify_one();
            std::future::pending()
        });
        let stop = async {
            begun.notified().await;
            token.cancel();
        };
        let both = async { tokio::join!(keep, stop) };
        let ended = tokio::time::timeout(Duration::from_secs(10), both).await;
        assert!(ended.is_ok());
        assert!(!*prepared.borrow());
    }

    #[tokio::test]
    async fn a_stack_that_was_built_is_looked_at_within_seconds() {
        let folder = tempfile::tempdir().unwrap();
        // Clocks of file systems are coarse: what is made at once may bear the same time.
        let made = std::fs::File::open(folder.path()).unwrap();
        made.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let (token, prepared) = (CancellationToken::new(), watch::Sender::new(false));
        let looks = watch::Sender::new(0);
        let keep = keep(token.clone(), prepared, folder.path().to_owned(), || {
            looks.send_modify(|count| *count += 1);
            std::future::ready(Ok(()))
        });
        let build = async {
            let mut seen = looks.subscribe();
            seen.wait_for(|count| *count == 1).await.unwrap();
            std::fs::write(folder.path().join("debian-13.json"), "{}").unwrap();
            seen.wait_for(|count| *count == 2).await.unwrap();
            token.cancel();
        };
        let both = async { tokio::join!(keep, build) };
        assert!(tokio::time::timeout(PERIOD / 2, both).await.is_ok());
    }

    #[test]
    fn behind_a_server_on_the_host_itself_are_those_it_asks() {
        let found = |etc: &str, run: &str| {
            let found = resolvers_in(|path| match path {
                "/etc/resolv.conf" => etc.to_owned(),
                _ => run.to_owned(),
            });
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let stub = "# made by a program\nnameserver 127.0.0.53\noptions edns0 trust-ad\n";
        let behind =
            "nameserver 169.254.169.254\nnameserver\tfd00::53 # second\nsearch example.com\n";
        assert_eq!(found(stub, behind), ["169.254.169.254", "fd00::53"]);
        assert_eq!(found("nameserver 10.0.0.2\n", behind), ["10.0.0.2"]);
        assert_eq!(found("nameserver ::1\nnameservers 10.0.0.3\n", ""), [""; 0]);
    }
}
