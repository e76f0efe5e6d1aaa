//! `run`, `run:detached`: the attached dyno plays a shell that knows three tricks.

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::fake::{Fake, Ran, dyno, failed, ok};

/// Writes its input back on both streams, then exits with 7; or breaks off, when told so.
async fn shell(mut socket: WebSocket) {
    let mut input = Vec::new();
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(frame) if frame.as_ref() == b"\x00" => break,
            Message::Binary(frame) if frame.first() == Some(&0) => {
                input.extend_from_slice(&frame[1..])
            }
            _ => {}
        }
    }
    if input.starts_with(b"break") {
        return;
    }
    for frame in [
        [b"\x01", input.as_slice()].concat(),
        b"\x02oops\n".to_vec(),
        b"\x05{\"code\":7}".to_vec(),
    ] {
        let _ = socket.send(Message::Binary(Bytes::from(frame))).await;
    }
    let _ = socket.send(Message::Close(None)).await;
    // As the platform does: what still comes is read away, or closing would take from the client what it has not read.
    while let Some(Ok(_)) = socket.recv().await {}
}

async fn attach(upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["ropewalk-attach.v1"]).on_upgrade(shell)
}

fn fake() -> Fake {
    let fake = Fake::with_routes(Router::new().route("/attach/1", get(attach)));
    let mut one_off = dyno("run.1234", "starting", 3);
    one_off["attach_url"] = format!("ws://api.localhost:{}/attach/1", fake.port).into();
    fake.on("POST /apps/demo/dynos", 201, one_off)
}

#[test]
fn input_output_and_exit_code_pass_through() {
    let fake = fake();
    let env = [("ROPEWALK_TOKEN", "t")];
    let ran = fake.run_with(&["run", "-a", "demo", "exit 7"], "hello\n", &env);
    let said = "Running exit 7 on \u{2b22} demo... up, run.1234\noops\n";
    assert_eq!(
        ran,
        Ran {
            code: 7,
            stdout: "hello\n".into(),
            stderr: said.into()
        }
    );
    assert_eq!(
        fake.requests(),
        [
            "POST /apps/demo/dynos {\"command\":\"exit 7\",\"attach\":true,\"env\":{},\"force_no_tty\":true}"
        ]
    );
    // A megabyte arrives whole.
    let much = "0123456789abcdef".repeat(65_536);
    let ran = fake.run_with(&["run", "--no-notify", "cat", "-a", "demo"], &much, &env);
    assert_eq!(
        (ran.code, ran.stdout.len(), ran.stderr.as_str()),
        (7, much.len(), "oops\n")
    );
    let sent = fake.requests().remove(0);
    assert!(
        sent.starts_with("POST /apps/demo/dynos {\"command\":\"cat\","),
        "{sent}"
    );
}

#[test]
fn a_command_runs_inside_a_dyno() {
    let fake = Fake::with_routes(Router::new().route("/attach/1", get(attach)));
    let mut web = dyno("web.1", "up", 3);
    web["attach_url"] = format!("ws://api.localhost:{}/attach/1", fake.port).into();
    let fake = fake.on("POST /apps/demo/dynos/web.1", 201, web);
    let ran = fake.run_with(
        &["run:inside", "web.1", "wc", "-c", "-a", "demo"],
        "hello\n",
        &[("ROPEWALK_TOKEN", "t")],
    );
    let said = "Running wc -c inside web.1 on \u{2b22} demo... up\noops\n";
    assert_eq!(
        ran,
        Ran {
            code: 7,
            stdout: "hello\n".into(),
            stderr: said.into()
        }
    );
    assert_eq!(
        fake.requests(),
        ["POST /apps/demo/dynos/web.1 {\"command\":\"wc -c\",\"force_no_tty\":true}"]
    );
}

#[test]
fn a_connection_that_breaks_is_told() {
    let fake = fake();
    let ran = fake.run_with(
        &["run", "-a", "demo", "cat"],
        "break",
        &[("ROPEWALK_TOKEN", "t")],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .contains("The dyno may still be running: see ropewalk ps."),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_address_that_is_not_ours_to_speak_is_told() {
    let mut one_off = dyno("run.1", "starting", 3);
    one_off["attach_url"] = "rendezvous://rendezvous.example.com:5000/x".into();
    let fake = Fake::new().on("POST /apps/demo/dynos", 201, one_off);
    assert_eq!(
        fake.run(&["run", "-a", "demo", "bash"]),
        failed(
            1,
            "Running bash on \u{2b22} demo... !\n \u{25b8}    The dyno offers `rendezvous` to attach to, which this client does not speak.\n"
        )
    );
}

#[test]
fn a_detached_dyno_is_not_waited_for() {
    let fake = Fake::new().on(
        "POST /apps/demo/dynos",
        201,
        json!(dyno("run.1", "starting", 3)),
    );
    assert_eq!(
        fake.run(&[
            "run:detached",
            "-e",
            "A=1;B=2",
            "-s",
            "standard-2x",
            "rake",
            "x y",
            "-a",
            "demo"
        ]),
        ok(
            "Run ropewalk logs --app demo --dyno run.1 to view the output.\n",
            "Running rake \"x y\" on \u{2b22} demo... done, run.1\n"
        )
    );
    assert_eq!(
        fake.requests(),
        [
            "POST /apps/demo/dynos {\"command\":\"rake \\\"x y\\\"\",\"attach\":false,\"env\":{\"A\":\"1\",\"B\":\"2\"},\"size\":\"standard-2x\"}"
        ]
    );
}

#[test]
fn flags_behind_the_command_are_ours_up_to_two_dashes() {
    let fake = Fake::new().on(
        "POST /apps/demo/dynos",
        201,
        json!(dyno("run.1", "starting", 3)),
    );
    let ran = fake.run(&[
        "run:detached",
        "rake",
        "x",
        "--size",
        "standard-2x",
        "--env",
        "A=1",
        "-a",
        "demo",
        "--",
        "--size",
        "y",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        fake.requests(),
        [
            "POST /apps/demo/dynos {\"command\":\"rake x --size y\",\"attach\":false,\"env\":{\"A\":\"1\"},\"size\":\"standard-2x\"}"
        ]
    );
}

/// Writes more than a pipe holds, and ends when it gets a signal.
async fn talkative(mut socket: WebSocket) {
    let much = [b"\x01".as_slice(), &[b'x'; 512 << 10]].concat();
    let _ = socket.send(Message::Binary(Bytes::from(much))).await;
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Binary(frame) if frame.as_ref() == b"\x04INT") {
            let exit = Bytes::from_static(b"\x05{\"code\":130}");
            let _ = socket.send(Message::Binary(exit)).await;
            let _ = socket.send(Message::Close(None)).await;
        }
    }
}

/// Reads nothing at all.
async fn deaf(socket: WebSocket) {
    std::future::pending::<()>().await;
    drop(socket);
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

/// The program looks after signals once it writes: what it wrote so far tells that it is there.
fn attached_to<F: Future<Output = ()> + Send + 'static>(
    shell: fn(WebSocket) -> F,
) -> (Fake, Child) {
    let upgrade = get(move |upgrade: WebSocketUpgrade| async move {
        upgrade.protocols(["ropewalk-attach.v1"]).on_upgrade(shell)
    });
    let fake = Fake::with_routes(Router::new().route("/attach/1", upgrade));
    let mut one_off = dyno("run.1234", "starting", 3);
    one_off["attach_url"] = format!("ws://api.localhost:{}/attach/1", fake.port).into();
    let fake = fake.on("POST /apps/demo/dynos", 201, one_off);
    let child = fake.spawn(&["run", "-a", "demo", "x"]);
    (fake, child)
}

#[test]
fn a_signal_passes_while_nobody_reads_what_the_dyno_writes() {
    let (_fake, mut child) = attached_to(talkative);
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0];
    stdout.read_exact(&mut first).unwrap();
    signal(&child, "INT");
    // Only now is the rest read, and it all comes: were the signal not passed on, no end would.
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), (512 << 10) - 1);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_signal_ends_a_run_whose_dyno_takes_no_input() {
    let (_fake, mut child) = attached_to(deaf);
    let mut stdin = child.stdin.take().unwrap();
    // More than all buffers on the way hold; it breaks off when the program ends.
    let feeding = std::thread::spawn(move || {
        let block = vec![b'x'; 1 << 20];
        (0..64)
            .take_while(|_| stdin.write_all(&block).is_ok())
            .count()
    });
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.ends_with("up, run.1234\n"), "{line}");
    let end = Instant::now() + Duration::from_secs(60);
    let code = loop {
        // Until the way is full a signal is on its way and no more.
        signal(&child, "INT");
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None => assert!(Instant::now() < end, "it goes on"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(code, Some(1));
    assert!(feeding.join().unwrap() < 64);
    stderr.read_to_string(&mut line).unwrap();
    assert!(line.contains("so the signal did not reach it"), "{line}");
}
