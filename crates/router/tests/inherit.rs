//! Sockets handed over by the parent, as systemd does it: numbers from 3 on, named in the environment.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use ropewalk_router::Listeners;

const EXPECTED: &str = "ROPEWALK_TEST_EXPECTED_ADDR";

#[test]
fn nothing_handed_over_is_nothing() {
    if std::env::var_os(EXPECTED).is_none() {
        assert!(Listeners::inherited().unwrap().is_empty());
    }
}

#[test]
fn a_handed_over_socket_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // A shell can put a descriptor at a given number without any unsafe code of ours.
    let status = Command::new("sh")
        .arg("-c")
        .arg("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:https exec \"$0\" --exact child --ignored 3<&0 4<&0")
        .arg(std::env::current_exe().unwrap())
        .env(EXPECTED, addr.to_string())
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "the child's part of a_handed_over_socket_is_taken"]
fn child() {
    let expected: SocketAddr = std::env::var(EXPECTED).unwrap().parse().unwrap();
    let listeners = Listeners::inherited().unwrap();
    assert_eq!(listeners.plain.len(), 1);
    assert_eq!(listeners.tls.len(), 1);
    assert_eq!(listeners.plain[0].local_addr().unwrap(), expected);
    assert_eq!(listeners.tls[0].local_addr().unwrap(), expected);
}
