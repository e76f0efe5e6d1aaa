//! What a client can say by HTTP/2 and no library would let through.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::messages::{Fields, HEADERS, HTTP2, asked_by_http2};
use crate::rig::DEADLINE;
use crate::{judge, strict_rig};

#[tokio::test]
async fn no_message_is_read_in_two_ways_after_http_2() {
    let mut cases: JoinSet<Result<(), String>> = HTTP2
        .iter()
        .map(|(name, fields, body, fate)| async move {
            let (rig, notes) = strict_rig().await;
            let answer = send_http2(rig.addr, fields, body).await;
            rig.shut_down().await;
            let notes = std::mem::take(&mut *notes.lock().unwrap());
            judge(*fate, &notes, &answer).map_err(|why| format!("{name}: {why}"))
        })
        .collect();
    let mut wrong = Vec::new();
    while let Some(case) = cases.join_next().await {
        wrong.extend(case.unwrap().err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// Sends fields as no library would let them through. The answer as HTTP/1.1 would say it: its status line, or nothing
/// when there is none.
async fn send_http2(addr: SocketAddr, fields: Fields, body: &str) -> String {
    let bytes = asked_by_http2(fields, body);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return String::new();
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return String::new();
            }
            match head[3] {
                RST_STREAM | GOAWAY => return String::new(),
                // The first field is the status: 200 and 400 are in the static table (RFC 7541, A), others are literal.
                HEADERS => {
                    return match payload.first() {
                        Some(0x88) => "HTTP/2 200 OK\r\n".to_owned(),
                        _ => "HTTP/2 400 \r\n".to_owned(),
                    };
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}
