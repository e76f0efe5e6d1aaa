//! `run`, `run:detached`: the attached dyno plays a shell that knows three tricks.

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
