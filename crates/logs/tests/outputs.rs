//! What readers of an output rely on: all of it, live, to its end.

#![allow(clippy::unwrap_used)] // support code of tests

use futures_util::StreamExt;
use ropewalk_logs::{MAX_OUTPUT, OutputError, Outputs};
use uuid::Uuid;

async fn all(outputs: &Outputs, id: Uuid) -> Vec<u8> {
    let mut stream = Box::pin(outputs.read(id).await.unwrap());
    let mut out = Vec::new();
    while let Some(bytes) = stream.next().await {
        out.extend(bytes.unwrap());
    }
    out
}

#[tokio::test]
async fn a_reader_sees_each_byte_as_it_comes_and_then_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let outputs = Outputs::open(dir.path()).unwrap();
    let id = Uuid::new_v4();
    assert!(matches!(
        outputs.read(id).await.err(),
        Some(OutputError::NotFound(_))
    ));
    let mut writer = outputs.create(id).unwrap();
    let mut stream = Box::pin(outputs.read(id).await.unwrap());
    writer.write(b"-----> one\n");
    assert_eq!(&stream.next().await.unwrap().unwrap()[..], b"-----> one\n");
    writer.write(b"-----> two\n");
    assert_eq!(&stream.next().await.unwrap().unwrap()[..], b"-----> two\n");
    drop(writer);
    assert!(stream.next().await.is_none());
    assert_eq!(all(&outputs, id).await, b"-----> one\n-----> two\n");
}

#[tokio::test]
async fn an_output_of_an_earlier_run_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let id = Uuid::new_v4();
    let first = Outputs::open(dir.path()).unwrap();
    let mut writer = first.create(id).unwrap();
    writer.write(b"half");
    let second = Outputs::open(dir.path()).unwrap();
    assert_eq!(all(&second, id).await, b"half");
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let outputs = Outputs::open(dir.path()).unwrap();
    let id = Uuid::new_v4();
    let mut writer = outputs.create(id).unwrap();
    for _ in 0..11 {
        writer.write(&vec![b'x'; 1 << 20]);
    }
    drop(writer);
    let out = all(&outputs, id).await;
    assert_eq!(
        out.iter().filter(|byte| **byte == b'x').count() as u64,
        MAX_OUTPUT
    );
    assert!(out.ends_with(b"the rest is not kept.\n"));
}

#[tokio::test]
async fn old_outputs_go_and_live_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let outputs = Outputs::open(dir.path()).unwrap();
    let live = Uuid::new_v4();
    let mut writer = outputs.create(live).unwrap();
    for _ in 0..250 {
        drop(outputs.create(Uuid::new_v4()).unwrap());
    }
    let kept = std::fs::read_dir(dir.path().join("outputs"))
        .unwrap()
        .count();
    assert!(kept <= 202, "{kept}");
    writer.write(b"still here");
    drop(writer);
    assert_eq!(all(&outputs, live).await, b"still here");
}
