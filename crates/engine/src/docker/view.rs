//! The engine's answers in our words. Nearly every field may be missing there: what is missing is "not known" here.

use std::net::IpAddr;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerStatsResponse,
    ContainerSummary,
};
use jiff::Timestamp;

use crate::container::{Container, ContainerId, Exit, Stats, Status};

/// `None` when the answer lacks an id.
pub(super) fn container(answer: ContainerInspectResponse) -> Option<Container> {
    let state = answer.state.unwrap_or_default();
    let status = status(&state);
    let running = matches!(status, Status::Running | Status::Paused);
    let config = answer.config.unwrap_or_default();
    Some(Container {
        id: ContainerId(answer.id?),
        name: answer
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        image: config.image.or(answer.image).unwrap_or_default(),
        status,
        ip: answer
            .network_settings
            .and_then(|settings| settings.networks)
            .filter(|_| running)
            .and_then(|networks| {
                networks
                    .into_values()
                    .filter_map(|network| network.ip_address)
                    .find_map(|address| address.parse::<IpAddr>().ok())
            }),
        pid: state
            .pid
            .filter(|pid| running && *pid > 0)
            .and_then(|pid| u32::try_from(pid).ok()),
        started_at: time(state.started_at.as_deref()),
        finished_at: time(state.finished_at.as_deref()),
        exit: (status == Status::Exited).then(|| exit(&state)),
    })
}

/// What a list tells of a container. `None` when it lacks an id.
pub(super) fn listed(summary: ContainerSummary) -> Option<Container> {
    Some(Container {
        id: ContainerId(summary.id?),
        name: summary
            .names
            .and_then(|names| names.into_iter().next())
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        image: summary.image.unwrap_or_default(),
        status: Status::Unknown,
        ip: None,
        pid: None,
        started_at: None,
        finished_at: None,
        exit: None,
    })
}

pub(super) fn stats(answer: ContainerStatsResponse) -> Stats {
    let memory = answer.memory_stats.unwrap_or_default();
    let parts = memory.stats.unwrap_or_default();
    // File pages that nobody needs at once are not the app's use; cgroup v1 and v2 name them differently.
    let reclaimable = parts
        .get("total_inactive_file")
        .or_else(|| parts.get("inactive_file"))
        .copied()
        .unwrap_or(0);
    Stats {
        memory_bytes: memory.usage.unwrap_or(0).saturating_sub(reclaimable),
        cpu_nanos: answer
            .cpu_stats
            .and_then(|cpu| cpu.cpu_usage)
            .and_then(|usage| usage.total_usage)
            .unwrap_or(0),
        pids: answer.pids_stats.and_then(|pids| pids.current).unwrap_or(0),
    }
}

fn status(state: &ContainerState) -> Status {
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => Status::Created,
        Some(ContainerStateStatusEnum::RUNNING) => Status::Running,
        Some(ContainerStateStatusEnum::PAUSED) => Status::Paused,
        Some(ContainerStateStatusEnum::EXITED) => Status::Exited,
        _ => Status::Other,
    }
}

fn exit(state: &ContainerState) -> Exit {
    Exit {
        code: state.exit_code.unwrap_or(0),
        out_of_memory: state.oom_killed.unwrap_or(false),
    }
}

/// The year 1 is how the engine writes "never".
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?
        .parse()
        .ok()
        .filter(|time: &Timestamp| time.as_second() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_time_is_no_time() {
        assert_eq!(time(Some("0001-01-01T00:00:00Z")), None);
        assert_eq!(time(None), None);
        let at = time(Some("2026-05-04T03:02:01.000000009Z")).expect("a time");
        assert_eq!(at.subsec_nanosecond(), 9);
    }
}
