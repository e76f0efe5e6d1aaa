//! The command line on a running platform: one-off dynos, config, logs, releases, scaling.

#![allow(clippy::unwrap_used)] // support code of tests

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use e2e::terminal::Terminal;
use e2e::{Repo, Rig, binary};

#[test]
fn one_off_dynos_pass_exit_codes_input_and_window_sizes_on() {
    let rig = Rig::start();
    let app = rig.create("runs");
    rig.push(&Repo::example("hello"), &app).good();

    assert_eq!(rig.cli(&["run", "--app", &app, "exit 7"]).code, 7);
    let ran = rig
        .cli(&["run", "--app", &app, "echo out; echo err >&2; echo $DYNO"])
        .good();
    assert!(
        ran.stdout.contains("out") && ran.all().contains("err"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("run."), "{ran:?}");

    let mut cat = rig
        .command(&rig.data, binary())
        .args(["run", "--app", &app, "wc -c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = vec![b'x'; 1 << 20];
    cat.stdin.take().unwrap().write_all(&text).unwrap();
    let output = cat.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        (1 << 20).to_string()
    );

    let mut command = rig.command(&rig.data, binary());
    command.args(["run", "--app", &app, "bash"]);
    let mut terminal = Terminal::run(&command, 33, 101);
    terminal.wait_for("$");
    terminal.type_text("echo size: $(stty size)\n");
    terminal.wait_for("size: 33 101");
    terminal.resize(40, 120);
    terminal.type_text("sleep 0.5; echo then: $(stty size)\n");
    terminal.wait_for("then: 40 120");
    terminal.type_text("exit 5\n");
    assert_eq!(terminal.end(), 5);

    // A terminal that goes away takes its dyno with it.
    let mut gone = rig
        .command(&rig.data, binary())
        .args(["run", "--app", &app, "sleep 1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    rig.wait("the one-off dyno", Duration::from_secs(30), |rig| {
        rig.containers("dyno").len() == 2
    });
    gone.kill().unwrap();
    gone.wait().unwrap();
    rig.wait("it to go", Duration::from_secs(45), |rig| {
        rig.containers("dyno").len() == 1
    });

    rig.cli(&["run:detached", "--app", &app, "echo from a distance"])
        .good();
    rig.wait("its output in the log", Duration::from_secs(30), |rig| {
        rig.cli(&["logs", "--app", &app, "--num", "200"])
            .stdout
            .contains("from a distance")
    });
}

#[test]
fn commands_run_inside_a_running_dyno() {
    let rig = Rig::start();
    let app = rig.create("inside");
    rig.push(&Repo::example("hello"), &app).good();
    let inside = |line: &str| rig.cli(&["run:inside", "--app", &app, "web.1", line]);

    assert_eq!(inside("exit 7").code, 7);
    // In the dyno's environment and folder, as its user and with no more rights than it has, beside its process.
    let said = inside(
        "echo $DYNO $PORT $PWD $(id -u); grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; ls /proc; echo err >&2",
    )
    .good();
    assert!(said.stdout.contains("web.1 5000 /app 20000"), "{said:?}");
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(said.stdout.contains(line), "{said:?}");
    }
    assert!(said.stdout.lines().any(|line| line == "1"), "{said:?}");
    assert!(said.all().contains("err"), "{said:?}");
    inside("mkdir -p .profile.d; echo 'export LOADED=yes' > .profile.d/x.sh").good();
    assert!(
        inside("echo loaded $LOADED")
            .good()
            .stdout
            .contains("loaded yes")
    );

    let mut count = rig
        .command(&rig.data, binary())
        .args(["run:inside", "--app", &app, "web.1", "wc -c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = vec![b'x'; 1 << 20];
    count.stdin.take().unwrap().write_all(&text).unwrap();
    let output = count.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        (1 << 20).to_string()
    );

    let mut command = rig.command(&rig.data, binary());
    command.args(["run:inside", "--app", &app, "web.1", "bash"]);
    let mut terminal = Terminal::run(&command, 33, 101);
    terminal.wait_for("$");
    terminal.type_text("echo size: $(stty size)\n");
    terminal.wait_for("size: 33 101");
    terminal.resize(40, 120);
    terminal.type_text("sleep 0.5; echo then: $(stty size)\n");
    terminal.wait_for("then: 40 120");
    terminal.type_text("exit 5\n");
    assert_eq!(terminal.end(), 5);

    // A terminal that goes away takes its command with it, and not the dyno.
    let mut gone = rig
        .command(&rig.data, binary())
        .args(["run:inside", "--app", &app, "web.1", "sleep 4321"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sleeps = || {
        inside("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
            .stdout
            .contains("sleep 4321")
    };
    rig.wait("the command", Duration::from_secs(30), |_| sleeps());
    gone.kill().unwrap();
    gone.wait().unwrap();
    rig.wait("it to go", Duration::from_secs(45), |_| !sleeps());
    assert_eq!(rig.get(&app, "/").0, 200);

    assert!(
        rig.cli(&["run:inside", "--app", &app, "web.9", "date"])
            .bad()
            .stderr
            .contains("dyno")
    );
}

#[test]
fn one_off_dynos_take_much_input_are_stopped_and_go_with_their_app() {
    let rig = Rig::start();
    let app = rig.create("ends");
    rig.push(&Repo::example("hello"), &app).good();
    let run = |line: &str| {
        rig.command(&rig.data, binary())
            .args(["run", "--app", &app, line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };

    // More than all pipes on the way hold, both ways at once.
    let text = vec![b'x'; 16 << 20];
    let mut cat = run("cat");
    let mut stdin = cat.stdin.take().unwrap();
    let sent = text.clone();
    let sending = std::thread::spawn(move || stdin.write_all(&sent));
    let output = cat.wait_with_output().unwrap();
    sending.join().unwrap().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == text, "{} bytes came", output.stdout.len());

    let dynos = |count: usize| {
        rig.wait("the dynos", Duration::from_secs(45), |rig| {
            rig.containers("dyno").len() == count
        });
    };
    dynos(1);
    let mut sleeping = run("sleep 1000");
    dynos(2);
    rig.cli(&["ps:stop", "run", "--app", &app]).good();
    assert_eq!(sleeping.wait().unwrap().code(), Some(143));
    dynos(1);

    let mut sleeping = run("sleep 1000");
    dynos(2);
    rig.cli(&["apps:destroy", "--app", &app, "--confirm", &app])
        .good();
    // Whose app is gone has no right to its terminal: cut off, perhaps before the exit code is known.
    let code = sleeping.wait().unwrap().code();
    assert!(matches!(code, Some(1 | 143)), "{code:?}");
    dynos(0);
}

#[test]
fn a_job_runs_at_its_minute_and_once_more_when_it_is_asked_for() {
    let rig = Rig::start();
    let app = rig.create("jobs");
    let cli = |args: &[&str]| {
        let (before, behind) = match args.iter().position(|arg| *arg == "--") {
            Some(at) => args.split_at(at),
            None => (args, &[][..]),
        };
        rig.cli(&[before, &["--app", &app], behind].concat())
    };
    rig.push(&Repo::example("hello"), &app).good();
    let command = "echo ran as $DYNO; exit 3";
    let add = ["jobs:add", "* * * * *", "--name", "often", "--", command];
    cli(&add).good();
    let runs = || {
        let shown = cli(&["jobs:runs", "often", "--json"]).good().stdout;
        let runs: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
        runs
    };
    // At the next minute, whenever that is.
    rig.wait("its first run", Duration::from_secs(100), |_| {
        runs().iter().any(|run| run["state"] == "failed")
    });
    cli(&["jobs:set", "often", "--pause"]).good();
    let run = runs().pop().unwrap();
    assert_eq!(
        (&run["exit_code"], &run["trigger"]),
        (&3.into(), &"schedule".into())
    );
    let slot = run["slot_at"].as_str().unwrap();
    assert!(slot.ends_with(":00Z"), "{slot}");
    let dyno = run["dyno"]["name"].as_str().unwrap();
    rig.wait("what it said", Duration::from_secs(10), |_| {
        cli(&["logs", "--dyno", dyno])
            .stdout
            .contains(&format!("ran as {dyno}"))
    });

    let before = runs().len();
    cli(&["jobs:run", "often"]).good();
    rig.wait("the run by hand", Duration::from_secs(45), |_| {
        let runs = runs();
        runs.len() == before + 1 && runs[0]["state"] == "failed"
    });
    assert_eq!(
        (&runs()[0]["exit_code"], &runs()[0]["trigger"]),
        (&3.into(), &"manual".into())
    );
    rig.wait("its dynos to go", Duration::from_secs(45), |rig| {
        rig.containers("dyno").len() == 1
    });
}

#[test]
fn config_changes_restart_and_are_releases() {
    let rig = Rig::start();
    let app = rig.create("config");
    let cli = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--app", &app]);
        rig.cli(&all)
    };
    rig.push(&Repo::example("hello"), &app).good();
    let value = "quotes \" ' and $HOME\nand a second line, ünïcode";
    cli(&["config:set", &format!("SECRET={value}")]).good();
    assert_eq!(
        cli(&["config:get", "SECRET"]).good().stdout.trim_end(),
        value
    );
    rig.wait("the release", Duration::from_secs(30), |_| {
        cli(&["releases", "--json"])
            .stdout
            .contains("Set SECRET config vars")
    });
    rig.wait_up(&app, 1);
    let ran = cli(&["run", "printf %s \"$SECRET\""]).good();
    assert!(ran.stdout.contains("and a second line, ünïcode"), "{ran:?}");
    cli(&["config:unset", "SECRET"]).good();
    assert!(!cli(&["config"]).good().stdout.contains("SECRET"));
    cli(&["rollback", "v3"]).good();
    assert_eq!(
        cli(&["config:get", "SECRET"]).good().stdout.trim_end(),
        value,
        "code and config go back together"
    );
    // Nothing that was secret is in the platform's log or in the ledger.
    let log = std::fs::read_to_string(rig.data.join("ropewalk.log")).unwrap();
    assert!(!log.contains("and a second line"));
    for file in ["ledger.db", "ledger.db-wal"] {
        let bytes = std::fs::read(rig.data.join(file)).unwrap_or_default();
        let needle = "and a second line".as_bytes();
        assert!(
            !bytes.windows(needle.len()).any(|window| window == needle),
            "{file}"
        );
    }
}

#[test]
fn formations_logs_and_maintenance_work_as_herokus_users_expect() {
    let rig = Rig::start();
    let app = rig.create("daily");
    let cli = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--app", &app]);
        rig.cli(&all)
    };
    rig.push(&Repo::example("hello"), &app).good();
    cli(&["ps:scale", "web=3", "worker=1:standard-2x"]).good();
    rig.wait_up(&app, 4);
    assert!(cli(&["ps"]).good().stdout.contains("web.3"));
    cli(&["ps:restart", "web.2"]).good();
    cli(&["ps:wait"]).good();
    assert!(cli(&["ps:scale", "nope=1"]).bad().stderr.contains("nope"));
    assert!(cli(&["ps:scale", "web=1000"]).bad().stderr.contains("100"));

    rig.get(&app, "/find-me-in-the-log");
    rig.wait("the router's line", Duration::from_secs(20), |_| {
        let lines = cli(&["logs", "--num", "500", "--source", "heroku"]).stdout;
        lines.contains("path=\"/find-me-in-the-log\"") && lines.contains("status=200")
    });
    cli(&["maintenance:on"]).good();
    // The router serves by what was answered, without a wait.
    assert_eq!(rig.get(&app, "/").0, 503);
    cli(&["maintenance:off"]).good();
    assert_eq!(rig.get(&app, "/").0, 200);
    cli(&["domains:add", "www.example.com"]).good();
    let (status, _) = rig.get_host("www.example.com", "/").unwrap();
    assert_eq!(status, 200);
    cli(&["ps:scale", "web=0"]).good();
    rig.wait("no web dyno", Duration::from_secs(60), |rig| {
        rig.get(&app, "/").0 == 503
    });
    cli(&["apps:rename", &format!("{app}-2")]).good();
    let renamed = format!("{app}-2");
    rig.cli(&["ps:scale", "web=1", "--app", &renamed]).good();
    rig.wait("the new name", Duration::from_secs(60), |rig| {
        rig.get(&renamed, "/").0 == 200
    });
    assert_eq!(rig.get(&app, "/").0, 404);
}

#[test]
fn doctor_finds_nothing_wrong_and_prints_the_memory() {
    let rig = Rig::start();
    let data = rig.data.to_string_lossy().into_owned();
    let ran = rig.cli(&["doctor", "--data", &data]);
    assert!(ran.stdout.contains("MiB resident together"), "{ran:?}");
    assert!(!ran.stdout.contains("BAD  engine"), "{ran:?}");
    assert!(ran.stdout.contains("come round in time"), "{ran:?}");
}
