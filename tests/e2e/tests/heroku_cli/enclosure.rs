//! A network that holds nothing but loopback and the platform's port, and a name server that knows the platform's
//! names at most and writes down every one it is asked for.

use std::fs::File;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

pub(crate) struct Enclosure {
    holder: Child,
    asked: Arc<Mutex<Vec<String>>>,
    _files: TempDir,
}

/// Loopback comes up, and names are asked of nobody but us; then it waits for its input to end.
const HOLD: &str = r#"
set -e
busybox ip link set lo up
mount --bind "$1/resolv.conf" "$(readlink -f /etc/resolv.conf)"
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
[ ! -d /run/nscd ] || mount -t tmpfs tmpfs /run/nscd
echo ready
read -r end
"#;

impl Enclosure {
    /// One from which only the port `outside` of the host's loopback is reached, as `inside`; and where `zone` and all
    /// below it is loopback, if one is given.
    pub(crate) fn around(inside: u16, outside: u16, zone: Option<&str>) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        std::fs::write(files.path().join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", HOLD, "hold"])
            .arg(files.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        let mut output = holder.stdout.take().unwrap();
        output.read_exact(&mut ready).unwrap();
        let network = File::open(format!("/proc/{}/ns/net", holder.id())).unwrap();
        let (listener, names) = std::thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).unwrap();
            let names = UdpSocket::bind("127.0.0.1:53").unwrap();
            (TcpListener::bind(("127.0.0.1", inside)).unwrap(), names)
        })
        .join()
        .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (written, zone) = (asked.clone(), zone.map(str::to_owned));
        std::thread::spawn(move || answer(&names, zone.as_deref(), &written));
        std::thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                std::thread::spawn(move || forward(inside, outside));
            }
        });
        Self {
            holder,
            asked,
            _files: files,
        }
    }

    /// What goes in front of a command to run it inside.
    pub(crate) fn enter(&self) -> Vec<String> {
        let of = |kind: &str| format!("/proc/{}/ns/{kind}", self.holder.id());
        vec![
            "nsenter".to_owned(),
            format!("--net={}", of("net")),
            format!("--mount={}", of("mnt")),
            "--".to_owned(),
        ]
    }

    /// The names that were asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        // Its input ends, and so does it; what is bound inside goes with this process.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Passes bytes between a connection inside and the platform outside.
fn forward(inside: TcpStream, port: u16) {
    let Ok(outside) = TcpStream::connect(("127.0.0.1", port)) else {
        return;
    };
    let (from, to) = (inside.try_clone().unwrap(), outside.try_clone().unwrap());
    let there = std::thread::spawn(move || copy(from, to));
    copy(outside, inside);
    let _ = there.join();
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Knows no name (NXDOMAIN) but those of the zone, and remembers each.
fn answer(socket: &UdpSocket, zone: Option<&str>, asked: &Mutex<Vec<String>>) {
    let mut packet = [0u8; 512];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let Some(question) = packet.get(12..length) else {
            continue;
        };
        let (name, behind) = name(question);
        let known = zone.is_some_and(|zone| is_below(&name, zone));
        asked.lock().unwrap().push(name);
        // The question is sent back, without what clients put behind it.
        let end = length - behind.len() + 4;
        let Some(mut reply) = packet.get(..end).map(<[u8]>::to_vec) else {
            continue;
        };
        // A response, recursion available, and perhaps: no such name.
        reply[2] |= 0x80;
        reply[3] = if known { 0x80 } else { 0x83 };
        reply[6..12].fill(0);
        if known && behind.starts_with(&ADDRESS) {
            reply[7] = 1;
            // The name is the question's; for one second; four bytes.
            reply.extend([0xc0, 12]);
            reply.extend(ADDRESS);
            reply.extend([0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&reply, from);
    }
}

/// Type A, class IN.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

pub(crate) fn is_below(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The labels at the start of a question, with dots between them; and what stands behind.
fn name(mut question: &[u8]) -> (String, &[u8]) {
    let mut labels = Vec::new();
    while let Some((&length, rest)) = question.split_first() {
        let length = usize::from(length);
        if length == 0 || rest.len() < length {
            question = rest;
            break;
        }
        let (label, behind) = rest.split_at(length);
        labels.push(String::from_utf8_lossy(label).into_owned());
        question = behind;
    }
    (labels.join("."), question)
}
