//! A network that holds nothing but loopback and the platform's port, and a name server that knows no name and
//! writes down every one it is asked for.

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
    /// One from which only `port` of the host's loopback is reached.
    pub(crate) fn around(port: u16) -> Self {
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
            (TcpListener::bind(("127.0.0.1", port)).unwrap(), names)
        })
        .join()
        .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let written = asked.clone();
        std::thread::spawn(move || answer(&names, &written));
        std::thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                std::thread::spawn(move || forward(inside, port));
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

/// Knows no name (NXDOMAIN), and remembers each.
fn answer(socket: &UdpSocket, asked: &Mutex<Vec<String>>) {
    let mut packet = [0u8; 512];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let Some(question) = packet.get(12..length) else {
            continue;
        };
        asked.lock().unwrap().push(name(question));
        let mut reply = packet[..length].to_vec();
        // A response, recursion available, no such name; the question is sent back, and nothing behind it.
        reply[2] |= 0x80;
        reply[3] = 0x83;
        reply[6..12].fill(0);
        let _ = socket.send_to(&reply, from);
    }
}

/// The labels at the start of a question, with dots between them.
fn name(mut question: &[u8]) -> String {
    let mut labels = Vec::new();
    while let Some((&length, rest)) = question.split_first() {
        let length = usize::from(length);
        if length == 0 || rest.len() < length {
            break;
        }
        let (label, behind) = rest.split_at(length);
        labels.push(String::from_utf8_lossy(label).into_owned());
        question = behind;
    }
    labels.join(".")
}
