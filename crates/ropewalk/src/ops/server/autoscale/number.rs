//! Asks an app for a number of its own: dynos by HTTP, or a command in one of them. Bounded in time and size.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use reqwest::redirect::Policy;
use reqwest::{Client, header};
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_model::dyno::PORT;
use ropewalk_model::scaling::Source;
use ropewalk_model::{AppName, DynoId};
use ropewalk_scheduler::{NewInside, Scheduler, SchedulerError};

use super::prometheus;

/// For a dyno's answer.
const ANSWER: Duration = Duration::from_secs(2);
/// For a command.
const COMMAND: Duration = Duration::from_secs(8);
/// Longest answer, in bytes.
const MOST_TEXT: usize = 1 << 20;
/// Most that a command may write.
const MOST_OUTPUT: usize = 4096;
/// Dynos of a process type that are asked at the same time.
const PARALLEL: usize = 8;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) app: AppName,
    pub(super) name: String,
    pub(super) source: Source,
    /// Those that are ready.
    pub(super) dynos: Vec<DynoId>,
    /// Which of them is asked first, where one is.
    pub(super) turn: usize,
}

/// Asks; clones share connections.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    http: Client,
    scheduler: Scheduler,
    domain: String,
}

impl Asker {
    pub(super) fn new(scheduler: Scheduler, domain: String) -> Result<Self> {
        let http = Client::builder()
            .user_agent(concat!("ropewalk/", env!("CARGO_PKG_VERSION")))
            // Nothing here is encrypted, so no certificates are needed; and who answers is asked, nobody else.
            .tls_certs_only([])
            .no_proxy()
            .redirect(Policy::none())
            .timeout(ANSWER)
            .build()?;
        Ok(Self {
            http,
            scheduler,
            domain,
        })
    }

    /// The number, or why there is none, as a clause.
    pub(super) async fn ask(&self, question: &Question) -> Result<f64, String> {
        let Some(first) = question
            .dynos
            .get(question.turn % question.dynos.len().max(1))
        else {
            return Err("no dyno is up".to_owned());
        };
        match &question.source {
            Source::Command(command) => self.run(*first, command).await,
            Source::Path { path, shared } => {
                let addresses = self.scheduler.addresses_of(&question.dynos);
                if *shared {
                    let address = addresses.get(first).or(addresses.values().next());
                    let address = address.ok_or("no dyno is up")?;
                    return self.fetch(*address, path, question).await;
                }
                let asked = addresses
                    .into_values()
                    .map(|address| async move { self.fetch(address, path, question).await });
                let answers: Vec<_> = futures_util::stream::iter(asked)
                    .buffer_unordered(PARALLEL)
                    .collect()
                    .await;
                sum_of(answers)
            }
        }
    }

    async fn fetch(&self, address: IpAddr, path: &str, question: &Question) -> Result<f64, String> {
        let at = SocketAddr::new(address, PORT);
        let host = format!("{}.{}", question.app, self.domain);
        let text = get(&self.http, &format!("http://{at}{path}"), &host).await?;
        let name = &question.name;
        prometheus::sum(&text, name).ok_or_else(|| format!("{path} has no number called {name}"))
    }

    async fn run(&self, dyno: DynoId, command: &str) -> Result<f64, String> {
        let run = NewInside {
            dyno,
            command: command.to_owned(),
            env: [].into(),
            tty: false,
        };
        let refused = |error: SchedulerError| match error {
            SchedulerError::Refused(text) => text.trim_end_matches('.').to_owned(),
            _ => "the command could not be run".to_owned(),
        };
        let secret = self.scheduler.run_inside(run).await.map_err(refused)?;
        let attached = self.scheduler.attach(&secret).await.map_err(refused)?;
        let mut attached = attached.ok_or("the dyno has ended")?;
        let talk = async {
            // Who asks has nothing to say.
            let _ = attached.input.send(ToDyno::StdinClosed).await;
            let mut written = Vec::new();
            while let Some(frame) = attached.output.recv().await {
                match frame {
                    FromDyno::Stdout(bytes) => written.extend_from_slice(&bytes),
                    FromDyno::Exit(0) => return number(&written),
                    FromDyno::Exit(code) => return Err(format!("the command ended with {code}")),
                    _ => {}
                }
                if written.len() > MOST_OUTPUT {
                    return Err(format!("the command wrote more than {MOST_OUTPUT} bytes"));
                }
            }
            Err("the command's dyno has ended".to_owned())
        };
        // A terminal that goes ends the command.
        let late = || {
            Err(format!(
                "the command took more than {} s",
                COMMAND.as_secs()
            ))
        };
        tokio::time::timeout(COMMAND, talk)
            .await
            .unwrap_or_else(|_| late())
    }
}

/// What all dynos say together. Those that do not answer are taken to be as the others, which are half of them at least.
fn sum_of(answers: Vec<Result<f64, String>>) -> Result<f64, String> {
    let asked = answers.len();
    let (mut sum, mut answered, mut why) = (0.0, 0, None);
    for answer in answers {
        match answer {
            Ok(number) => (sum, answered) = (sum + number, answered + 1),
            Err(error) => why = Some(error),
        }
    }
    match answered {
        0 => Err(why.unwrap_or_else(|| "no dyno is up".to_owned())),
        few if few * 2 < asked => Err(format!(
            "{} of {asked} dynos do not tell: {}",
            asked - few,
            why.unwrap_or_default()
        )),
        enough => Ok(sum * asked as f64 / f64::from(u32::try_from(enough).unwrap_or(u32::MAX))),
    }
}

/// A command's one word.
fn number(written: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(written);
    let number: Option<f64> = text.trim().parse().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| "the command wrote no number".to_owned())
}

/// The text of an answer.
async fn get(http: &Client, url: &str, host: &str) -> Result<String, String> {
    let failed = |error: reqwest::Error| match error {
        error if error.is_timeout() => format!("no answer within {} s", ANSWER.as_secs()),
        error if error.is_connect() => "nobody listens on $PORT".to_owned(),
        _ => "the answer broke off".to_owned(),
    };
    let request = http
        .get(url)
        .header(header::HOST, host)
        // Else apps that want HTTPS send us there.
        .header("x-forwarded-proto", "https");
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.as_u16() != 200 {
        return Err(format!("the answer has status {}", status.as_u16()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        text.extend_from_slice(&chunk);
        if text.len() > MOST_TEXT {
            return Err("the answer has more than 1 MiB".to_owned());
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn those_who_answer_stand_for_the_others_if_they_are_half() {
        let no = || Err("no answer".to_owned());
        assert_eq!(sum_of(vec![Ok(1.0), Ok(2.0)]), Ok(3.0));
        assert_eq!(sum_of(vec![Ok(3.0), no()]), Ok(6.0));
        let told = sum_of(vec![Ok(3.0), no(), no()]).unwrap_err();
        assert_eq!(told, "2 of 3 dynos do not tell: no answer");
        assert_eq!(sum_of(vec![no()]).unwrap_err(), "no answer");
        assert_eq!(sum_of(Vec::new()).unwrap_err(), "no dyno is up");
    }

    #[test]
    fn a_command_writes_one_number() {
        assert_eq!(number(b" 12.5\n"), Ok(12.5));
        for odd in [&b""[..], b"12 jobs", b"NaN", b"\xff"] {
            assert!(number(odd).is_err(), "{odd:?}");
        }
    }

    /// A dyno that answers everybody with the same, and what it was asked.
    async fn ask(answer: Vec<u8>) -> (Result<String, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            let _ = stream.write_all(&answer).await;
            String::from_utf8_lossy(&asked[..length]).to_lowercase()
        });
        let http = Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .redirect(Policy::none())
            .timeout(ANSWER)
            .build()
            .unwrap();
        let got = get(&http, &format!("http://{at}/metrics"), "demo.localhost").await;
        (got, served.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limits_and_redirects_lead_nowhere() {
        let (got, asked) =
            ask(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\njobs 1".to_vec()).await;
        assert_eq!(got, Ok("jobs 1".to_owned()));
        for part in [
            "get /metrics ",
            "host: demo.localhost",
            "x-forwarded-proto: https",
        ] {
            assert!(asked.contains(part), "{part} in {asked}");
        }
        let mut long = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        long.resize(MOST_TEXT + 4096, b'x');
        assert!(ask(long).await.0.unwrap_err().contains("1 MiB"));
        let away =
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        assert!(ask(away.to_vec()).await.0.unwrap_err().contains("302"));
        assert!(ask(b"nonsense".to_vec()).await.0.is_err());
    }
}
