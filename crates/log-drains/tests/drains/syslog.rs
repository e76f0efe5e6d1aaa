//! Syslog sinks: plain, with TLS, deaf, mortal.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::rig::{CERT, KEY, Rig, quick, soon};

/// The next line, without its count; `None` at the end.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut count = String::new();
    loop {
        match soon(stream.read_u8()).await.ok()? {
            b' ' => break,
            digit => count.push(char::from(digit)),
        }
    }
    let mut line = vec![0; count.parse().unwrap()];
    soon(stream.read_exact(&mut line)).await.ok()?;
    let text = String::from_utf8(line).unwrap();
    Some(text.strip_suffix('\n').unwrap().to_owned())
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    soon(listener.accept()).await.unwrap().0
}

#[tokio::test]
async fn lines_arrive_in_order_with_counts_and_headers() {
    let rig = Rig::new().await;
    rig.write("web.1", "before the drain was there");
    let (listener, port) = listen().await;
    let drain = rig.add(&format!("syslog://127.0.0.1:{port}")).await;
    rig.write("web.1", "caf\u{e9}\nsecond line");
    rig.write("router", "at=info");
    let mut sink = accepted(&listener).await;
    for (priority, rest) in [
        (190, "app web.1 - caf\u{e9}"),
        (190, "app web.1 - second line"),
        (158, "heroku router - at=info"),
    ] {
        let line = frame(&mut sink).await.unwrap();
        let (head, time) = line.split_at(format!("<{priority}>1 ").len());
        assert_eq!(head, format!("<{priority}>1 "), "{line}");
        let (time, line) = time.split_once(' ').unwrap();
        assert!(time.ends_with("+00:00") && time.len() == 32, "{time}");
        assert_eq!(line, format!("{} {rest}", drain.token));
    }
    // Removed, it hangs up within a second.
    let began = std::time::Instant::now();
    rig.remove(&drain).await;
    assert_eq!(frame(&mut sink).await, None);
    assert!(began.elapsed().as_secs_f32() < 1.0);
}

#[tokio::test]
async fn lines_travel_encrypted_to_whom_the_roots_vouch_for() {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERT.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    let rig = Rig::new().await;
    rig.add(&format!("syslog+tls://localhost:{port}")).await;
    rig.write("web.1", "secret");
    let mut sink = soon(acceptor.accept(accepted(&listener).await))
        .await
        .unwrap();
    assert!(frame(&mut sink).await.unwrap().ends_with(" - secret"));

    // The name is not the certificate's, so nothing is sent, and the log says why.
    let (listener, port) = listen().await;
    let drain = rig.add(&format!("syslog+tls://127.0.0.1:{port}")).await;
    rig.write("web.1", "again");
    let refused = soon(acceptor.accept(accepted(&listener).await)).await;
    assert!(refused.is_err());
    let line = rig.said("Error L14").await;
    assert!(
        line.contains("heroku[logplex]") && line.contains(&drain.token),
        "{line}"
    );

    // Nobody vouches for it at all.
    let (listener, port) = listen().await;
    let stranger = Rig::with(&["127.0.0.0/8", "::1"], false, quick()).await;
    stranger
        .add(&format!("syslog+tls://localhost:{port}"))
        .await;
    stranger.write("web.1", "x");
    let refused = soon(acceptor.accept(accepted(&listener).await)).await;
    assert!(refused.is_err());
    stranger.said("Error L14").await;
}

#[tokio::test]
async fn a_sink_that_never_reads_holds_up_nobody_and_its_losses_are_said() {
    let rig = Rig::new().await;
    let ((deaf, deaf_port), (listener, port)) = (listen().await, listen().await);
    let slow = rig.add(&format!("syslog://127.0.0.1:{deaf_port}")).await;
    rig.write("web.1", "for the deaf one");
    let _held = accepted(&deaf).await;
    rig.add(&format!("syslog://127.0.0.1:{port}")).await;
    rig.write("web.1", "for both");
    let mut sink = accepted(&listener).await;
    assert!(frame(&mut sink).await.unwrap().ends_with("for both"));
    let text = "x".repeat(1000);
    let (mut n, mut said) = (0, None);
    // More than the buffers of both sides hold; each hundred is awaited at the sink that reads.
    while n < 200 || said.is_none() {
        for _ in 0..100 {
            rig.write("web.1", &text);
        }
        n += 1;
        let last = format!("round {n}");
        rig.write("web.1", &last);
        loop {
            let line = frame(&mut sink).await.unwrap();
            if line.ends_with(&last) {
                break;
            }
            if line.contains("heroku logplex - ") {
                said = Some(line);
            }
        }
        assert!(n < 20_000, "no loss was said");
    }
    let line = said.unwrap();
    let rest = line.split_once("heroku logplex - ").unwrap().1;
    let rest = rest
        .strip_prefix(&format!(
            "Error L10 (output buffer overflow): drain '{}' dropped ",
            slow.token
        ))
        .unwrap();
    let (count, since) = rest.split_once(" messages since ").unwrap();
    assert!(count.parse::<u64>().unwrap() > 0, "{line}");
    assert!(
        since.starts_with("20") && since.ends_with("+00:00."),
        "{line}"
    );
}

#[tokio::test]
async fn a_sink_that_is_not_there_yet_gets_what_was_kept_and_one_that_dies_is_called_again() {
    let rig = Rig::new().await;
    let (listener, port) = listen().await;
    drop(listener);
    rig.add(&format!("syslog://127.0.0.1:{port}")).await;
    for text in ["one", "two", "three"] {
        rig.write("web.1", text);
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut sink = accepted(&listener).await;
    for text in ["one", "two", "three"] {
        assert!(frame(&mut sink).await.unwrap().ends_with(text));
    }
    drop(sink);
    // What is written while nobody has noticed may be lost; from the next connection on, all is whole again.
    let mut number = 0;
    let mut sink = loop {
        number += 1;
        rig.write("web.1", &format!("line {number}"));
        let wait = std::time::Duration::from_millis(20);
        if let Ok(accepted) = tokio::time::timeout(wait, listener.accept()).await {
            break accepted.unwrap().0;
        }
    };
    rig.write("web.1", "the last");
    let mut lines = Vec::new();
    loop {
        let line = frame(&mut sink).await.unwrap();
        if line.ends_with("the last") {
            break;
        }
        let (_, count) = line.rsplit_once("line ").unwrap();
        lines.push(count.parse::<u32>().unwrap());
    }
    assert!(
        lines.windows(2).all(|two| two[1] == two[0] + 1),
        "{lines:?}"
    );
    assert!(lines.last().is_none_or(|last| *last == number), "{lines:?}");
}

#[tokio::test]
async fn what_is_in_the_buffer_is_sent_when_the_server_ends() {
    let mut rig = Rig::new().await;
    let (listener, port) = listen().await;
    rig.add(&format!("syslog://127.0.0.1:{port}")).await;
    rig.write("web.1", "0");
    let mut sink = accepted(&listener).await;
    for n in 1..500 {
        rig.write("web.1", &n.to_string());
    }
    rig.stop().await;
    for n in 0..500 {
        let line = frame(&mut sink).await.unwrap();
        assert!(line.ends_with(&format!("- {n}")), "{line}");
    }
    assert_eq!(frame(&mut sink).await, None);
}
