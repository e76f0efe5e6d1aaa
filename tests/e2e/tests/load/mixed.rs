//! All that changes which dynos serve, under load of every kind: short and long requests, uploads, WebSockets. Nothing
//! fails, and no WebSocket ends before its grace is over.

use std::time::{Duration, Instant};

use e2e::{Kind, Pace, Repo, Rig, Sockets, wait};

/// How long a dyno goes on for what it has in hand once others serve in its place: longer than the longest request.
const DRAIN: &str = "drain=12s";
/// That, less what a clock may be off.
const GRACE: Duration = Duration::from_secs(11);
const REQUESTS_A_SECOND: u64 = 200;
const SOCKETS: u64 = 20;

/// Without a package besides Node.
const SERVER: &str = r#"const http = require("http");
const crypto = require("crypto");
const fs = require("fs");
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const patch = () => fs.existsSync("/etc/patch") ? fs.readFileSync("/etc/patch", "utf8") : "unpatched";
const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://app");
  let bytes = 0;
  request.on("data", (chunk) => { bytes += chunk.length; });
  request.on("end", () => {
    const body = url.pathname === "/upload" ? `${bytes} bytes` : url.pathname === "/stack" ? patch() : "ANSWER";
    setTimeout(() => response.end(body), Number(url.searchParams.get("ms") || 0));
  });
});
server.keepAliveTimeout = 95000;
server.on("upgrade", (request, socket) => {
  const key = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${key}\r\n\r\n`);
  let rest = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    // Short text, masked, is all that comes.
    while (rest.length >= 6 && rest.length >= 6 + (rest[1] & 127)) {
      const length = rest[1] & 127;
      if ((rest[0] & 15) === 8) { socket.end(Buffer.from([0x88, 0])); return; }
      const text = rest.subarray(6, 6 + length).map((byte, index) => byte ^ rest[2 + index % 4]);
      socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
      rest = rest.subarray(6 + length);
    }
  });
});
server.listen(process.env.PORT);
"#;

fn change(repo: &Repo, answer: &str) {
    repo.change(&[
        ("server.js", &SERVER.replace("ANSWER", answer)),
        ("package.json", r#"{"name": "mixed", "version": "1.0.0"}"#),
        ("Procfile", "web: node server.js\n"),
    ]);
}

/// How often all of it is done.
fn rounds() -> u32 {
    std::env::var("ROPEWALK_TEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

#[test]
fn nothing_fails_and_no_websocket_is_cut_before_its_grace_ends() {
    let _alone = crate::alone();
    let rig = Rig::start();
    let app = rig.create("mixed");
    let repo = Repo::with(&[]);
    change(&repo, "round 0");
    rig.push(&repo, &app).good();
    rig.cli(&["ps:settings:set", DRAIN, "--app", &app]).good();
    rig.cli(&["ps:scale", "web=3", "--app", &app]).good();
    rig.wait_up(&app, 3);

    let kinds = [
        (Kind::Slow { ms: 10_000 }, 1),
        (Kind::Upload { bytes: 256 << 10 }, 2),
    ];
    let requests = Pace::mixed(&rig, &app, &kinds, REQUESTS_A_SECOND);
    let sockets = Sockets::open(&rig, &app, SOCKETS);
    let mut actions: Vec<(Instant, String)> = Vec::new();
    for round in 1..=rounds() {
        let mut act = |what: &str, dynos: usize, action: &dyn Fn()| {
            actions.push((Instant::now(), format!("{what} of round {round}")));
            action();
            rig.wait_up(&app, dynos);
        };
        act("the deploy", 3, &|| {
            change(&repo, &format!("round {round}"));
            rig.push(&repo, &app).good();
        });
        assert_eq!(rig.get(&app, "/"), (200, format!("round {round}")));
        act("the restart", 3, &|| {
            rig.cli(&["ps:restart", "--app", &app]).good();
        });
        act("the config change", 3, &|| {
            let var = format!("ROUND={round}");
            rig.cli(&["config:set", &var, "--app", &app]).good();
        });
        let patch = format!("patch {round}");
        rig.patch_stack("etc/patch", &patch);
        act("the rebase", 3, &|| {
            rig.cli(&["rebase", "--app", &app]).good();
        });
        assert_eq!(rig.get(&app, "/stack"), (200, patch));
        act("scaling down", 2, &|| {
            rig.cli(&["ps:scale", "web=2", "--app", &app]).good();
        });
        act("another size", 2, &|| {
            let size = ["standard-2x", "standard-1x"][(round % 2) as usize];
            let size = format!("web={size}");
            rig.cli(&["ps:type", &size, "--app", &app]).good();
        });
        act("scaling up", 3, &|| {
            rig.cli(&["ps:scale", "web=3", "--app", &app]).good();
        });
    }
    let alone = wait(Duration::from_secs(120), || {
        rig.containers("dyno").len() == 3
    });
    assert!(alone, "old dynos go: {:?}", rig.containers("dyno"));
    let lives = sockets.stop();
    let seen = requests.stop();
    eprintln!(
        "{} requests, {} WebSockets ended in {} rounds",
        seen.good,
        lives.ended.len(),
        rounds()
    );
    seen.none_failed();
    assert!(lives.refused.is_empty(), "{:?}", lives.refused);
    assert!(!lives.ended.is_empty(), "sockets end with their dynos");
    for life in &lives.ended {
        // From then on, at the earliest, other dynos may have served in its dyno's place.
        let from = life.opened.max(actions[0].0);
        let (_, during) = actions.iter().rfind(|(at, _)| *at <= life.ended).unwrap();
        let after = life.ended.duration_since(from);
        assert!(
            after >= GRACE,
            "{} after {after:?}, during {during}",
            life.how
        );
    }
}
