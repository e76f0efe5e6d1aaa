//! WebSockets that stay open: what is sent over each is to come back, and each that ends is opened again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::{Rig, wait};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(500);
/// For one to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// The life of one that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub opened: Instant,
    pub ended: Instant,
    pub how: String,
}

/// What became of all.
#[derive(Debug, Default)]
pub struct Lives {
    pub ended: Vec<Ended>,
    /// Why some could not be opened.
    pub refused: Vec<String>,
}

/// Sockets that stay open until they are stopped.
pub struct Sockets {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Lives>,
}

impl Sockets {
    /// Opens `count` at `/socket` of the app, and waits until messages come back over all of them.
    pub fn open(rig: &Rig, app: &str, count: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let one = Socket {
            address: ([127, 0, 0, 1], rig.port).into(),
            url: format!("ws://{app}.localhost/socket"),
            stop: stop.clone(),
            answered: answered.clone(),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let all: Vec<_> = (0..count)
                    .map(|_| tokio::spawn(one.clone().keep()))
                    .collect();
                let mut lives = Lives::default();
                for one in all {
                    let one = one.await.unwrap();
                    lives.ended.extend(one.ended);
                    lives.refused.extend(one.refused);
                }
                lives
            })
        });
        let open = wait(PATIENCE, || answered.load(Ordering::Relaxed) >= count);
        assert!(open, "not all WebSockets are open after {PATIENCE:?}");
        Self { stop, thread }
    }

    pub fn stop(self) -> Lives {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[derive(Clone)]
struct Socket {
    address: SocketAddr,
    url: String,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Socket {
    async fn keep(self) -> Lives {
        let mut lives = Lives::default();
        while !self.stop.load(Ordering::Relaxed) {
            let opening = async {
                let stream = TcpStream::connect(self.address)
                    .await
                    .map_err(|error| error.to_string())?;
                let opened = tokio_tungstenite::client_async(&self.url, stream).await;
                opened.map_err(|error| error.to_string())
            };
            let socket = match tokio::time::timeout(PATIENCE, opening).await {
                Ok(Ok((socket, _))) => socket,
                Ok(Err(error)) => {
                    lives.refused.push(error);
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(_) => {
                    lives.refused.push(format!("not open in {PATIENCE:?}"));
                    continue;
                }
            };
            let opened = Instant::now();
            if let Err(how) = self.talk(socket).await {
                let ended = Instant::now();
                lives.ended.push(Ended { opened, ended, how });
            }
        }
        lives
    }

    /// Until it ends, which is an error, or nobody wants it any more.
    async fn talk(
        &self,
        mut socket: tokio_tungstenite::WebSocketStream<TcpStream>,
    ) -> Result<(), String> {
        let mut number = 0u64;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            let text = format!("message {number}");
            let back = async {
                socket
                    .send(Message::text(text.clone()))
                    .await
                    .map_err(|error| error.to_string())?;
                match socket.next().await {
                    Some(Ok(Message::Text(back))) if back.as_str() == text => Ok(()),
                    Some(Ok(other)) => Err(format!("{other:?} instead of {text:?}")),
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("closed".to_owned()),
                }
            };
            match tokio::time::timeout(PATIENCE, back).await {
                Ok(outcome) => outcome?,
                Err(_) => return Err(format!("nothing came back in {PATIENCE:?}")),
            }
            self.answered
                .fetch_add(u64::from(number == 1), Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
