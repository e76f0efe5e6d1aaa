//! One question, and its answer within its limits.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use ropewalk_api_types::router::DynoProtocol;
use ropewalk_engine::{Engine, EngineError, Exec, ExecSpec};
use ropewalk_model::check::{Answer, Probe};
use ropewalk_model::dyno::DYNO_UID;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Target;
use crate::launch::{self, LAUNCHER};
use crate::reconcile::Shared;

/// Of an answer's first line.
const MAX_LINE: usize = 4096;
/// Of what follows it, which is read only so that the dyno can end it in peace.
const MAX_REST: usize = 64 << 10;
const REST_WITHIN: Duration = Duration::from_millis(200);
/// Between two looks at whether a command has ended, which the engine does not tell by itself.
const LOOK: Duration = Duration::from_millis(50);

/// `None` when nothing was learnt about the dyno.
pub(super) async fn ask(shared: &Shared, target: &Target) -> Option<Answer> {
    let within = target.check.timeout;
    match &target.check.probe {
        Probe::Http { .. } if target.protocol == DynoProtocol::H2c => Some(Answer::Bad(
            "cannot be asked of dynos that speak h2c; declare `tcp` or `command`".to_owned(),
        )),
        Probe::Http { path, port } => {
            let addr = SocketAddr::new(target.ip, *port);
            Some(http(addr, &target.host, path, within).await)
        }
        Probe::Tcp { port } => Some(tcp(SocketAddr::new(target.ip, *port), within).await),
        Probe::Command(text) => command(shared, target, text, within).await,
    }
}

async fn tcp(addr: SocketAddr, within: Duration) -> Answer {
    match tokio::time::timeout(within, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => Answer::Good,
        Ok(Err(error)) => unreached(&error),
        Err(_) => late("took no connection", within),
    }
}

async fn http(addr: SocketAddr, host: &str, path: &str, within: Duration) -> Answer {
    let asked = async {
        let mut stream = TcpStream::connect(addr)
            .await
            .map_err(|error| unreached(&error))?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Ropewalk-Check\r\nAccept: */*\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nConnection: close\r\n\r\n"
        );
        let broke = |_| Answer::Bad("broke the connection off".to_owned());
        stream.write_all(head.as_bytes()).await.map_err(broke)?;
        let mut line = Vec::with_capacity(256);
        let mut chunk = [0; 512];
        while !line.contains(&b'\n') && line.len() < MAX_LINE {
            match stream.read(&mut chunk).await.map_err(broke)? {
                0 => break,
                length => line.extend_from_slice(&chunk[..length]),
            }
        }
        Ok((judge(&line), stream))
    };
    match tokio::time::timeout(within, asked).await {
        Ok(Ok((answer, stream))) => {
            let (mut rest, mut nowhere) = (stream.take(MAX_REST as u64), tokio::io::sink());
            let rest = tokio::io::copy(&mut rest, &mut nowhere);
            // What there is of it is nobody's affair.
            let _ = tokio::time::timeout(REST_WITHIN, rest).await;
            answer
        }
        Ok(Err(answer)) => answer,
        Err(_) => late("did not answer", within),
    }
}

/// By the first line of an answer.
fn judge(line: &[u8]) -> Answer {
    let status = || {
        let rest = line.strip_prefix(b"HTTP/1.")?;
        let digits = rest.get(2..5)?;
        let is_end = rest
            .get(5)
            .is_none_or(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
        let shaped = rest.get(1) == Some(&b' ') && digits.iter().all(u8::is_ascii_digit) && is_end;
        std::str::from_utf8(digits)
            .ok()
            .filter(|_| shaped)?
            .parse::<u16>()
            .ok()
    };
    match status() {
        Some(200..=399) => Answer::Good,
        Some(status) => Answer::Bad(format!("answered {status}")),
        None if line.is_empty() => Answer::Bad("broke the connection off".to_owned()),
        None => Answer::Bad("answered, but not in HTTP/1".to_owned()),
    }
}

async fn command(shared: &Shared, target: &Target, text: &str, within: Duration) -> Option<Answer> {
    let spec = ExecSpec {
        command: vec![LAUNCHER.to_owned(), text.to_owned()],
        env: launch::env_of(shared, target.dyno).await.ok()?,
        user: format!("{DYNO_UID}:{DYNO_UID}"),
        working_dir: "/app".to_owned(),
        tty: false,
    };
    let engine = shared.engine.as_ref();
    let exec = engine.exec(&target.container, &spec).await.ok()?;
    let id = exec.id.clone();
    match tokio::time::timeout(within, ended(engine, exec)).await {
        Ok(Some(0)) => Some(Answer::Good),
        Ok(Some(code)) => Some(Answer::Bad(format!("ended with {code}"))),
        Ok(None) => None,
        Err(_) => {
            if let Err(error) = engine.signal_exec(&id, "KILL").await {
                tracing::info!(dyno = %target.dyno, %error, "A check's command could not be ended.");
            }
            Some(late("did not end", within))
        }
    }
}

/// How it ended; `None` when that is not known, or when its dyno ended with it. What it writes is read and dropped.
async fn ended(engine: &dyn Engine, exec: Exec) -> Option<i64> {
    let Exec { id, attached } = exec;
    drop(attached.input);
    let mut output = attached.output;
    let drain = async {
        while let Some(Ok(_)) = output.next().await {}
        std::future::pending::<()>().await;
    };
    let code = async {
        loop {
            match engine.exec_exit(&id).await {
                Ok(Some(code)) => break Some(code),
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(EngineError::NotFound { .. }) => break None,
                Err(_) => break None,
            }
        }
    };
    tokio::select! {
        code = code => code,
        () = drain => None,
    }
}

fn unreached(error: &std::io::Error) -> Answer {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Answer::Bad("refused the connection".to_owned()),
        _ => Answer::Bad(format!("could not be reached ({error})")),
    }
}

fn late(what: &str, within: Duration) -> Answer {
    let seconds = match within.as_secs() {
        1 => "a second".to_owned(),
        seconds => format!("{seconds} seconds"),
    };
    Answer::Bad(format!("{what} within {seconds}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What a server that says this, and nothing if that is none, is found to be.
    async fn found(answer: Option<&'static [u8]>, closes: bool) -> (Answer, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            if let Some(answer) = answer {
                let _ = stream.write_all(answer).await;
            }
            if !closes {
                // Held until the other end has gone.
                let _ = stream.read_u8().await;
            }
            String::from_utf8(head).unwrap()
        });
        let answer = http(addr, "demo.example.com", "/up?a=1", SECOND).await;
        (answer, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_status_from_200_to_399_is_a_good_answer() {
        let (answer, head) = found(Some(b"HTTP/1.1 204 No Content\r\n\r\n"), true).await;
        assert_eq!(answer, Answer::Good);
        assert!(head.starts_with("GET /up?a=1 HTTP/1.1\r\nHost: demo.example.com\r\n"));
        let bad = |text: &str| Answer::Bad(text.to_owned());
        for (answer, wanted) in [
            (&b"HTTP/1.0 302 Found\r\n\r\n"[..], Answer::Good),
            (
                b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
                bad("answered 503"),
            ),
            (b"HTTP/1.1 100 Continue\r\n\r\n", bad("answered 100")),
            (b"HTTP/1.1 2000\r\n\r\n", bad("answered, but not in HTTP/1")),
            (b"+OK\r\n", bad("answered, but not in HTTP/1")),
            (b"", bad("broke the connection off")),
        ] {
            assert_eq!(found(Some(answer), true).await.0, wanted);
        }
    }

    #[tokio::test]
    async fn an_answer_is_waited_for_and_read_only_so_far() {
        let late = Answer::Bad("did not answer within a second".to_owned());
        assert_eq!(found(None, false).await.0, late);
        // Its head never ends, and it holds the connection.
        assert_eq!(
            found(Some(b"HTTP/1.1 200 OK\r\nA: "), false).await.0,
            Answer::Good
        );
        let endless: &'static [u8] = vec![b'x'; 1 << 20].leak();
        let odd = Answer::Bad("answered, but not in HTTP/1".to_owned());
        assert_eq!(found(Some(endless), false).await.0, odd);
    }

    #[tokio::test]
    async fn a_port_is_well_when_it_takes_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(tcp(addr, SECOND).await, Answer::Good);
        drop(listener);
        let refused = Answer::Bad("refused the connection".to_owned());
        assert_eq!(tcp(addr, SECOND).await, refused);
        assert_eq!(http(addr, "demo", "/", SECOND).await, refused);
    }
}
