//! What containers can reach with the packet filter in force, tried from inside real ones.

#![allow(clippy::expect_used, clippy::print_stderr)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use ropewalk_engine::firewall::Firewall;
use ropewalk_engine::{ContainerId, Engine, ExecSpec, NetworkSpec};
use support::{Rig, collect, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// An address range that documentation may use and nobody else does.
const OUTSIDE: &str = "198.51.100";

#[tokio::test]
async fn dynos_reach_the_outside_and_nothing_of_the_host_or_of_one_another() {
    let rig = rig_or_skip!();
    let other = rig_or_skip!();
    let Some(outside) = Outside::new(&rig) else {
        eprintln!("SKIPPED: not allowed to make network namespaces");
        return;
    };
    let (dynos, gateway) = network(&rig, "rw-").await;
    let (builds, _) = network(&rig, "rwb-").await;
    let (foreign, _) = network(&other, "rw-").await;
    let web = container(&rig, "web", &dynos).await;
    let neighbour = container(&rig, "neighbour", &dynos).await;
    let build = container(&rig, "build", &builds).await;
    let stranger = container(&other, "stranger", &foreign).await;

    let everywhere = listen("0.0.0.0:0").await;
    let host = host_address();
    let service = SocketAddr::new(host, everywhere.port());
    let at_gateway = SocketAddr::new(gateway, everywhere.port());
    let resolver = listen(&format!("{gateway}:53")).await;

    // Without the filter the host is wide open, so that what follows proves something.
    assert!(reaches(&rig, &web.0, service).await);
    assert!(reaches(&rig, &web.0, at_gateway).await);
    assert!(reaches(&rig, &web.0, outside.service).await);

    let filter = Filter(Firewall {
        instance: rig.instance.clone(),
    });
    let bridges = [dynos, builds];
    filter.0.apply(&bridges, &[], &[]).await.expect("applied");
    filter.0.apply(&bridges, &[], &[]).await.expect("again");
    for from in [&web.0, &build.0] {
        assert!(!reaches(&rig, from, service).await, "the host's address");
        assert!(!reaches(&rig, from, at_gateway).await, "the gateway");
        assert!(
            !reaches(&rig, from, resolver).await,
            "a port 53 of the host"
        );
        assert!(reaches(&rig, from, outside.service).await, "the outside");
        for to in [&neighbour, &build, &stranger, &web] {
            assert_eq!(
                reaches(&rig, from, SocketAddr::new(to.1, 5000)).await,
                &to.0 == from,
                "from {from} to {}",
                to.1
            );
        }
    }
    let answered = tokio::net::TcpStream::connect((web.1, 5000)).await;
    assert!(answered.is_ok(), "the router reaches a dyno");

    let resolvers = [resolver.ip()];
    let blocked = [format!("{OUTSIDE}.0/24")];
    let applied = filter.0.apply(&bridges, &resolvers, &blocked).await;
    applied.expect("applied");
    assert!(reaches(&rig, &web.0, resolver).await, "the name server");
    assert!(!reaches(&rig, &web.0, at_gateway).await, "its other ports");
    assert!(!reaches(&rig, &web.0, outside.service).await, "blocked");

    // A change that fails changes nothing.
    let failed = filter.0.apply(&bridges, &[], &["nonsense".into()]).await;
    assert!(failed.is_err());
    assert!(!reaches(&rig, &web.0, outside.service).await);

    filter.0.remove().await.expect("removed");
    filter.0.remove().await.expect("not there");
    assert!(reaches(&rig, &web.0, outside.service).await);
}

async fn network(rig: &Rig, prefix: &str) -> (String, IpAddr) {
    let name = format!("{prefix}{}", rig.instance);
    let network = NetworkSpec {
        name: name.clone(),
        subnet: None,
    };
    rig.engine.ensure_network(&network).await.expect("network");
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = support::docker(&["network", "inspect", "--format", format, &name]);
    let gateway = gateway.expect("inspected").parse().expect("an address");
    (name, gateway)
}

/// A container that answers on port 5000, as a dyno does.
async fn container(rig: &Rig, what: &str, network: &str) -> (ContainerId, IpAddr) {
    let mut spec = rig.spec(what, "nc -ll -p 5000 -e echo hello");
    spec.network = Some(network.to_owned());
    let id = rig.run(&spec).await;
    let container = rig.engine.inspect(&id).await.expect("seen").expect("there");
    let ip = container.ip.expect("an address");
    until("the container answers", || async {
        tokio::net::TcpStream::connect((ip, 5000)).await.is_ok()
    })
    .await;
    (id, ip)
}

/// Whether a process in the container gets a greeting from there.
async fn reaches(rig: &Rig, from: &ContainerId, to: SocketAddr) -> bool {
    let script = format!("nc -w 1 {} {} </dev/null", to.ip(), to.port());
    let spec = ExecSpec {
        command: ["/bin/sh", "-c", &script].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let exec = rig.engine.exec(from, &spec).await.expect("exec");
    let (stdout, _) = collect(exec.attached.output).await;
    stdout.contains("hello")
}

/// A service of the host that greets; it ends with the test.
async fn listen(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).await.expect("bound");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"hello\n").await;
        }
    });
    address
}

/// The address by which the host is known outside; nothing is sent to find it.
fn host_address() -> IpAddr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("bound");
    socket.connect("203.0.113.1:9").expect("a route");
    socket.local_addr().expect("address").ip()
}

struct Filter(Firewall);

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = Command::new("nft")
            .args(["delete", "table", "inet", &self.0.table()])
            .stderr(std::process::Stdio::null())
            .status();
    }
}

/// A machine outside, that is another network namespace with a service in it.
struct Outside {
    name: String,
    service: SocketAddr,
    server: std::process::Child,
}

impl Outside {
    fn new(rig: &Rig) -> Option<Self> {
        let name = format!("rwt{}", rig.instance);
        let near = format!("rwt{}n", rig.instance);
        let far = format!("rwt{}f", rig.instance);
        ip(&["netns", "add", &name]).then_some(())?;
        // From here on `drop` clears away; four addresses of the range for each test that runs at this time.
        let base = (std::process::id() % 60) * 4;
        let address = |n: u32| format!("{OUTSIDE}.{}", base + n);
        let command = ["nc", "-ll", "-p", "5000", "-e", "echo", "hello"];
        let server = Command::new("ip")
            .args(["netns", "exec", &name, "busybox"])
            .args(command)
            .spawn()
            .expect("a server");
        let outside = Self {
            name: name.clone(),
            service: format!("{}:5000", address(2)).parse().expect("address"),
            server,
        };
        for arguments in [
            &["link", "add", &near, "type", "veth", "peer", "name", &far][..],
            &["link", "set", &far, "netns", &name],
            &["addr", "add", &format!("{}/30", address(1)), "dev", &near],
            &["link", "set", &near, "up"],
            &[
                "-n",
                &name,
                "addr",
                "add",
                &format!("{}/30", address(2)),
                "dev",
                &far,
            ],
            &["-n", &name, "link", "set", &far, "up"],
        ] {
            assert!(ip(arguments), "ip {arguments:?}");
        }
        Some(outside)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        ip(&["link", "del", &format!("{}n", self.name)]);
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip")
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
