//! An attached process from its start to its end: what its terminal sends, what it writes, and who ends it. Knows the
//! engine and two channels; rows and names are its caller's.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_engine::{
    Attached, BoxStream, ContainerId, Engine, EngineError, Output, OutputStream,
};
use ropewalk_model::dyno::STOP_GRACE;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Between two looks at whether an exec has ended, which the engine does not tell by itself.
const LOOK: Duration = Duration::from_millis(50);
/// Exit code of what went with its container.
const KILLED: i64 = 137;
/// Frames of input that wait for the dyno to read; what is more waits on the terminal's side.
const WAITING_INPUT: usize = 4;
/// Between SIGHUP and SIGTERM when the terminal is gone.
const HANG_UP_GRACE: Duration = Duration::from_secs(5);
/// For the last output of a dyno that was stopped to reach its terminal.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The terminal, as the dyno sees it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) input: mpsc::Receiver<ToDyno>,
    pub(super) output: mpsc::Sender<FromDyno>,
}

/// What the terminal is attached to.
#[derive(Debug)]
pub(super) enum Process {
    /// The first process of a container, which ends with it.
    Dyno(ContainerId),
    /// Another one in a container, by the engine's name for it. The container goes on without it.
    Exec(String),
}

/// Serves until the command has ended, the terminal is gone (the command gets SIGHUP then), or `stopped` is over:
/// that future ends once the container has, or was made to because somebody asked for it.
///
/// Nothing here waits for anything else: a process that does not read still shows what it writes, and one that is not
/// read from is still hung up and stopped.
pub(super) async fn serve(
    engine: &dyn Engine,
    process: &Process,
    attached: Attached,
    client: Client,
    stopped: impl Future<Output = ()>,
) {
    let (stdin, waiting) = mpsc::channel(WAITING_INPUT);
    tokio::select! {
        () = show(engine, process, attached.output, &client.output) => {}
        () = feed(attached.input, waiting) => {}
        () = listen(engine, process, client.input, stdin) => hang_up(engine, process).await,
        () = client.output.closed() => hang_up(engine, process).await,
        () = async { stopped.await; tokio::time::sleep(LAST_WORDS).await } => {}
    }
}

/// Output, then the exit code.
async fn show(
    engine: &dyn Engine,
    process: &Process,
    mut output: BoxStream<ropewalk_engine::Result<Output>>,
    client: &mpsc::Sender<FromDyno>,
) {
    let written = async {
        while let Some(Ok(chunk)) = output.next().await {
            let frame = match chunk.stream {
                OutputStream::Stdout => FromDyno::Stdout(chunk.bytes),
                OutputStream::Stderr => FromDyno::Stderr(chunk.bytes),
            };
            // A terminal that is gone is seen elsewhere.
            if client.send(frame).await.is_err() {
                return;
            }
        }
    };
    let (code, ()) = tokio::join!(process.ended(engine), written);
    let _ = client.send(FromDyno::Exit(code)).await;
}

/// Writes input for as long as the dyno takes it, and closes it when no more comes. Never ends: that the input is
/// over does not end the dyno.
async fn feed(mut input: Pin<Box<dyn AsyncWrite + Send>>, mut waiting: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = waiting.recv().await {
        if input.write_all(&bytes).await.is_err() || input.flush().await.is_err() {
            break;
        }
    }
    // A dyno that closed its input itself needs to be told nothing.
    let _ = input.shutdown().await;
    drop(waiting);
    pending().await
}

/// Takes what the terminal sends, in its order; ends when the terminal is gone.
async fn listen(
    engine: &dyn Engine,
    process: &Process,
    mut frames: mpsc::Receiver<ToDyno>,
    stdin: mpsc::Sender<Bytes>,
) {
    let mut stdin = Some(stdin);
    while let Some(frame) = frames.recv().await {
        match frame {
            ToDyno::Stdin(bytes) => {
                if let Some(stdin) = &stdin {
                    // Refused once the dyno takes no more input, which is its own affair.
                    let _ = stdin.send(bytes).await;
                }
            }
            ToDyno::StdinClosed => stdin = None,
            ToDyno::Resize { rows, columns } => {
                process.resize(engine, rows, columns).await;
            }
            ToDyno::Signal(name) => {
                process.signal(engine, &name).await;
            }
        }
    }
}

/// The terminal is gone.
async fn hang_up(engine: &dyn Engine, process: &Process) {
    process.signal(engine, "HUP").await;
    let ended = tokio::time::timeout(HANG_UP_GRACE, process.ended(engine)).await;
    if ended.is_err() {
        process.stop(engine).await;
    }
}

impl Process {
    /// Waits until it has ended; its exit code, or -1 when that cannot be learnt.
    async fn ended(&self, engine: &dyn Engine) -> i64 {
        match self {
            Self::Dyno(container) => engine.wait(container).await.map_or(-1, |exit| exit.code),
            Self::Exec(exec) => loop {
                match engine.exec_exit(exec).await {
                    Ok(Some(code)) => break code,
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    Err(EngineError::NotFound { .. }) => break KILLED,
                    Err(_) => break -1,
                }
            },
        }
    }

    /// A terminal that cannot be resized is still one.
    async fn resize(&self, engine: &dyn Engine, rows: u16, columns: u16) {
        let _ = match self {
            Self::Dyno(container) => engine.resize(container, rows, columns).await,
            Self::Exec(exec) => engine.resize_exec(exec, rows, columns).await,
        };
    }

    /// One that does not arrive is seen by what does not happen.
    async fn signal(&self, engine: &dyn Engine, name: &str) {
        let _ = match self {
            Self::Dyno(container) => engine.signal(container, name).await,
            Self::Exec(exec) => engine.signal_exec(exec, name).await,
        };
    }

    /// SIGTERM, grace, SIGKILL.
    async fn stop(&self, engine: &dyn Engine) {
        match self {
            Self::Dyno(container) => {
                let _ = engine.stop(container, STOP_GRACE).await;
            }
            Self::Exec(_) => {
                self.signal(engine, "TERM").await;
                let ended = tokio::time::timeout(STOP_GRACE, self.ended(engine)).await;
                if ended.is_err() {
                    self.signal(engine, "KILL").await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use ropewalk_engine::ContainerSpec;
    use ropewalk_engine::fake::{Behaviour, FakeEngine};
    use ropewalk_model::InstanceId;
    use tokio::io::AsyncReadExt;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// Longer than anything here takes on a busy machine, and on the paused clock.
    const PATIENCE: Duration = Duration::from_secs(120);

    async fn running(behaviour: Behaviour) -> (FakeEngine, ContainerId, Process) {
        let engine = FakeEngine::new(InstanceId::parse("0a1b2c3d").unwrap());
        engine.on_start(move |_| behaviour.clone());
        let spec = ContainerSpec {
            name: "run".to_owned(),
            ..Default::default()
        };
        let container = engine.create(&spec).await.unwrap();
        engine.start(&container).await.unwrap();
        let process = Process::Dyno(container.clone());
        (engine, container, process)
    }

    fn forever() -> Behaviour {
        Behaviour::RunForever { listen: false }
    }

    fn client() -> (Client, mpsc::Sender<ToDyno>, mpsc::Receiver<FromDyno>) {
        let (to_dyno, input) = mpsc::channel(32);
        let (output, from_dyno) = mpsc::channel(32);
        (Client { input, output }, to_dyno, from_dyno)
    }

    /// A dyno that never reads: its input takes one byte and no more. The other end must be kept.
    fn deaf() -> (Attached, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1);
        let attached = Attached {
            input: Box::pin(near),
            output: stream::pending().boxed(),
        };
        (attached, far)
    }

    #[tokio::test]
    async fn a_dyno_may_write_while_it_is_written_to() {
        const FRAMES: usize = 64;
        const FRAME: usize = 64 << 10;
        let (engine, container, process) = running(forever()).await;
        // It reads no more until what it wrote is taken, as a pipe's writer does.
        let (near, mut far) = tokio::io::duplex(1024);
        let (written, output) = mpsc::channel(1);
        let echo = {
            let (engine, container) = (engine.clone(), container.clone());
            async move {
                let mut chunk = vec![0; 4096];
                while let Ok(length @ 1..) = far.read(&mut chunk).await {
                    let bytes = Bytes::copy_from_slice(&chunk[..length]);
                    let output = Output {
                        stream: OutputStream::Stdout,
                        at: None,
                        bytes,
                    };
                    written.send(Ok(output)).await.unwrap();
                }
                engine.signal(&container, "TERM").await.unwrap();
            }
        };
        let attached = Attached {
            input: Box::pin(near),
            output: stream::unfold(output, |mut output| async {
                Some((output.recv().await?, output))
            })
            .boxed(),
        };
        let (client, to_dyno, mut from_dyno) = client();
        let send = async {
            for _ in 0..FRAMES {
                let frame = ToDyno::Stdin(Bytes::from(vec![b'x'; FRAME]));
                to_dyno.send(frame).await.unwrap();
            }
            to_dyno.send(ToDyno::StdinClosed).await.unwrap();
        };
        let receive = async {
            let mut length = 0;
            loop {
                match from_dyno.recv().await.unwrap() {
                    FromDyno::Stdout(bytes) => length += bytes.len(),
                    FromDyno::Exit(code) => return (length, code),
                    other => panic!("{other:?}"),
                }
            }
        };
        let all = async {
            tokio::join!(
                serve(&engine, &process, attached, client, pending()),
                echo,
                send,
                receive
            )
        };
        let (.., seen) = tokio::time::timeout(PATIENCE, all).await.unwrap();
        assert_eq!(seen, (FRAMES * FRAME, 143));
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_that_goes_is_seen_while_input_waits() {
        let (engine, _container, process) = running(forever()).await;
        let (attached, _far) = deaf();
        let (client, to_dyno, from_dyno) = client();
        let leave = async move {
            // More than the dyno and all that waits for it take.
            for _ in 0..WAITING_INPUT + 8 {
                let frame = ToDyno::Stdin(Bytes::from_static(b"more"));
                to_dyno.send(frame).await.unwrap();
            }
            drop(from_dyno);
            to_dyno
        };
        let both =
            async { tokio::join!(serve(&engine, &process, attached, client, pending()), leave) };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
        let verbs: Vec<&str> = engine.calls().iter().map(|call| call.verb).collect();
        assert!(verbs.ends_with(&["signal", "wait", "stop"]), "{verbs:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dyno_that_is_stopped_tells_its_terminal_how_it_ended() {
        for (behaviour, code) in [
            (forever(), 143),
            (Behaviour::IgnoreTerm { listen: false }, 137),
        ] {
            let (engine, container, process) = running(behaviour).await;
            let attached = engine.attach(&container, false).await.unwrap();
            let (client, _to_dyno, mut from_dyno) = client();
            let asked = CancellationToken::new();
            let stopped = async {
                asked.cancelled().await;
                engine.stop(&container, STOP_GRACE).await.unwrap();
            };
            let serving = serve(&engine, &process, attached, client, stopped);
            let ask = async { asked.cancel() };
            let both = async { tokio::join!(serving, ask) };
            tokio::time::timeout(PATIENCE, both).await.unwrap();
            assert_eq!(from_dyno.recv().await, Some(FromDyno::Exit(code)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_terminal_that_takes_nothing_does_not_keep_a_stopped_dyno() {
        let (engine, container, process) = running(forever()).await;
        let line = || {
            Ok(Output {
                stream: OutputStream::Stdout,
                at: None,
                bytes: Bytes::from_static(b"line\n"),
            })
        };
        let attached = Attached {
            input: Box::pin(tokio::io::sink()),
            output: stream::repeat_with(line).boxed(),
        };
        let (client, _to_dyno, _from_dyno) = client();
        let stopped = async {
            engine.stop(&container, STOP_GRACE).await.unwrap();
        };
        let serving = serve(&engine, &process, attached, client, stopped);
        tokio::time::timeout(PATIENCE, serving).await.unwrap();
    }
}
