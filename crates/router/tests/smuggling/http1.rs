//! What a client can say by HTTP/1.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::messages::{FRAMINGS, Fate, HEADS, framed};
use crate::rig::read_all;
use crate::strict::Strict;
use crate::{judge, strict_rig};

#[tokio::test]
async fn no_message_is_read_in_two_ways() {
    let post = |(name, rest, fate): &(&str, &str, Fate)| (name.to_string(), framed(rest), *fate);
    let whole =
        |(name, message, fate): &(&str, &str, Fate)| (name.to_string(), message.to_string(), *fate);
    let messages = FRAMINGS.iter().map(post).chain(HEADS.iter().map(whole));
    let mut cases: JoinSet<Result<(), String>> = messages
        .map(|(name, message, fate)| async move {
            let (notes, answer) = send(message.as_bytes()).await;
            judge(fate, &notes, &answer).map_err(|why| format!("{name}: {why}"))
        })
        .collect();
    let mut wrong = Vec::new();
    while let Some(case) = cases.join_next().await {
        wrong.extend(case.unwrap().err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends a message to a router of its own: what the dyno noted, and the answer.
async fn send(message: &[u8]) -> (Strict, String) {
    let (rig, notes) = strict_rig().await;
    let mut stream = TcpStream::connect(rig.addr).await.unwrap();
    // The router may be done with it before all is written.
    let _ = stream.write_all(message).await;
    let answer = read_all(&mut stream).await;
    let notes = std::mem::take(&mut *notes.lock().unwrap());
    (notes, answer)
}
