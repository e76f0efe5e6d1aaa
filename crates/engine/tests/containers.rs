//! The verbs of a container's life on a real Docker Engine.

#![allow(clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use ropewalk_engine::{
    Cgroup, ContainerId, Engine, EngineError, EventKind, ExecSpec, Limits, Mount, NetworkSpec,
    Status, Tmpfs,
};
use support::{PATIENCE, collect, docker, read_until, until};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_container_lives_and_tells_how_it_ended() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("web", "echo out; echo err >&2; exit 7");
    spec.labels.insert("ropewalk.dyno".into(), "web.1".into());

    let before = Instant::now();
    let id = rig.engine.create(&spec).await.expect("created");
    let created = before.elapsed();
    assert!(matches!(
        rig.engine.create(&spec).await,
        Err(EngineError::Conflict { .. })
    ));
    let seen = rig.engine.inspect(&id).await.expect("seen").expect("there");
    assert_eq!(seen.status, Status::Created);
    assert_eq!((seen.pid, seen.started_at, seen.exit), (None, None, None));
    assert!(matches!(
        rig.engine.wait(&id).await,
        Err(EngineError::Refused { .. })
    ));

    let before = Instant::now();
    rig.engine.start(&id).await.expect("started");
    eprintln!("create {created:?}, start {:?}", before.elapsed());
    let exit = rig.engine.wait(&id).await.expect("ended");
    assert_eq!((exit.code, exit.out_of_memory), (7, false));
    assert_eq!(rig.engine.wait(&id).await.expect("known").code, 7);

    let listed = rig.engine.list().await.expect("list");
    let [container] = &listed[..] else {
        panic!("one container, not {listed:?}");
    };
    assert_eq!(container.id, id);
    assert_eq!(container.name, spec.name);
    assert_eq!(container.status, Status::Exited);
    assert_eq!(container.exit, Some(exit));
    assert_eq!(container.labels["ropewalk.dyno"], "web.1");
    assert_eq!(
        container.labels["ropewalk.instance"],
        rig.instance.to_string()
    );
    // Not compared: the engine may note the start of a short life after its end.
    assert!(container.started_at.is_some() && container.finished_at.is_some());

    let logs = rig.engine.logs(&id, None, false).await.expect("logs");
    assert_eq!(collect(logs).await, ("out\n".into(), "err\n".into()));

    rig.engine.signal(&id, "TERM").await.expect("ended already");
    rig.engine.remove(&id).await.expect("removed");
    rig.engine.remove(&id).await.expect("removed already");
    assert_eq!(rig.engine.inspect(&id).await.expect("seen"), None);
    assert!(matches!(
        rig.engine.start(&id).await,
        Err(EngineError::NotFound { .. })
    ));
}

#[tokio::test]
async fn starting_what_runs_is_success_and_changes_nothing() {
    let rig = rig_or_skip!();
    let id = rig.run(&rig.spec("twice", "sleep 1000")).await;
    let before = rig.engine.inspect(&id).await.expect("seen");
    rig.engine.start(&id).await.expect("runs already");
    assert_eq!(rig.engine.inspect(&id).await.expect("seen"), before);
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_a_reason() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("none", "true");
    spec.image = format!("sha256:{}", "0".repeat(64));
    match rig.engine.create(&spec).await {
        Err(EngineError::NotFound { kind, name }) => {
            assert_eq!((kind, name), ("image", spec.image.clone()));
        }
        other => panic!("{other:?}"),
    }

    // The init process is started and finds nothing to run, as a shell would.
    let mut spec = rig.spec("program", "");
    spec.command = vec!["/bin/there-is-no-such".into()];
    let id = rig.run(&spec).await;
    assert_eq!(rig.engine.wait(&id).await.expect("ended").code, 127);
    let logs = rig.engine.logs(&id, None, false).await.expect("logs");
    let (_, stderr) = collect(logs).await;
    assert!(stderr.contains("/bin/there-is-no-such"), "{stderr}");

    let mut spec = rig.spec("network", "true");
    spec.network = Some("rw-there-is-none".into());
    let refused = match rig.engine.create(&spec).await {
        Ok(id) => rig.engine.start(&id).await,
        Err(error) => Err(error),
    };
    assert!(
        matches!(&refused, Err(EngineError::Refused { message, .. }) if message.contains("rw-there-is-none")),
        "{refused:?}"
    );
    for odd in ["../../info", "", "a/b", "a?force=1"] {
        assert!(matches!(
            rig.engine.start(&ContainerId(odd.into())).await,
            Err(EngineError::NotFound { .. })
        ));
    }
}

#[tokio::test]
async fn stopping_tells_whether_the_kill_was_needed() {
    let rig = rig_or_skip!();
    let polite = rig.spec(
        "polite",
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done",
    );
    let deaf = rig.spec(
        "deaf",
        "trap '' TERM; echo ready; while :; do sleep 0.1; done",
    );
    // 137 of one's own is no kill.
    let odd = rig.spec(
        "odd",
        "trap 'exit 137' TERM; echo ready; while :; do sleep 0.1; done",
    );
    for (spec, grace, killed, code) in [
        (polite, 30_000, false, 3),
        (deaf, 300, true, 137),
        (odd, 30_000, false, 137),
    ] {
        let id = rig.run(&spec).await;
        let mut logs = rig.engine.logs(&id, None, true).await.expect("logs");
        read_until(&mut logs, "ready").await;
        let before = Instant::now();
        let stopped = rig
            .engine
            .stop(&id, Duration::from_millis(grace))
            .await
            .expect("stopped");
        eprintln!("stop {} {:?}", spec.name, before.elapsed());
        assert_eq!((stopped.killed, stopped.exit.code), (killed, code));
        assert_eq!(
            rig.engine.stop(&id, PATIENCE).await.expect("stopped"),
            ropewalk_engine::Stopped {
                killed: false,
                exit: stopped.exit
            }
        );
    }
}

#[tokio::test]
async fn every_process_is_told_to_end_and_told_once() {
    let rig = rig_or_skip!();
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: a container's processes are seen by root alone");
    }
    let child = r#"trap "echo $0 told; told=1" TERM; echo $0 ready; while [ -z "$told" ]; do sleep 0.1; done; sleep 1"#;
    let mut spec = rig.spec(
        "many",
        &format!(
            "trap 'told=$((told + 1)); echo first told $told' TERM; \
             setsid sh -c '{child}' away & setsid sh -c '{child}' apart & sh -c '{child}' near & \
             wait; wait; wait; exit 4"
        ),
    );
    spec.env = vec![("TINI_KILL_PROCESS_GROUP".into(), "1".into())];
    let id = rig.run(&spec).await;
    let mut logs = rig.engine.logs(&id, None, true).await.expect("logs");
    let mut ready = 0;
    while ready < 3 {
        let seen = read_until(&mut logs, "ready").await;
        ready += seen.matches("ready").count();
    }
    let stopped = rig.engine.stop(&id, PATIENCE).await.expect("stopped");
    assert_eq!((stopped.killed, stopped.exit.code), (false, 4));
    let logs = rig.engine.logs(&id, None, false).await.expect("logs");
    let (stdout, _) = collect(logs).await;
    for line in ["away told", "apart told", "near told", "first told 1"] {
        assert_eq!(stdout.matches(line).count(), 1, "{line}: {stdout}");
    }
    assert!(!stdout.contains("first told 2"), "{stdout}");
}

#[tokio::test]
async fn a_frozen_container_does_nothing_until_it_is_thawed_or_asked_for_something() {
    let rig = rig_or_skip!();
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: cgroups are written by root alone");
    }
    let script = "trap 'exit 3' TERM; while :; do echo on; sleep 0.05; done";
    let id = rig.run(&rig.spec("frozen", script)).await;
    let mut logs = rig.engine.logs(&id, None, true).await.expect("logs");
    read_until(&mut logs, "on").await;
    let container = rig.engine.inspect(&id).await.expect("seen").expect("there");
    let cgroup = Cgroup::of(container.pid.expect("runs")).expect("cgroup");

    let before = Instant::now();
    rig.engine.freeze(&container).await.expect("frozen");
    let froze = before.elapsed();
    rig.engine.freeze(&container).await.expect("frozen already");
    rig.engine.reclaim(&container).await.expect("reclaimed");
    assert!(cgroup.is_frozen().expect("told"));
    let used = cgroup.cpu_time().expect("told");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(cgroup.cpu_time().expect("told"), used);
    let seen = rig.engine.inspect(&id).await.expect("seen").expect("there");
    assert_eq!(seen.status, Status::Running);

    let before = Instant::now();
    rig.engine.thaw(&container).await.expect("thawed");
    eprintln!("freeze {froze:?}, thaw {:?}", before.elapsed());
    rig.engine.thaw(&container).await.expect("thawed already");
    read_until(&mut logs, "on").await;

    rig.engine.freeze(&container).await.expect("frozen");
    let spec = ExecSpec {
        command: vec!["true".into()],
        ..ExecSpec::default()
    };
    rig.engine.exec(&id, &spec).await.expect("run inside");
    assert!(!cgroup.is_frozen().expect("told"));
    rig.engine.freeze(&container).await.expect("frozen");
    let stopped = rig.engine.stop(&id, PATIENCE).await.expect("stopped");
    assert_eq!((stopped.killed, stopped.exit.code), (false, 3));
    assert!(rig.engine.freeze(&container).await.is_err(), "it has ended");
    rig.engine.thaw(&container).await.expect("nothing to thaw");

    let id = rig.run(&rig.spec("cold", "sleep 1000")).await;
    let container = rig.engine.inspect(&id).await.expect("seen").expect("there");
    rig.engine.freeze(&container).await.expect("frozen");
    rig.engine.remove(&id).await.expect("removed");
    assert_eq!(rig.engine.inspect(&id).await.expect("seen"), None);
}

#[tokio::test]
async fn attached_input_and_output_lose_nothing() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("cat", "cat; echo end >&2");
    spec.open_stdin = true;
    let id = rig.engine.create(&spec).await.expect("created");
    let mut attached = rig.engine.attach(&id, false).await.expect("attached");
    rig.engine.start(&id).await.expect("started");
    let text: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    let sent = text.clone();
    let writing = tokio::spawn(async move {
        attached.input.write_all(sent.as_bytes()).await?;
        attached.input.shutdown().await
    });
    let (stdout, stderr) = collect(attached.output).await;
    writing.await.expect("task").expect("written");
    assert!(stdout == text, "{} of {} bytes", stdout.len(), text.len());
    assert_eq!(stderr, "end\n");
    assert_eq!(rig.engine.wait(&id).await.expect("ended").code, 0);
}

#[tokio::test]
async fn a_terminal_is_one() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("tty", "");
    spec.command = vec!["/bin/sh".into(), "-i".into()];
    spec.env = vec![("PS1".into(), "prompt> ".into())];
    spec.tty = true;
    spec.open_stdin = true;
    let id = rig.engine.create(&spec).await.expect("created");
    let mut attached = rig.engine.attach(&id, true).await.expect("attached");
    rig.engine.start(&id).await.expect("started");
    // A prompt has no newline after it.
    read_until(&mut attached.output, "prompt> ").await;
    rig.engine.resize(&id, 33, 99).await.expect("resized");
    attached
        .input
        .write_all(b"stty size\n")
        .await
        .expect("typed");
    read_until(&mut attached.output, "33 99").await;
    // Bytes 0 to 2 are output like any other, and ^P ^Q goes to the program.
    let line = b"stty raw; printf '\\001\\002|'; dd bs=1 count=2 2>/dev/null | od -c\n";
    attached.input.write_all(line).await.expect("typed");
    read_until(&mut attached.output, "\u{1}\u{2}|").await;
    attached
        .input
        .write_all(&[0x10, 0x11])
        .await
        .expect("typed");
    read_until(&mut attached.output, "020 021").await;
    attached.input.write_all(b"exit 7\n").await.expect("typed");
    assert_eq!(rig.engine.wait(&id).await.expect("ended").code, 7);
}

#[tokio::test]
async fn logs_are_whole_and_resume_where_they_were_left() {
    let rig = rig_or_skip!();
    let id = rig
        .run(&rig.spec(
            "chatty",
            "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done",
        ))
        .await;
    let mut logs = rig.engine.logs(&id, None, true).await.expect("logs");
    let mut outputs = Vec::new();
    while let Some(output) = logs.next().await {
        outputs.push(output.expect("output"));
    }
    let lines: Vec<_> = outputs
        .iter()
        .map(|o| String::from_utf8_lossy(&o.bytes).trim().to_owned())
        .collect();
    let expected: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
    assert!(lines == expected, "{} lines", lines.len());

    let middle = outputs[15_000].at.expect("a time");
    let since = (middle.as_second(), middle.subsec_nanosecond());
    let logs = rig
        .engine
        .logs(&id, Some(since), false)
        .await
        .expect("logs");
    let (rest, _) = collect(logs).await;
    let first = outputs.iter().position(|o| o.at >= Some(middle));
    let first = first.expect("there").to_string();
    assert_eq!(rest.lines().next(), Some(first.as_str()));
    assert_eq!(rest.lines().last(), Some("19999"));
}

#[tokio::test]
async fn a_log_is_followed_across_its_files() {
    let rig = rig_or_skip!();
    // More than one file of the log holds, slower than the reader.
    let line = "x".repeat(1000);
    let script = format!(
        "i=0; while [ $i -lt 8000 ]; do echo $i {line}; i=$((i+1)); \
         if [ $((i%500)) = 0 ]; then sleep 0.05; fi; done"
    );
    let id = rig.run(&rig.spec("big", &script)).await;
    let logs = rig.engine.logs(&id, None, true).await.expect("logs");
    let (stdout, _) = collect(logs).await;
    let numbers: Vec<_> = stdout
        .lines()
        .map(|l| l.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    let expected: Vec<_> = (0..8000).map(|n| n.to_string()).collect();
    let jumps: Vec<_> = numbers
        .windows(2)
        .filter(|w| w[0].parse::<i64>().ok().map(|n| n + 1) != w[1].parse::<i64>().ok())
        .collect();
    assert!(numbers == expected, "{} lines, {jumps:?}", numbers.len());
}

#[tokio::test]
async fn logs_of_a_silent_container_are_waited_for_and_end_with_it() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("silent", "read line; printf 'no newline'");
    spec.open_stdin = true;
    let id = rig.engine.create(&spec).await.expect("created");
    let mut attached = rig.engine.attach(&id, false).await.expect("attached");
    rig.engine.start(&id).await.expect("started");
    let mut logs = rig.engine.logs(&id, None, true).await.expect("logs");
    let nothing = tokio::time::timeout(Duration::from_millis(500), logs.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    attached.input.write_all(b"go\n").await.expect("written");
    assert_eq!(collect(logs).await, ("no newline".into(), String::new()));
}

#[tokio::test]
async fn a_terminals_log_has_times_too() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("ttylog", "echo one; echo two; printf three");
    spec.tty = true;
    let id = rig.run(&spec).await;
    rig.engine.wait(&id).await.expect("ended");
    let logs = rig.engine.logs(&id, None, false).await.expect("logs");
    let outputs: Vec<_> = logs.map(|o| o.expect("output")).collect().await;
    let lines: Vec<_> = outputs
        .iter()
        .map(|o| String::from_utf8_lossy(&o.bytes).trim().to_owned())
        .collect();
    assert_eq!(lines, ["one", "two", "three"]);
    assert!(outputs.iter().all(|o| o.at.is_some()));
}

#[tokio::test]
async fn exec_runs_beside_the_first_process() {
    let rig = rig_or_skip!();
    let id = rig.run(&rig.spec("host", "sleep 1000")).await;
    let spec = ExecSpec {
        command: ["/bin/sh", "-c", "id -u; echo $COLOUR; pwd; cat; exit 5"]
            .map(str::to_owned)
            .to_vec(),
        env: vec![("COLOUR".into(), "blue".into())],
        user: "20001:20001".into(),
        working_dir: "/tmp".into(),
        tty: false,
    };
    let mut exec = rig.engine.exec(&id, &spec).await.expect("exec");
    assert_eq!(rig.engine.exec_exit(&exec.id).await.expect("exit"), None);
    let input = &mut exec.attached.input;
    input.write_all(b"typed\n").await.expect("written");
    input.shutdown().await.expect("closed");
    let (stdout, _) = collect(exec.attached.output).await;
    assert_eq!(stdout, "20001\nblue\n/tmp\ntyped\n");
    until("the exec has ended", || async {
        rig.engine.exec_exit(&exec.id).await.expect("exit") == Some(5)
    })
    .await;

    let terminal = ExecSpec {
        command: ["/bin/sh", "-c", "read x; stty size"]
            .map(str::to_owned)
            .to_vec(),
        tty: true,
        ..spec
    };
    let mut exec = rig.engine.exec(&id, &terminal).await.expect("exec");
    rig.engine
        .resize_exec(&exec.id, 11, 22)
        .await
        .expect("resized");
    exec.attached.input.write_all(b"\n").await.expect("typed");
    read_until(&mut exec.attached.output, "11 22").await;
}

#[tokio::test]
async fn an_exec_is_signalled_with_all_that_it_started() {
    let rig = rig_or_skip!();
    let id = rig.run(&rig.spec("host", "sleep 1000")).await;
    for (tty, signal, code) in [
        (false, "HUP", 129),
        (true, "HUP", 129),
        (false, "KILL", 137),
    ] {
        let spec = ExecSpec {
            command: ["/bin/sh", "-c", "sleep 2000 & echo begun; wait; echo never"]
                .map(str::to_owned)
                .to_vec(),
            user: "20001:20001".into(),
            tty,
            ..ExecSpec::default()
        };
        let mut exec = rig.engine.exec(&id, &spec).await.expect("exec");
        read_until(&mut exec.attached.output, "begun").await;
        let refused = rig.engine.signal_exec(&exec.id, "NONE").await;
        assert!(matches!(refused, Err(EngineError::Refused { .. })));
        rig.engine
            .signal_exec(&exec.id, signal)
            .await
            .expect("sent");
        until("the exec has ended", || async {
            rig.engine.exec_exit(&exec.id).await.expect("exit") == Some(code)
        })
        .await;
        // One that has ended is success.
        rig.engine
            .signal_exec(&exec.id, signal)
            .await
            .expect("sent");
        until("what it started has ended", || async {
            rig.engine.stats(&id).await.expect("stats").pids <= 2
        })
        .await;
    }
    let seen = rig.engine.inspect(&id).await.expect("seen").expect("there");
    assert_eq!(seen.status, Status::Running);
}

#[tokio::test]
async fn a_container_is_locked_down_and_limited() {
    let rig = rig_or_skip!();
    let shared = rig.folder.path().join("shared");
    std::fs::create_dir(&shared).expect("folder");
    std::fs::write(shared.join("file"), "from the host").expect("file");
    let script = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
        ulimit -c; ulimit -n; id -u; id -g; hostname; cat /shared/file; echo; \
        (: > /shared/new) 2>&1; grep -E ' /(tmp|shared|dev/shm) ' /proc/mounts; \
        cat /proc/1/comm; ls /sys/class/net";
    let mut spec = rig.spec("locked", script);
    spec.hostname = "web-1".into();
    spec.mounts = vec![Mount {
        source: shared,
        target: "/shared".into(),
        read_only: true,
    }];
    spec.tmpfs = vec![Tmpfs {
        target: "/tmp".into(),
        size_mib: 8,
        exec: false,
    }];
    spec.limits = Limits {
        memory: 64 << 20,
        cpu_shares: 512,
        cpu_millis: 500,
        pids: 32,
        io_weight: 100,
        shm_mib: 4,
        open_files: 1000,
    };
    let output = rig.output_of(&spec).await;
    for expected in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "\n0\n1000\n20000\n20000\nweb-1\nfrom the host\n",
        "Read-only file system",
        " /shared ",
        "\nlo\n",
    ] {
        assert!(output.contains(expected), "{expected:?} in:\n{output}");
    }
    let tmp = output.lines().find(|line| line.contains(" /tmp "));
    let tmp = tmp.expect("/tmp");
    for option in ["nosuid", "nodev", "noexec", "size=8192k"] {
        assert!(tmp.contains(option), "{option} in {tmp}");
    }
    let shm = output.lines().find(|line| line.contains(" /dev/shm "));
    assert!(shm.expect("/dev/shm").contains("size=4096k"));
    assert!(!output.contains("eth0"), "no network was asked for");
}

#[tokio::test]
async fn too_much_memory_is_told_from_other_ends() {
    let rig = rig_or_skip!();
    let mut spec = rig.spec("greedy", "exec tail /dev/zero");
    spec.limits.memory = 16 << 20;
    let mut events = rig.engine.events().await.expect("events");
    let id = rig.run(&spec).await;
    let exit = rig.engine.wait(&id).await.expect("ended");
    assert_eq!((exit.code, exit.out_of_memory), (137, true));
    let container = rig.engine.inspect(&id).await.expect("seen").expect("there");
    assert_eq!(container.exit, Some(exit));
    let mut kinds = Vec::new();
    while !(kinds.contains(&EventKind::Ended) && kinds.contains(&EventKind::OutOfMemory)) {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        let event = event.expect("in time").expect("more").expect("an event");
        assert_eq!(event.container, id);
        kinds.push(event.kind);
    }
    assert_eq!(kinds[0], EventKind::Started);
}

#[tokio::test]
async fn what_the_kernel_counts_of_a_container_is_read_beside_the_engine() {
    let rig = rig_or_skip!();
    // A child that wants too much is killed; its parent lives on and keeps a core busy.
    let script = "tail /dev/zero; while :; do :; done";
    let mut spec = rig.spec("counted", script);
    spec.limits.memory = 32 << 20;
    spec.limits.cpu_millis = 500;
    let id = rig.run(&spec).await;
    let seen = rig.engine.inspect(&id).await.expect("seen").expect("there");
    let group = Cgroup::of(seen.pid.expect("a pid")).expect("groups");
    assert!(group.is_of(&id), "{group:?}");
    until("the child was killed", || async {
        group.memory().expect("memory").kills == 1
    })
    .await;
    let memory = group.memory().expect("memory");
    assert_eq!(memory.limit, Some(32 << 20));
    assert!((1..=32 << 20).contains(&memory.used), "{memory:?}");
    assert_eq!(group.cpu_limit().expect("limit"), Some(0.5));
    let before = group.cpu_time().expect("time");
    until("it used the CPU", || async {
        group.cpu_time().expect("time") > before
    })
    .await;
    rig.engine.remove(&id).await.expect("removed");
    assert!(group.memory().is_err(), "the group is gone");
}

#[tokio::test]
async fn events_are_those_of_this_instance_from_the_call_on() {
    let rig = rig_or_skip!();
    let other = rig_or_skip!();
    let early = rig.run(&rig.spec("early", "true")).await;
    rig.engine.wait(&early).await.expect("ended");
    let mut events = rig.engine.events().await.expect("events");
    other.run(&other.spec("other", "true")).await;
    let id = rig.run(&rig.spec("late", "true")).await;
    rig.engine.wait(&id).await.expect("ended");
    rig.engine.remove(&id).await.expect("removed");
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        let event = event.expect("in time").expect("more").expect("an event");
        assert_eq!(event.container, id, "{event:?}");
        kinds.push(event.kind);
    }
    assert_eq!(
        kinds,
        [EventKind::Started, EventKind::Ended, EventKind::Other]
    );
}

#[tokio::test]
async fn a_running_container_has_an_address_a_pid_and_stats() {
    let rig = rig_or_skip!();
    let name = format!("rw-{}", rig.instance);
    let network = NetworkSpec {
        name: name.clone(),
        subnet: None,
    };
    rig.engine.ensure_network(&network).await.expect("network");
    rig.engine.ensure_network(&network).await.expect("again");
    assert_eq!(rig.engine.networks().await.expect("list"), [name.as_str()]);
    assert!(
        std::path::Path::new("/sys/class/net").join(&name).exists(),
        "the bridge has the network's name"
    );
    let foreign = NetworkSpec {
        name: "bridge".into(),
        subnet: None,
    };
    assert!(matches!(
        rig.engine.ensure_network(&foreign).await,
        Err(EngineError::Conflict { .. })
    ));

    let mut spec = rig.spec("net", "httpd -f -p 5000 -h /bin");
    spec.network = Some(name.clone());
    let id = rig.run(&spec).await;
    let container = rig.engine.inspect(&id).await.expect("seen").expect("there");
    let ip = container.ip.expect("an address");
    let pid = container.pid.expect("a pid");
    until("port 5000 answers", || async {
        tokio::net::TcpStream::connect((ip, 5000)).await.is_ok()
    })
    .await;
    let bound = ropewalk_engine::listen::listening(pid).expect("read");
    assert_eq!(
        bound.iter().map(|a| a.port()).collect::<Vec<_>>(),
        [5000],
        "{bound:?}"
    );
    let listeners = ropewalk_engine::listen::Listeners::of(pid);
    assert_eq!(listeners.now().expect("asked"), bound);
    assert!(
        !listeners
            .now()
            .expect("asked")
            .iter()
            .any(|address| address.ip().is_loopback()),
        "neither the host's nor the engine's own"
    );
    let stats = rig.engine.stats(&id).await.expect("stats");
    assert!(stats.memory_bytes > 0 && stats.pids >= 2, "{stats:?}");

    assert!(rig.engine.remove_network(&name).await.is_err(), "in use");
    rig.engine.remove(&id).await.expect("removed");
    rig.engine.remove_network(&name).await.expect("removed");
    rig.engine.remove_network(&name).await.expect("not there");
    assert!(rig.engine.networks().await.expect("list").is_empty());
}

#[tokio::test]
async fn images_are_loaded_found_and_removed() {
    let rig = rig_or_skip!();
    assert!(rig.engine.has_image(&rig.image).await.expect("asked"));
    let archive = rig.folder.path().join("image.tar");
    docker(&["save", "-o", &archive.to_string_lossy(), &rig.image]).expect("saved");
    rig.engine.remove_image(&rig.image).await.expect("removed");
    assert!(!rig.engine.has_image(&rig.image).await.expect("asked"));
    rig.engine
        .remove_image(&rig.image)
        .await
        .expect("not there");
    rig.engine.load_image(&archive).await.expect("loaded");
    assert!(rig.engine.has_image(&rig.image).await.expect("asked"));

    std::fs::write(&archive, "not an archive").expect("written");
    assert!(rig.engine.load_image(&archive).await.is_err());
    assert!(matches!(
        rig.engine.load_image(&rig.folder.path().join("none")).await,
        Err(EngineError::Io { .. })
    ));
}

#[tokio::test]
async fn the_engine_tells_about_itself() {
    let rig = rig_or_skip!();
    let info = rig.engine.info().await.expect("info");
    eprintln!("{info:?}");
    assert!(info.cpus > 0 && info.memory_bytes > 0);
    assert!(!info.version.is_empty() && !info.api_version.is_empty());
    assert!(info.cgroup_version == 1 || info.cgroup_version == 2);
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    let instance = ropewalk_model::InstanceId::parse("00000000").expect("hex");
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("none.sock");
    let socket = socket.to_str().expect("text");
    let engine =
        ropewalk_engine::DockerEngine::connect(Some(socket), instance.clone()).expect("a path");
    let id = ContainerId("x".into());
    assert!(matches!(
        engine.info().await,
        Err(EngineError::Unreachable(_))
    ));
    assert!(matches!(
        engine.logs(&id, None, true).await.map(|_| ()),
        Err(EngineError::Unreachable(_))
    ));
    assert!(matches!(
        ropewalk_engine::DockerEngine::connect(Some("tcp://127.0.0.1:1"), instance).map(|_| ()),
        Err(EngineError::Unreachable(_))
    ));
}

#[tokio::test]
async fn a_running_container_is_furnished() {
    let rig = rig_or_skip!();
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: mounting takes root");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (tree, kept, file) = (
        dir.path().join("tree"),
        dir.path().join("kept"),
        dir.path().join("file"),
    );
    for folder in [&tree, &kept] {
        std::fs::create_dir(folder).expect("made");
    }
    std::fs::write(tree.join("a"), "tree\n").expect("written");
    std::fs::write(kept.join("b"), "kept\n").expect("written");
    std::fs::write(&file, "file\n").expect("written");
    let mut spec = rig.spec(
        "bare",
        "read go; cat /mnt/tree/a /mnt/tree/kept/b /run/of/mine/file; echo new > /mnt/tree/c; \
         echo no > /mnt/tree/kept/d || exit 3",
    );
    spec.open_stdin = true;
    spec.user = "0:0".to_owned();
    let id = rig.engine.create(&spec).await.expect("created");
    let mount = |source: &std::path::Path, target: &str, read_only| Mount {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    };
    let mounts = [
        mount(&tree, "/mnt/tree", false),
        mount(&kept, "/mnt/tree/kept", true),
        mount(&file, "/run/of/mine/file", true),
    ];
    let early = rig.engine.hold(&id).await;
    assert!(
        matches!(early, Err(EngineError::Refused { .. })),
        "{early:?}"
    );

    let mut attached = rig.engine.attach(&id, false).await.expect("attached");
    rig.engine.start(&id).await.expect("started");
    let process = rig.engine.hold(&id).await.expect("held");
    let furnished = rig.engine.furnish(&process, &mounts).await;
    furnished.expect("furnished");
    let name = format!("{}-of-somebody", spec.name);
    rig.engine.rename(&id, &name).await.expect("renamed");
    let found = rig.engine.inspect(&id).await.expect("seen").expect("there");
    assert_eq!(found.name, name);
    attached.input.write_all(b"go\n").await.expect("written");
    rig.engine.gone(&process).await.expect("gone");
    assert_eq!(std::fs::read(tree.join("c")).expect("there"), b"new\n");
    let exit = rig.engine.wait(&id).await.expect("ended");
    rig.engine.gone(&process).await.expect("gone still");
    let logs = rig.engine.logs(&id, None, false).await.expect("logs");
    let (stdout, _) = collect(logs).await;
    assert_eq!(stdout, "tree\nkept\nfile\n");
    assert_eq!(exit.code, 3, "what is read-only cannot be written to");
    drop(process);
    // Nothing of it is mounted on the host, and nothing holds on to it when the container is gone.
    assert!(!std::path::Path::new("/run/of/mine").exists());
    std::fs::remove_dir_all(dir.path()).expect("free");
}
