//! An app that speaks no HTTP: clients come in by a port and by a name, stay while dynos come and go, and are told when
//! there is no way any more.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use e2e::{Repo, Rig, Tls};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "echo.example.org";

/// One conversation.
struct Client<R: Read, W: Write> {
    reader: BufReader<R>,
    writer: W,
    /// What the dyno said first: its name, and whom it takes for its client.
    greeting: String,
}

impl<R: Read, W: Write> Client<R, W> {
    /// `None` where nobody speaks.
    fn begin(reader: R, writer: W) -> Option<Self> {
        let mut client = Self {
            reader: BufReader::new(reader),
            writer,
            greeting: String::new(),
        };
        client.greeting = client.line()?;
        Some(client)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).ok()?;
        (count > 0).then(|| line.trim_end().to_owned())
    }

    #[track_caller]
    fn says(&mut self, text: &str) {
        writeln!(self.writer, "{text}").unwrap();
        assert_eq!(self.line().unwrap(), text.to_uppercase());
    }

    fn dyno(&self) -> &str {
        self.greeting.split(' ').next().unwrap()
    }
}

fn plain(port: u16) -> Option<Client<TcpStream, TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    Client::begin(stream.try_clone().unwrap(), stream)
}

/// OpenSSL's client, which checks the dyno's certificate.
struct Secure(Child);

impl Secure {
    fn connect(rig: &Rig, tls: &Tls) -> (Self, Option<Client<ChildStdout, ChildStdin>>) {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error"])
            .args(["-servername", NAME, "-verify_hostname", NAME])
            .args(["-connect", &format!("127.0.0.1:{}", rig.port)])
            .arg("-CAfile")
            .arg(&tls.ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        (Self(child), Client::begin(output, input))
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the app's people see.
fn told(rig: &Rig, app: &str) -> String {
    let log = rig.cli(&["logs", "--num", "500", "--app", app]).good();
    log.stdout
}

#[test]
fn clients_come_in_by_a_port_and_by_a_name() {
    let (rig, port) = Rig::with_tcp_port();
    let app = rig.create("echo");
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::of(folder.path(), NAME, rig.port);
    let text = |path| std::fs::read_to_string(path).unwrap();
    let repo = Repo::with(&[
        ("Procfile", "echo: python3 echo.py\n"),
        ("echo.py", include_str!("echo.py")),
        ("site.pem", &text(&tls.cert)),
        ("site.key", &text(&tls.key)),
    ]);
    rig.push(&repo, &app).good();
    let by_name = [
        "tcp:add",
        "echo",
        "--sni",
        NAME,
        "--dyno-port",
        "8883",
        "--proxy-protocol",
        "v1",
    ];
    for args in [&["tcp:add", "echo"][..], &by_name] {
        rig.cli(&[args, &["--app", &app]].concat()).good();
    }
    rig.cli(&["ps:scale", "echo=1", "--app", &app]).good();

    // Once the router knows that there will be a dyno, whoever comes before it waits.
    let mut held = None;
    rig.wait("somebody who speaks", LIMIT, |_| {
        held = plain(port);
        held.is_some()
    });
    let mut held = held.unwrap();
    assert_eq!(held.greeting, "echo.1 somebody");
    held.says("first");
    let (_client, speaks) = Secure::connect(&rig, &tls);
    let mut secure = speaks.unwrap();
    assert_eq!(secure.greeting, "echo.1 127.0.0.1");
    secure.says("over tls");
    drop((_client, secure));

    // More dynos: the next connections go to the one with fewer.
    rig.cli(&["ps:scale", "echo=2", "--app", &app]).good();
    rig.wait_up(&app, 2);
    let mut others = Vec::new();
    rig.wait("both dynos to be reached", LIMIT, |_| {
        others.extend(plain(port));
        let reached: BTreeSet<&str> = others.iter().map(Client::dyno).collect();
        reached.len() == 2
    });
    held.says("scaled");
    drop(others);

    // Others in their place: what is open goes on, and who comes meanwhile waits for those that follow.
    let before: BTreeSet<String> = rig.containers("dyno").into_iter().collect();
    rig.cli(&["ps:restart", "--app", &app]).good();
    held.says("restarted");
    let mut next = plain(port).unwrap();
    next.says("next");
    held.says("still here");
    drop((held, next));
    rig.wait("other dynos", LIMIT, |rig| {
        let now = rig.containers("dyno");
        now.len() == 2 && now.iter().all(|name| !before.contains(name))
    });
    let mut last = plain(port).unwrap();
    last.says("last");

    // The ways go, and the port with its own.
    for route in [port.to_string().as_str(), NAME] {
        rig.cli(&["tcp:remove", route, "--app", &app]).good();
    }
    let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(Secure::connect(&rig, &tls).1.is_none());
    let log = told(&rig, &app);
    for part in [
        format!("port={port} protocol=tcp process=echo fwd=\"127.0.0.1\" dyno=echo."),
        format!("host={NAME} protocol=tls process=echo fwd=\"127.0.0.1\" dyno=echo.1"),
    ] {
        assert!(log.contains(&part), "{part} in {log}");
    }
}
