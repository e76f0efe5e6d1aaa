//! Attached dynos, over a real socket.

use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use ropewalk_api_types::attach::{FromDyno, SUBPROTOCOL, ToDyno};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::rig::Rig;

/// Serves the rig until the returned guard goes.
pub(crate) async fn serve(rig: &Rig) -> (String, tokio::task::JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = rig.router.clone();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("ws://{address}/ropewalk/attach"), server)
}

/// A one-off dyno of the app `demo`: the secret to attach by.
async fn attached(rig: &Rig) -> &'static str {
    let app = rig.app("demo").await;
    rig.deploy(app, &[("web", "x")]).await;
    let asked = serde_json::json!({"command": "bash", "attach": true});
    rig.call("POST", "/apps/demo/dynos", asked)
        .await
        .expect(201);
    "s3cret"
}

#[tokio::test]
async fn frames_go_both_ways_up_to_the_exit_code() {
    let rig = Rig::new().await;
    let (base, _server) = serve(&rig).await;
    let mut request = format!("{base}/{}", attached(&rig).await)
        .into_client_request()
        .unwrap();
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );
    let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);

    // More than any buffer on the way holds, sent while it comes back.
    let block = bytes::Bytes::from(vec![b'x'; 64 << 10]);
    let (mut sink, mut stream) = socket.split();
    let sending = async {
        for _ in 0..64 {
            let frame = ToDyno::Stdin(block.clone()).encode();
            sink.send(Message::Binary(frame)).await.unwrap();
        }
        for frame in [
            ToDyno::Resize {
                rows: 33,
                columns: 101,
            },
            ToDyno::Signal("INT".into()),
            ToDyno::StdinClosed,
        ] {
            sink.send(Message::Binary(frame.encode())).await.unwrap();
        }
        sink
    };
    let receiving = async {
        let (mut stdout, mut stderr, mut exit) = (0, Vec::new(), None);
        while let Some(Ok(message)) = stream.next().await {
            let Message::Binary(frame) = message else {
                continue;
            };
            match FromDyno::decode(&frame).unwrap() {
                FromDyno::Stdout(bytes) => stdout += bytes.len(),
                FromDyno::Stderr(bytes) => stderr.push(String::from_utf8(bytes.to_vec()).unwrap()),
                FromDyno::Exit(code) => exit = Some(code),
            }
        }
        (stdout, stderr, exit)
    };
    let (sink, (stdout, stderr, exit)) = tokio::join!(sending, receiving);
    socket = sink.reunite(stream).unwrap();
    drop(socket);
    assert_eq!(stdout, 4 << 20);
    assert_eq!(stderr, ["33x101", "INT"]);
    assert_eq!(exit, Some(7));
}

#[tokio::test]
async fn a_wrong_secret_and_a_plain_request_are_refused() {
    let rig = Rig::new().await;
    let (base, _server) = serve(&rig).await;
    // A secret that was not given to anybody opens nothing.
    for wrong in ["wrong", "s3cret"] {
        match tokio_tungstenite::connect_async(format!("{base}/{wrong}")).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 404),
            other => panic!("{other:?}"),
        }
    }
    let plain = rig
        .get(&format!("/ropewalk/attach/{}", attached(&rig).await))
        .await;
    plain.refused(400, "bad_request");
}
