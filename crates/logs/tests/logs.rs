//! What readers of a log rely on: order, no loss and no doubling, over a restart, and nothing left of what is
//! forgotten.

#![allow(clippy::unwrap_used)] // support code of tests

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use ropewalk_logs::{Filter, Logs};
use ropewalk_model::AppId;
use ropewalk_model::log_line::LogSource;
use uuid::Uuid;

const APP: AppId = AppId(Uuid::from_u128(7));

fn write(logs: &Logs, process: &str, text: &str) {
    logs.append(
        APP,
        Timestamp::now(),
        LogSource::App,
        process,
        text.as_bytes(),
    );
}

fn last(lines: usize) -> Filter {
    Filter {
        lines: Some(lines),
        ..Filter::default()
    }
}

async fn texts(logs: &Logs, filter: &Filter) -> Vec<String> {
    let entries = logs.read(APP, filter).await.unwrap();
    entries.iter().map(|entry| entry.text.to_string()).collect()
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[tokio::test]
async fn the_last_lines_that_match_are_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    for n in 0..5 {
        write(&logs, "web.1", &format!("web {n}"));
        write(&logs, "worker.1", &format!("worker {n}"));
    }
    logs.append(
        APP,
        Timestamp::now(),
        LogSource::Heroku,
        "router",
        b"at=info\n",
    );
    assert_eq!(
        texts(&logs, &last(3)).await,
        ["web 4", "worker 4", "at=info"]
    );
    let web = Filter {
        process: Some("web".into()),
        ..last(2)
    };
    assert_eq!(texts(&logs, &web).await, ["web 3", "web 4"]);
    let heroku = Filter {
        source: Some(LogSource::Heroku),
        ..last(10)
    };
    assert_eq!(texts(&logs, &heroku).await, ["at=info"]);
    assert_eq!(texts(&logs, &last(0)).await, [""; 0]);
}

#[tokio::test]
async fn logs_and_their_numbers_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "one\ntwo\n");
    let before = logs.read(APP, &last(1)).await.unwrap()[0].seq;
    logs.flush().await;
    drop(logs);

    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "three");
    assert_eq!(texts(&logs, &last(9)).await, ["one", "two", "three"]);
    let mut behind = logs
        .follow(APP, Filter::default(), Some(before))
        .await
        .unwrap();
    assert_eq!(&*behind.next().await.unwrap().text, "three");
}

#[tokio::test]
async fn a_follower_gets_backlog_and_live_lines_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    for n in 0..100 {
        write(&logs, "web.1", &n.to_string());
    }
    let writer = logs.clone();
    let writing = tokio::task::spawn_blocking(move || {
        for n in 100..1000 {
            write(&writer, "web.1", &n.to_string());
        }
    });
    let stream = logs
        .follow(APP, last(1500), None)
        .await
        .unwrap()
        .into_stream();
    let seen: Vec<String> = stream
        .take(1000)
        .map(|entry| entry.text.to_string())
        .collect()
        .await;
    writing.await.unwrap();
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn resuming_behind_a_number_neither_loses_nor_doubles() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    for round in 0..10 {
        for n in 0..7 {
            write(&logs, "web.1", &format!("{round}.{n}"));
        }
        let mut follow = logs.follow(APP, last(100), after).await.unwrap();
        for _ in 0..5 {
            let entry = follow.next().await.unwrap();
            after = Some(entry.seq);
            seen.push(entry.text.to_string());
        }
    }
    let expected: Vec<String> = (0..10)
        .flat_map(|round| (0..7).map(move |n| format!("{round}.{n}")))
        .take(50)
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_slow_follower_is_told_how_many_lines_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let mut follow = logs.follow(APP, last(0), None).await.unwrap();
    for n in 0..2000 {
        write(&logs, "web.1", &n.to_string());
    }
    let first = follow.next().await.unwrap();
    assert!(first.text.starts_with("Error L11"), "{first:?}");
    assert!(first.text.contains(" 500 lines"), "{first:?}");
    assert_eq!(first.source, LogSource::Heroku);
    let second = follow.next().await.unwrap();
    assert_eq!(&*second.text, "500");
    assert!(first.seq < second.seq);
}

#[tokio::test]
async fn a_follower_that_waits_is_woken_and_ends_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "old");
    let mut follow = logs.follow(APP, last(1), None).await.unwrap();
    assert_eq!(&*follow.next().await.unwrap().text, "old");
    let waiting = tokio::spawn(async move {
        let new = follow.next().await.map(|entry| entry.text.to_string());
        (new, follow.next().await.is_none())
    });
    tokio::task::yield_now().await;
    write(&logs, "web.1", "new");
    logs.flush().await;
    // The first line must be out before the log goes.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !waiting.is_finished() && tokio::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
        if !texts(&logs, &last(1)).await.is_empty() {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            logs.forget(APP);
        }
    }
    assert_eq!(waiting.await.unwrap(), (Some("new".to_owned()), true));
    logs.flush().await;
    assert_eq!(files(dir.path()), 0);
    assert!(texts(&logs, &last(9)).await.is_empty());
}

#[tokio::test]
async fn what_is_forgotten_stays_so_and_what_a_crash_left_goes() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "one");
    logs.forget(APP);
    write(&logs, "web.1", "from a dyno that is still ending");
    logs.flush().await;
    assert_eq!(files(dir.path()), 0);
    drop(logs);

    for name in [format!("{APP}.log"), format!("{APP}.log.1")] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    std::fs::create_dir(dir.path().join("outputs")).unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    logs.retain(&HashSet::from([APP])).unwrap();
    logs.flush().await;
    assert_eq!(files(dir.path()), 3);
    logs.retain(&HashSet::new()).unwrap();
    logs.flush().await;
    assert_eq!(files(dir.path()), 1);
}

#[tokio::test]
async fn memory_and_disk_stay_bounded_under_a_flood() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    let line = "x".repeat(10_000);
    for _ in 0..3000 {
        write(&logs, "web.1", &line);
    }
    logs.flush().await;
    let kept = logs.read(APP, &Filter::default()).await.unwrap();
    let bytes: usize = kept.iter().map(|entry| entry.text.len()).sum();
    assert!(bytes <= 4 << 20, "{bytes}");
    assert!(!kept.is_empty());
}

#[tokio::test]
async fn a_tap_that_falls_behind_loses_the_oldest_lines_and_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "of an earlier run");
    logs.flush().await;
    drop(logs);
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "0");
    texts(&logs, &last(9)).await;
    let tap = logs.tap(APP, 0, 100).unwrap();
    for n in 1..=40 {
        write(&logs, "web.1", &n.to_string());
    }
    let taken = |lines, bytes| -> Vec<String> {
        let entries = tap.take(lines, bytes);
        entries.iter().map(|entry| entry.text.to_string()).collect()
    };
    assert_eq!(taken(2, 1 << 20), ["0", "1"]);
    assert_eq!(taken(2, 1), ["2"]);
    assert!(!tap.is_empty());
    for n in 41..2000 {
        write(&logs, "web.1", &n.to_string());
    }
    assert!(tap.wait(100).await);
    assert_eq!(tap.dropped(), 1900 - 3);
    assert_eq!(taken(1, 1 << 20), ["1900"]);
    assert_eq!(taken(1000, 1 << 20).len(), 99);
    assert!(tap.is_empty());
    assert_eq!((tap.dropped(), taken(9, 9).len()), (0, 0));
    let from = logs.read(APP, &last(2)).await.unwrap()[0].seq;
    let late = logs.tap(APP, from, 100).unwrap();
    assert_eq!(late.take(9, 1 << 20).len(), 1);
    logs.forget(APP);
    assert!(!tap.wait(1).await);
    assert!(logs.tap(APP, 0, 100).is_none());
}

#[tokio::test]
async fn who_resumes_gets_from_disk_what_memory_does_not_keep_and_is_told_of_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(dir.path()).unwrap();
    write(&logs, "web.1", "seen");
    let seen = logs.read(APP, &last(1)).await.unwrap()[0].seq;
    for n in 0..4000 {
        write(&logs, "web.1", &n.to_string());
        write(&logs, "worker.1", "of no interest");
        if n % 100 == 0 {
            logs.flush().await;
        }
    }
    let web = Filter {
        process: Some("web".into()),
        ..Filter::default()
    };
    let mut follow = logs.follow(APP, web.clone(), Some(seen)).await.unwrap();
    for n in 0..4000 {
        assert_eq!(&*follow.next().await.unwrap().text, n.to_string());
    }
    write(&logs, "web.1", "live");
    assert_eq!(&*follow.next().await.unwrap().text, "live");

    let long = "x".repeat(9000);
    for _ in 0..600 {
        write(&logs, "web.1", &long);
        logs.flush().await;
    }
    let mut follow = logs.follow(APP, web.clone(), Some(seen)).await.unwrap();
    let gap = follow.next().await.unwrap();
    assert!(gap.text.starts_with("Error L11"), "{}", gap.text);
    assert!(gap.seq > seen);
    let next = follow.next().await.unwrap();
    assert_eq!(&*next.text, long);
    // Behind the gap there is none.
    let mut follow = logs.follow(APP, web, Some(gap.seq)).await.unwrap();
    assert_eq!(follow.next().await.unwrap().seq, next.seq);
}
