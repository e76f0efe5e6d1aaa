//! A [`ContainerSpec`] in the engine's words, with what every container of ours gets whether asked for or not.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, MountBindOptions,
    MountBindOptionsPropagationEnum, MountType, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use ropewalk_model::InstanceId;

use super::host::Host;
use crate::container::{ContainerSpec, LABEL_INSTANCE, Limits, Mount, Tmpfs};

const MIB: u64 = 1024 * 1024;

/// What stopping sends first, whatever the image says.
const STOP_SIGNAL: &str = "SIGTERM";

pub(super) fn request(
    spec: &ContainerSpec,
    instance: &InstanceId,
    host: Host,
) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.insert(LABEL_INSTANCE.to_owned(), instance.to_string());
    ContainerCreateBody {
        hostname: text(&spec.hostname),
        user: text(&spec.user),
        working_dir: text(&spec.working_dir),
        attach_stdin: Some(spec.open_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(spec.tty),
        open_stdin: Some(spec.open_stdin),
        // The process sees the end of its input when whoever attached closes his side or goes away.
        stdin_once: Some(spec.open_stdin),
        env: Some(spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
        entrypoint: (!spec.command.is_empty()).then(|| spec.command.clone()),
        image: Some(spec.image.clone()),
        labels: Some(labels),
        stop_signal: Some(STOP_SIGNAL.to_owned()),
        host_config: Some(host_config(spec, host)),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec, host: Host) -> HostConfig {
    let limits = &spec.limits;
    let memory = whole(limits.memory);
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        init: Some(true),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(log_config()),
        network_mode: Some(spec.network.clone().unwrap_or_else(|| "none".to_owned())),
        mounts: Some(spec.mounts.iter().map(bind).collect()),
        tmpfs: Some(spec.tmpfs.iter().map(tmpfs).collect()),
        memory,
        // The same number means that no swap is added.
        memory_swap: memory,
        cpu_shares: whole(limits.cpu_shares),
        nano_cpus: nano_cpus(limits.cpu_millis, host.cpus),
        pids_limit: whole(limits.pids),
        blkio_weight: (limits.io_weight > 0 && host.io_weight).then_some(limits.io_weight),
        shm_size: whole(limits.shm_mib.saturating_mul(MIB)),
        ulimits: Some(ulimits(limits)),
        ..Default::default()
    }
}

/// Output is kept in two files of at most 5 MB; docs/decisions/0003-docker-log-driver.md says why.
fn log_config() -> HostConfigLogConfig {
    let config = [("max-size", "5m"), ("max-file", "2"), ("compress", "false")];
    HostConfigLogConfig {
        typ: Some("local".to_owned()),
        config: Some(
            config
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
    }
}

fn bind(mount: &Mount) -> bollard::models::Mount {
    bollard::models::Mount {
        target: Some(mount.target.clone()),
        source: Some(mount.source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(mount.read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn tmpfs(tmpfs: &Tmpfs) -> (String, String) {
    let exec = if tmpfs.exec { "exec" } else { "noexec" };
    let options = format!("rw,nosuid,nodev,{exec},size={}m,mode=1777", tmpfs.size_mib);
    (tmpfs.target.clone(), options)
}

fn ulimits(limits: &Limits) -> Vec<ResourcesUlimits> {
    let mut ulimits = vec![ulimit("core", 0)];
    if limits.open_files > 0 {
        ulimits.push(ulimit("nofile", limits.open_files.into()));
    }
    ulimits
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    }
}

/// Docker Engine refuses more cores than there are; such a limit limits nothing and is left out.
fn nano_cpus(millis: u32, cpus: u32) -> Option<i64> {
    (millis > 0 && millis < cpus.saturating_mul(1000)).then(|| i64::from(millis) * 1_000_000)
}

/// 0 is "not asked for".
fn whole(number: impl Into<u64>) -> Option<i64> {
    let number: u64 = number.into();
    (number > 0).then(|| i64::try_from(number).unwrap_or(i64::MAX))
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        cpus: 2,
        io_weight: false,
    };

    fn instance() -> InstanceId {
        InstanceId::parse("0123abcd").expect("valid")
    }

    #[test]
    fn every_container_is_locked_down_and_labelled() {
        let body = request(&ContainerSpec::default(), &instance(), HOST);
        let host = body.host_config.expect("host config");
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(
            host.security_opt,
            Some(vec!["no-new-privileges".to_owned()])
        );
        assert_eq!(host.init, Some(true));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.memory, None);
        assert_eq!(host.pids_limit, None);
        assert_eq!(
            body.labels.expect("labels").get(LABEL_INSTANCE).cloned(),
            Some("0123abcd".to_owned())
        );
    }

    #[test]
    fn limits_are_set_unless_they_cannot_hold() {
        let spec = ContainerSpec {
            limits: Limits {
                memory: 512 * MIB,
                cpu_millis: 4000,
                io_weight: 100,
                open_files: 10_000,
                ..Default::default()
            },
            tmpfs: vec![Tmpfs {
                target: "/tmp".to_owned(),
                size_mib: 64,
                exec: false,
            }],
            ..Default::default()
        };
        let host = host_config(&spec, HOST);
        assert_eq!(host.memory, Some(512 * 1024 * 1024));
        assert_eq!(host.memory_swap, host.memory);
        assert_eq!(host.nano_cpus, None, "more cores than the host has");
        assert_eq!(host.blkio_weight, None, "the kernel has no IO weight");
        assert_eq!(
            host.tmpfs.expect("tmpfs")["/tmp"],
            "rw,nosuid,nodev,noexec,size=64m,mode=1777"
        );
        assert_eq!(host.ulimits.expect("ulimits").len(), 2);
    }

    #[test]
    fn half_a_core_is_half_a_billion() {
        assert_eq!(nano_cpus(500, 2), Some(500_000_000));
        assert_eq!(nano_cpus(0, 2), None);
    }
}
