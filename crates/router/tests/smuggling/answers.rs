//! What a dyno can say.

use ropewalk_router::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::rig::{Rig, app, body, raw_dyno, read_head, read_until, status, table};

/// What a dyno answers to the first request, and behind it on the same connection: the next request, which may be another
/// client's, must get its own answer.
const ANSWERS: &[(&str, &str, &str)] = &[
    (
        "GET",
        "two answers",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "a body longer than its length",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokevil",
    ),
    (
        "HEAD",
        "a body after HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "a body with 204",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "a body with 304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
    ),
    (
        "GET",
        "both framings",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nevil",
    ),
    (
        "GET",
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 6\r\n\r\nokevil",
    ),
    (
        "GET",
        "an answer behind an interim one",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nevil",
    ),
    (
        "GET",
        "chunks and more",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nevil",
    ),
];

#[tokio::test]
async fn what_a_dyno_says_too_much_is_nobodys_answer() {
    for (method, name, answer) in ANSWERS {
        let dyno = raw_dyno(move |stream: TcpStream| async move {
            let mut stream = tokio::io::BufReader::new(stream);
            while let Some(head) = read_head(&mut stream).await {
                let answer = match head.contains(" /good ") {
                    true => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
                    false => answer,
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let rig = Rig::fixed(table(1, app(&[dyno])), Limits::default()).await;
        let mut first = TcpStream::connect(rig.addr).await.unwrap();
        let request = format!("{method} /bad HTTP/1.1\r\nHost: app.test\r\n\r\n");
        first.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut first, "\r\n\r\n").await;
        assert!(!head.contains("evil"), "{name}: {head:?}");
        for _ in 0..3 {
            let next = rig.get("app.test", "/good").await;
            assert_eq!((status(&next), body(&next)), (200, "good"), "{name}");
        }
    }
}
