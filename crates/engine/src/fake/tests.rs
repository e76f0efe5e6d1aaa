//! The engine in memory behaves as the real one does, as far as other crates count on it.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Engine;
use crate::container::{ContainerId, EventKind, NetworkSpec, Status};

fn engine() -> FakeEngine {
    let id = uuid::Uuid::new_v4().simple().to_string();
    FakeEngine::new(InstanceId::parse(&id[..8]).expect("hex"))
}

fn spec(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        ..Default::default()
    }
}

async fn run(engine: &FakeEngine, name: &str) -> ContainerId {
    let id = engine.create(&spec(name)).await.expect("created");
    engine.start(&id).await.expect("started");
    id
}

#[tokio::test]
async fn containers_do_what_the_test_says() {
    let engine = engine();
    engine.on_start(|spec| match spec.name.as_str() {
        "short" => Behaviour::Exit {
            after_ms: 1,
            code: 7,
        },
        "deaf" => Behaviour::IgnoreTerm { listen: false },
        "broken" => Behaviour::FailToStart("no".to_owned()),
        _ => Behaviour::RunForever { listen: false },
    });
    let mut events = engine.events().await.expect("events");
    let short = run(&engine, "short").await;
    assert_eq!(engine.wait(&short).await.expect("ended").code, 7);
    for kind in [EventKind::Started, EventKind::Ended] {
        let event = events.next().await.expect("more").expect("event");
        assert_eq!((event.container, event.kind), (short.clone(), kind));
    }
    let grace = Duration::from_millis(5);
    let deaf = run(&engine, "deaf").await;
    let stopped = engine.stop(&deaf, grace).await.expect("stopped");
    assert_eq!((stopped.killed, stopped.exit.code), (true, 137));
    let long = run(&engine, "long").await;
    let stopped = engine.stop(&long, grace).await.expect("stopped");
    assert_eq!((stopped.killed, stopped.exit.code), (false, 143));
    let broken = engine.create(&spec("broken")).await.expect("created");
    assert!(engine.start(&broken).await.is_err());
    assert_eq!(engine.containers()["broken"].status, Status::Created);
}

#[tokio::test]
async fn a_listening_container_answers_until_it_ends() {
    let engine = engine();
    engine.on_start(|_| Behaviour::RunForever { listen: true });
    let network = NetworkSpec {
        name: "rw-x".to_owned(),
        subnet: None,
    };
    let mut web = spec("web");
    web.network = Some(network.name.clone());
    let id = engine.create(&web).await.expect("created");
    assert!(engine.start(&id).await.is_err(), "no such network yet");
    engine.ensure_network(&network).await.expect("network");
    engine.start(&id).await.expect("started");
    let ip = engine.containers()["web"].ip.expect("an address");
    let mut stream = tokio::net::TcpStream::connect((ip, PORT))
        .await
        .expect("connected");
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("web"));
    engine.end(
        "web",
        Exit {
            code: 1,
            out_of_memory: true,
        },
    );
    assert!(engine.wait(&id).await.expect("ended").out_of_memory);
}

#[tokio::test]
async fn output_is_followed_and_input_is_seen_to_end() {
    let engine = engine();
    engine.on_start(|_| Behaviour::Echo);
    let id = engine.create(&spec("run")).await.expect("created");
    let mut attached = engine.attach(&id, false).await.expect("attached");
    engine.start(&id).await.expect("started");
    let logs = engine.logs(&id, None, true).await.expect("logs");
    attached.input.write_all(b"hello").await.expect("written");
    attached.input.shutdown().await.expect("closed");
    assert_eq!(engine.wait(&id).await.expect("ended").code, 0);
    for stream in [attached.output, logs] {
        let outputs: Vec<_> = stream.map(|output| output.expect("output")).collect().await;
        let text: Vec<u8> = outputs.iter().flat_map(|o| o.bytes.to_vec()).collect();
        assert_eq!(text, b"hello");
    }
    assert_eq!(engine.input_of("run"), b"hello");
}

#[tokio::test]
async fn calls_fail_as_told_and_are_noted() {
    let engine = engine();
    engine.fail_next("create", 1, Fault::Refuse("disk full".to_owned()));
    engine.fail_next("list", 1, Fault::Hang);
    assert!(engine.create(&spec("a")).await.is_err());
    run(&engine, "a").await;
    let listing = tokio::time::timeout(Duration::from_millis(5), engine.list());
    assert!(listing.await.is_err());
    let mut events = engine.events().await.expect("events");
    engine.go_away();
    assert!(matches!(
        engine.list().await,
        Err(EngineError::Unreachable(_))
    ));
    assert!(events.next().await.is_none());
    engine.come_back();
    assert_eq!(engine.list().await.expect("list").len(), 1);
    engine.vanish("a");
    assert!(engine.list().await.expect("list").is_empty());
    let verbs: Vec<_> = engine.calls().iter().map(|call| call.verb).collect();
    assert_eq!(
        verbs,
        [
            "create", "create", "start", "list", "events", "list", "list", "list"
        ]
    );
}
