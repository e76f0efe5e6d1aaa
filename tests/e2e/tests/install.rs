//! `ropewalk install` on a server with systemd: it serves, looks after itself, comes back after a reboot and goes
//! without a trace. What the documentation says is what is run. `ROPEWALK_TEST_DEBIAN` names another release of Debian.

#![allow(clippy::unwrap_used)] // support code of tests

use std::time::Duration;

use e2e::{Load, Machine, Ran, binary, workspace};

const SERVER: &str = "ropewalk-server.service";
const ROUTER: &str = "ropewalk-router.service";
const CLIENTS: usize = 8;

fn install(machine: &Machine, options: &str) -> Ran {
    let ran = machine.shell(&format!("/root/ropewalk install {options}"));
    let ran = ran.good();
    assert!(
        !ran.stdout.contains("live-restore"),
        "it is on: {}",
        ran.stdout
    );
    ran
}

fn answers(machine: &Machine, host: &str) -> bool {
    machine
        .get(host, "/")
        .is_some_and(|(status, _)| status == 200)
}

/// The server answers by its API, and dynos can be run.
fn is_ready(machine: &Machine, domain: &str) -> bool {
    machine
        .get(&format!("api.{domain}"), "/ropewalk/health")
        .is_some_and(|(status, _)| status == 200)
}

fn wait_ready(machine: &Machine) {
    machine.wait("the platform", Duration::from_secs(60), |machine| {
        is_ready(machine, "example.com")
    });
}

/// Main processes of the server and the router.
fn processes(machine: &Machine) -> [String; 2] {
    [SERVER, ROUTER].map(|unit| machine.show(unit, "MainPID"))
}

/// What is done under load, of which every request has a connection of its own, and how many were lost.
fn lost(machine: &Machine, act: impl FnOnce()) -> u64 {
    let pause = Duration::from_millis(10);
    let load = Load::fresh(machine.http(), "site.example.com", "/", CLIENTS, pause);
    let goes_on = |load: &Load| {
        let before = load.count();
        machine.wait("more answers", Duration::from_secs(60), |_| {
            load.count() >= before + 200
        });
    };
    goes_on(&load);
    act();
    goes_on(&load);
    let seen = load.stop();
    assert!(
        !seen.bad.keys().any(|what| what.contains("refused")),
        "the sockets stay open: {:?}",
        seen.bad
    );
    seen.bad.values().sum()
}

/// kill -9, and systemd starts it again.
fn kill(machine: &Machine, unit: &str) {
    let before = machine.show(unit, "MainPID");
    machine.signal(unit, "KILL");
    restarted(machine, unit, &before);
}

fn restarted(machine: &Machine, unit: &str, before: &str) {
    machine.wait("another process", Duration::from_secs(30), |machine| {
        let now = machine.show(unit, "MainPID");
        now != before && now != "0" && machine.show(unit, "ActiveState") == "active"
    });
}

/// The block of shell below a heading of a document, run by root.
fn documented(heading: &str) -> String {
    let text = std::fs::read_to_string(workspace().join("docs/operations.md")).unwrap();
    let section = text.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1;
    block.split_once("```").unwrap().0.replace("sudo ", "")
}

#[test]
fn a_server_is_installed_looks_after_itself_and_is_given_back() {
    let names = ["api", "git", "site"].map(|label| format!("{label}.example.com"));
    let names = names.each_ref().map(String::as_str);
    let suite = std::env::var("ROPEWALK_TEST_DEBIAN").unwrap_or_else(|_| "bookworm".to_owned());
    let Some(machine) = Machine::boot(&suite, &names) else {
        return;
    };
    machine.copy(&binary(), "/root/ropewalk");
    machine.copy(&workspace().join("examples/static"), "/root/site");
    machine.give_stack();

    taken_port(&machine);
    install(&machine, "--domain example.com");
    push(&machine);
    restarts(&machine);
    again(&machine);
    certificate(&machine);
    reboot(&machine);
    without_a_domain(&machine);
    remove(&machine);
}

fn taken_port(machine: &Machine) {
    let perl = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 1) or die; sleep";
    machine
        .run(&["systemd-run", "--unit=taken", "perl", "-e", perl])
        .good();
    machine.wait("the port", Duration::from_secs(10), |machine| {
        let listening = machine.run(&["ss", "-Hltn", "sport = :80"]);
        listening.stdout.contains(":80")
    });
    let refused = machine
        .shell("/root/ropewalk install --domain example.com")
        .bad();
    assert!(refused.all().contains("ort 80 is taken"), "{refused:?}");
    machine
        .shell("! test -e /usr/local/bin/ropewalk; systemctl stop taken")
        .good();
}

fn push(machine: &Machine) {
    assert!(is_ready(machine, "example.com"), "once install has ended");
    machine
        .shell(
            "cat /var/lib/ropewalk/admin-token | ropewalk login --url http://api.example.com --token -
             git config --global user.name Dev; git config --global user.email dev@example.com
             cd /root/site; git init -q -b main; git add -A; git commit -qm First
             ropewalk create site
             git push ropewalk main
             ropewalk status",
        )
        .good();
    assert!(answers(machine, "site.example.com"));
    let findings = machine.run(&["ropewalk", "doctor", "--json"]).stdout;
    let findings: Vec<serde_json::Value> = serde_json::from_str(&findings).unwrap();
    let bad = |one: &&serde_json::Value| one["good"] == false && one["check"] != "memory";
    assert_eq!(findings.iter().find(bad), None);
}

fn restarts(machine: &Machine) {
    for unit in ["docker.service", SERVER, ROUTER] {
        let restart = || drop(machine.run(&["systemctl", "restart", unit]).good());
        assert_eq!(lost(machine, restart), 0, "restart of {unit}");
    }
    assert_eq!(lost(machine, || kill(machine, SERVER)), 0);
    // What it had accepted goes with it, and nothing else.
    assert!(lost(machine, || kill(machine, ROUTER)) <= CLIENTS as u64);
    // More often, and faster, than systemd lets units end by itself.
    let often = || (0..8).for_each(|_| kill(machine, ROUTER));
    assert!(lost(machine, often) <= 8 * CLIENTS as u64);

    wait_ready(machine);
    machine
        .shell(
            "mkdir /etc/systemd/system/ropewalk-server.service.d
             printf '[Service]\\nWatchdogSec=3\\n' > /etc/systemd/system/ropewalk-server.service.d/override.conf
             systemctl daemon-reload; systemctl restart ropewalk-server",
        )
        .good();
    let before = machine.show(SERVER, "MainPID");
    let stop = || {
        machine.signal(SERVER, "STOP");
        restarted(machine, SERVER, &before);
    };
    assert_eq!(lost(machine, stop), 0);
    wait_ready(machine);
}

/// The same again changes nothing; another program takes the place of the one that runs.
fn again(machine: &Machine) {
    let list = "find /usr/local/bin /etc/systemd /etc/docker /etc/ropewalk -type f -printf '%p %C@\\n' 2>&1";
    let files = || machine.run(&["sh", "-c", list]).stdout;
    let before = (files(), processes(machine));
    install(machine, "--domain example.com");
    assert_eq!((files(), processes(machine)), before);

    // A longer file is another one, and runs as this one does.
    machine
        .shell("cp /root/ropewalk /root/newer; echo >> /root/newer")
        .good();
    let upgrade = || {
        drop(
            machine
                .shell("/root/newer install --domain example.com")
                .good(),
        )
    };
    assert_eq!(lost(machine, upgrade), 0);
    let now = processes(machine);
    assert!(before.1.iter().all(|pid| !now.contains(pid)));
    // The router took over from the other one, and systemd looks after it as after that.
    let often = || {
        for _ in 0..5 {
            machine.run(&["systemctl", "reload", ROUTER]).good();
        }
    };
    assert_eq!(lost(machine, often), 0);
    assert_ne!(machine.show(ROUTER, "MainPID"), now[1]);
    assert!(lost(machine, || kill(machine, ROUTER)) <= CLIENTS as u64);
    machine.shell("mv /root/newer /root/ropewalk").good();
}

/// A certificate comes later, and goes again.
fn certificate(machine: &Machine) {
    machine
        .shell(
            "cd /root; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 \
             -subj /CN=example.com -addext 'subjectAltName=DNS:*.example.com' -keyout key.pem -out cert.pem",
        )
        .good();
    let options = "--domain example.com --cert /root/cert.pem --key /root/key.pem";
    assert_eq!(lost(machine, || drop(install(machine, options))), 0);
    let https = "printf 'GET / HTTP/1.0\\r\\nHost: site.example.com\\r\\n\\r\\n' | openssl s_client -quiet \
                 -verify_return_error -CAfile /root/cert.pem -servername site.example.com -connect 127.0.0.1:443";
    let answer = machine.shell(https);
    assert!(answer.stdout.starts_with("HTTP/1.0 200"), "{answer:?}");
    let before = processes(machine);
    install(machine, options);
    assert_eq!(processes(machine), before);

    assert_eq!(
        lost(machine, || drop(install(machine, "--domain example.com"))),
        0
    );
    let listens = machine.run(&["ss", "-Hltn", "sport = :443"]).stdout;
    assert_eq!(listens, "");
}

fn reboot(machine: &Machine) {
    machine.reboot();
    machine.wait("the app", Duration::from_secs(60), |machine| {
        answers(machine, "site.example.com")
    });
    wait_ready(machine);
    machine
        .shell("cd /root/site; ropewalk ps --app site | grep -q 'web.1: up'")
        .good();
}

/// The apps move to a name that is made of the server's address.
fn without_a_domain(machine: &Machine) {
    let ran = install(machine, "");
    let domain = format!("{}.sslip.io", machine.ip().to_string().replace('.', "-"));
    let names = format!("http://APP.{domain}/");
    assert!(ran.stdout.contains(&names), "{ran:?}");
    assert!(is_ready(machine, &domain));
    machine.wait("the app", Duration::from_secs(30), |machine| {
        answers(machine, &format!("site.{domain}"))
    });
}

fn remove(machine: &Machine) {
    machine.shell(&documented("Remove")).good();
    let list = "find / /var /run -xdev -name '*ropewalk*' -not -path '/root/*'
        systemctl list-units --all --plain --no-legend 'ropewalk*'
        systemctl list-unit-files --no-legend 'ropewalk*'
        cd /var/lib/docker; find containers image/overlay2/imagedb/content/sha256 -mindepth 1
        ip -brief link show type bridge | grep -v ^docker0
        nft list tables | grep ropewalk; cut -d ' ' -f 5 /proc/self/mountinfo | grep ropewalk
        ss -Hltn 'sport = :80'";
    assert_eq!(machine.run(&["sh", "-c", list]).all(), "", "is left over");
}
