//! What is asked of the engine as a whole: its facts, its networks, its events.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bollard::models::{
    EventMessage, Ipam, IpamConfig, LocalNodeState, NetworkCreateRequest, SystemInfo,
    SystemInfoCgroupVersionEnum,
};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectNetworkOptions, ListNetworksOptionsBuilder,
};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::DockerEngine;
use super::failure::Call;
use crate::container::{ContainerId, EngineInfo, Event, EventKind, LABEL_INSTANCE, NetworkSpec};
use crate::{BoxStream, EngineError, Result};

/// Longest name of a network device on Linux, in bytes.
const MAX_DEVICE_NAME: usize = 15;

/// Events that may wait for a slow reader. One that falls further behind loses the stream and lists afresh.
const MAX_WAITING_EVENTS: usize = 4096;

/// Facts that decide how a container can be asked for; they hold until the host is rebooted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    pub(super) cpus: u32,
    pub(super) io_weight: bool,
}

impl DockerEngine {
    pub(super) async fn read_info(&self) -> Result<EngineInfo> {
        let call = Call::new("ask", "engine", "info", 5);
        let docker = self.client()?;
        let (info, version) = call
            .answer(async { futures_util::try_join!(docker.info(), docker.version()) })
            .await?;
        let swarm = is_swarm_node(&info);
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            cpus: cpus(&info),
            memory_bytes: info.mem_total.and_then(|n| n.try_into().ok()).unwrap_or(0),
            cgroup_version: match info.cgroup_version {
                Some(SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 1,
            },
            storage_driver: info.driver.unwrap_or_default(),
            live_restore: info.live_restore_enabled.unwrap_or(false),
            swarm,
            data_root: PathBuf::from(info.docker_root_dir.unwrap_or_default()),
            architecture: info.architecture.unwrap_or_default(),
        })
    }

    pub(super) async fn host(&self) -> Result<Host> {
        self.host
            .get_or_try_init(|| async {
                let call = Call::new("ask", "engine", "info", 5);
                let info = call.answer(self.client()?.info()).await?;
                Ok(Host {
                    cpus: cpus(&info),
                    io_weight: has_io_weight(info.warnings.as_deref().unwrap_or_default()),
                })
            })
            .await
            .copied()
    }

    pub(super) async fn make_network(&self, network: &NetworkSpec) -> Result<()> {
        let call = Call::new("create", "network", &network.name, 30);
        if network.name.is_empty() || network.name.len() > MAX_DEVICE_NAME {
            return Err(call.refused(format!("a bridge's name has 1 to {MAX_DEVICE_NAME} bytes")));
        }
        call.checked()?;
        let _one_at_a_time = self.making_network.lock().await;
        match self.owner_of_network(&network.name).await {
            Ok(Some(owner)) if owner == self.scope.instance.as_str() => return Ok(()),
            Ok(_) => {
                return Err(EngineError::Conflict {
                    name: network.name.clone(),
                });
            }
            Err(EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let request = NetworkCreateRequest {
            name: network.name.clone(),
            driver: Some("bridge".to_owned()),
            ipam: network.subnet.as_ref().map(|subnet| Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some(subnet.clone()),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            options: Some(HashMap::from([
                (
                    "com.docker.network.bridge.name".to_owned(),
                    network.name.clone(),
                ),
                (
                    "com.docker.network.bridge.enable_icc".to_owned(),
                    "false".to_owned(),
                ),
            ])),
            labels: Some(HashMap::from([(
                LABEL_INSTANCE.to_owned(),
                self.scope.instance.to_string(),
            )])),
            ..Default::default()
        };
        call.answer(self.client()?.create_network(request))
            .await
            .map(|_| ())
    }

    pub(super) async fn list_networks(&self) -> Result<Vec<String>> {
        let call = Call::new("list", "networks", "", 30);
        let options = ListNetworksOptionsBuilder::default()
            .filters(&HashMap::from([("label", vec![self.label_filter()])]))
            .build();
        let networks = call
            .answer(self.client()?.list_networks(Some(options)))
            .await?;
        Ok(networks.into_iter().filter_map(|n| n.name).collect())
    }

    pub(super) async fn delete_network(&self, name: &str) -> Result<()> {
        let call = Call::new("remove", "network", name, 30);
        match self.owner_of_network(name).await {
            Ok(Some(owner)) if owner == self.scope.instance.as_str() => {}
            Ok(_) => return Err(call.refused("it belongs to somebody else")),
            Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        match call.answer(self.client()?.remove_network(name)).await {
            Err(EngineError::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// Whose label a network carries.
    async fn owner_of_network(&self, name: &str) -> Result<Option<String>> {
        let call = Call::new("inspect", "network", name, 10);
        call.checked()?;
        let network = call
            .answer(
                self.client()?
                    .inspect_network(name, None::<InspectNetworkOptions>),
            )
            .await?;
        Ok(network
            .labels
            .and_then(|mut labels| labels.remove(LABEL_INSTANCE)))
    }

    /// The stream is read by a task of its own, for Docker Engine drops readers that are slow; `since` closes the gap
    /// between this call and the moment the engine notices it.
    pub(super) async fn subscribe(&self) -> Result<BoxStream<Result<Event>>> {
        let call = Call::new("read", "events", "", 5);
        let docker = self.client()?.clone();
        let since = jiff::Timestamp::now();
        call.answer(docker.ping()).await?;
        let options = EventsOptionsBuilder::default()
            .since(&format!(
                "{}.{:09}",
                since.as_second(),
                since.subsec_nanosecond()
            ))
            .filters(&HashMap::from([
                ("type", vec!["container".to_owned()]),
                ("label", vec![self.label_filter()]),
                (
                    "event",
                    ["start", "die", "oom", "destroy"]
                        .map(str::to_owned)
                        .to_vec(),
                ),
            ]))
            .build();
        let (sender, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let reader = tokio::spawn(async move {
            let mut events = std::pin::pin!(docker.events(Some(options)));
            while let Some(event) = events.next().await {
                let event = match event {
                    Ok(message) => match event_of(message) {
                        Some(event) => Ok(event),
                        None => continue,
                    },
                    Err(error) => Err(Call::new("read", "events", "", 5).failed(error)),
                };
                if sender.try_send(event).is_err() {
                    break;
                }
            }
        });
        Ok(Box::pin(Events { receiver, reader }))
    }
}

/// Events as they come; dropping it ends the task that reads them.
struct Events {
    receiver: mpsc::Receiver<Result<Event>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Stream for Events {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn event_of(message: EventMessage) -> Option<Event> {
    let container = ContainerId(message.actor?.id?);
    let kind = match message.action?.as_str() {
        "start" => EventKind::Started,
        "die" => EventKind::Ended,
        "oom" => EventKind::OutOfMemory,
        _ => EventKind::Other,
    };
    Some(Event { container, kind })
}

/// One that cannot reach the others (`error`, `pending`) or waits for its key (`locked`) is a node too.
fn is_swarm_node(info: &SystemInfo) -> bool {
    let state = info.swarm.as_ref().and_then(|swarm| swarm.local_node_state);
    !matches!(
        state,
        None | Some(LocalNodeState::EMPTY | LocalNodeState::INACTIVE)
    )
}

fn cpus(info: &SystemInfo) -> u32 {
    info.ncpu.and_then(|n| n.try_into().ok()).unwrap_or(1)
}

/// Docker Engine tells only by a warning that the kernel has no block IO weights.
fn has_io_weight(warnings: &[String]) -> bool {
    !warnings
        .iter()
        .any(|warning| warning.contains("No blkio weight support"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_weight_is_there_unless_the_engine_warns() {
        assert!(has_io_weight(
            &["WARNING: No swap limit support".to_owned()]
        ));
        assert!(!has_io_weight(&[
            "WARNING: No blkio weight support".to_owned()
        ]));
    }
}
