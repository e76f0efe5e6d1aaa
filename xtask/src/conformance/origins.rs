//! Messages that could be read in two ways, sent through the router to servers that others wrote: each tells what it
//! made of them, and none may see a request that nobody sent.
//!
//! The messages are those of the router's own tests (`crates/router/tests/smuggling/messages.rs`), and bent copies of
//! them. What is right is decided in [`judge`] alone, which has seen no socket.

mod bend;
mod judge;
#[path = "../../../crates/router/tests/smuggling/messages.rs"]
mod messages;
mod send;
mod server;

use std::thread;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use self::judge::{Heard, Verdict};
use self::messages::{FRAMINGS, Fate, HEADS, HTTP2, asked_by_http2, framed};
use self::server::{Kind, Server};
use super::Bed;
use crate::packages;

#[derive(Args)]
pub(super) struct Origins {
    /// Bent copies of the messages that are sent besides
    #[arg(long, default_value_t = 200)]
    bent: u32,
    /// By which they are chosen
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these servers
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    only: Vec<Kind>,
}

/// What is sent, under a path of its own.
struct Message {
    name: String,
    /// `/a` and its place in the list.
    path: String,
    bytes: Vec<u8>,
    fate: Fate,
}

impl Origins {
    pub(super) fn run(&self) -> Result<()> {
        let needed: Vec<_> = self.only.iter().map(|kind| kind.package()).collect();
        packages::ensure_only(&needed)?;
        let messages = messages(self.bent, self.seed);
        println!("{} messages to each server", messages.len());
        let heard = thread::scope(|scope| {
            let asked: Vec<_> = self
                .only
                .iter()
                .map(|kind| scope.spawn(|| ask(*kind, &messages)))
                .collect();
            let heard = asked.into_iter().map(|one| match one.join() {
                Ok(heard) => heard,
                Err(_) => Err(anyhow!("a client panicked")),
            });
            heard.collect::<Result<Vec<Heard>>>()
        })?;
        let mut wrong = 0;
        for (kind, heard) in self.only.iter().zip(&heard) {
            let verdict = Verdict::of(&messages, heard);
            println!("{:<9} {verdict}", kind.name());
            for fault in &verdict.wrong {
                println!("          {fault}");
            }
            wrong += verdict.wrong.len();
        }
        let differ = judge::differences(&messages, &heard);
        for difference in &differ {
            println!("          {difference}");
        }
        match wrong + differ.len() {
            0 => Ok(()),
            count => bail!("{count} messages were read in two ways"),
        }
    }
}

/// Every message in its order.
fn messages(bent: u32, seed: u64) -> Vec<Message> {
    let http1 = FRAMINGS
        .iter()
        .map(|(name, rest, fate)| (*name, framed(rest), *fate))
        .chain(
            HEADS
                .iter()
                .map(|(name, whole, fate)| (*name, (*whole).to_owned(), *fate)),
        );
    let mut all: Vec<Message> = Vec::new();
    for (name, text, fate) in http1 {
        let path = format!("/a{}", all.len());
        let bytes = under(&path, &text).into_bytes();
        all.push(Message {
            name: name.to_owned(),
            path,
            bytes,
            fate,
        });
    }
    let plain = all.len();
    for (name, fields, body, fate) in HTTP2 {
        let path = format!("/a{}", all.len());
        let fields: Vec<(&str, String)> = fields
            .iter()
            .map(|(name, value)| match *name {
                ":path" => (*name, under(&path, value)),
                _ => (*name, (*value).to_owned()),
            })
            .collect();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let bytes = asked_by_http2(&fields, body);
        all.push(Message {
            name: format!("HTTP/2, {name}"),
            path,
            bytes,
            fate: *fate,
        });
    }
    for (number, mut chance) in bend::chances(seed, bent).enumerate() {
        let path = format!("/a{}", all.len());
        let Some(origin) = all.get(number % plain.max(1)) else {
            break;
        };
        let bytes = bend::bent(&origin.bytes, &origin.path, &path, &mut chance);
        let name = format!("{}, bent ({})", origin.name, number + 1);
        all.push(Message {
            name,
            path,
            bytes,
            fate: Fate::Either,
        });
    }
    all
}

/// The message with its path, the last `/a` of its first line, exchanged.
fn under(path: &str, text: &str) -> String {
    let line = text.trim_end().find(" HTTP").unwrap_or(text.len());
    let (first, rest) = text.split_at(line);
    match first.rsplit_once("/a") {
        Some((before, behind)) => format!("{before}{path}{behind}{rest}"),
        None => text.to_owned(),
    }
}

/// Sends every message to one server through a router of its own; a plain request after each tells whether something
/// of it was left on the way.
fn ask(kind: Kind, messages: &[Message]) -> Result<Heard> {
    let server = Server::start(kind)?;
    let bed = Bed::over(server.address)?;
    let mut heard = Heard::default();
    for (number, message) in messages.iter().enumerate() {
        heard
            .answers
            .push(send::message(bed.plain, &message.bytes)?);
        let path = judge::probe(number);
        heard.probes.push(send::probe(bed.plain, &path)?);
    }
    heard.seen = server.seen(&judge::probe(messages.len().saturating_sub(1)))?;
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_a_path_of_its_own() {
        let all = messages(50, 1);
        assert_eq!(all.len(), FRAMINGS.len() + HEADS.len() + HTTP2.len() + 50);
        assert_eq!(
            under("/a7", "GET http://app.test/a HTTP/1.1\r\nX: /a\r\n"),
            "GET http://app.test/a7 HTTP/1.1\r\nX: /a\r\n"
        );
        assert_eq!(under("/a7", "\r\nGET /a HTTP/1.1"), "\r\nGET /a7 HTTP/1.1");
        for message in &all {
            let holds = |path: &str| {
                let wanted = path.as_bytes();
                message
                    .bytes
                    .windows(wanted.len())
                    .any(|part| part == wanted)
            };
            assert!(!holds("/a ") && !holds("/a\r"), "{}", message.name);
        }
    }
}
