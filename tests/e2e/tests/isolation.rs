//! A dyno that tries every listening port of the host and of another app's dynos reaches none.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use e2e::{Repo, Rig};

/// Ports on which something of the host listens, by what the kernel says.
fn listening() -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(3) == Some(&"0A")
                && let Some(port) = words[1].rsplit(':').next()
            {
                ports.extend(u16::from_str_radix(port, 16));
            }
        }
    }
    ports
}

fn host_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

fn dyno_addresses(rig: &Rig) -> Vec<String> {
    let mut addresses = Vec::new();
    for name in rig.containers("dyno") {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{end}}";
        let output = Command::new("docker")
            .args(["inspect", "--format", format, &name])
            .output()
            .unwrap();
        addresses.extend(
            String::from_utf8_lossy(&output.stdout)
                .split_whitespace()
                .map(str::to_owned),
        );
    }
    addresses.sort();
    addresses.dedup();
    addresses
}

#[test]
fn a_dyno_reaches_neither_the_host_nor_another_app() {
    let rig = Rig::start();
    let (victim, attacker) = (rig.create("victim"), rig.create("attacker"));
    rig.push(&Repo::example("hello"), &victim).good();
    rig.push(&Repo::example("procfile"), &attacker).good();
    // Something that listens on every address of the host, to be sure that there is something to find.
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let mut ports = listening();
    ports.extend([
        open.local_addr().unwrap().port(),
        rig.port,
        22,
        53,
        80,
        443,
        2375,
        5000,
    ]);
    let mut addresses = dyno_addresses(&rig);
    assert!(
        addresses.len() >= 3,
        "two dynos and a gateway: {addresses:?}"
    );
    addresses.extend([host_address(), "169.254.169.254".to_owned()]);

    let script = format!(
        r#"python3 - <<'EOF'
import concurrent.futures, os, socket
mine = socket.gethostbyname(socket.gethostname())
def reach(target):
    address, port = target
    if address == mine:
        return None
    try:
        socket.create_connection((address, port), timeout=1.5).close()
        return target
    except OSError:
        return None
targets = [(a, p) for a in {addresses:?} for p in {ports:?}]
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    found = [t for t in pool.map(reach, targets) if t]
print("tried", len(targets), "reached", found)
EOF"#,
        ports = ports.iter().collect::<Vec<_>>(),
    );
    let ran = rig.cli(&["run", "--app", &attacker, &script]).good();
    assert!(ran.stdout.contains("reached []"), "{}", ran.stdout);
    // The probe itself works: from the host the same port answers.
    std::net::TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    assert_eq!(rig.get(&victim, "/").0, 200);
}

#[test]
fn a_dyno_is_unprivileged_and_sees_no_other() {
    let rig = Rig::start();
    let app = rig.create("cell");
    rig.push(&Repo::example("procfile"), &app).good();
    let run = |command: &str| rig.cli(&["run", "--app", &app, command]);
    assert!(run("id -u").good().stdout.contains("20000"));
    assert!(run("echo $HOME; pwd").good().stdout.contains("/app"));
    run("touch /app/x && rm /app/x").good();
    for command in [
        "touch /etc/x",
        "touch /usr/lib/ropewalk/launch",
        "mknod /tmp/x b 7 0",
        "mount -t tmpfs x /mnt",
        "ls /var/run/docker.sock",
    ] {
        run(command).bad();
    }
    let ran = run("grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status").good();
    assert!(ran.stdout.contains("0000000000000000"), "{}", ran.stdout);
    assert!(ran.stdout.contains("NoNewPrivs:\t1"), "{}", ran.stdout);
    // Each dyno writes to a disk of its own.
    run("echo mine > /app/written").good();
    run("test ! -e /app/written").good();
}
