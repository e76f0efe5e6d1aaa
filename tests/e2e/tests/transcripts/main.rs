//! Every command of the CLI as a person sees it: transcripts, a file for each topic, played against one platform.
//!
//! A transcript is `$ …` lines with exactly what each prints, and `[exit N]` where that is not 0. A line is what bash
//! makes of it, in one session for the whole file, so that `cd` and variables stay. What differs from run to run is
//! told alike by the rules of `rules.rs`. `UPDATE_EXPECT=1` writes the files again, from the `$` lines they have;
//! `ROPEWALK_TEST_TRANSCRIPTS=apps,config` plays these only.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // support code of tests

mod coverage;
mod player;
mod rules;
mod session;
mod transcript;

use std::sync::Mutex;
use std::time::Instant;

use e2e::Rig;

use transcript::Transcript;

/// Topics that only an administrator of an otherwise empty platform can show, played first and one by one.
const BY_ADMINISTRATOR: [&str; 3] = ["users", "operator", "sizes"];
/// How many of the others are played at once.
const AT_ONCE: usize = 3;

#[test]
fn every_command_says_what_its_transcript_says() {
    let named = std::env::var("ROPEWALK_TEST_TRANSCRIPTS").unwrap_or_default();
    let all: Vec<Transcript> = Transcript::all()
        .into_iter()
        .filter(|one| named.is_empty() || named.split(',').any(|name| name == one.topic))
        .collect();
    let (first, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|one| BY_ADMINISTRATOR.contains(&one.topic.as_str()));

    let rig = Rig::start();
    let wrong = Mutex::new(Vec::new());
    let play = |transcript: &Transcript| {
        let began = Instant::now();
        let played = player::play(&rig, transcript);
        let differences = transcript.compare_or_update(&played);
        let seconds = began.elapsed().as_secs_f64();
        let word = if differences.is_empty() { "" } else { "WRONG" };
        eprintln!("{:<16} {seconds:>5.1} s  {word}", transcript.topic);
        wrong.lock().unwrap().extend(differences);
    };
    first.iter().for_each(play);
    let waiting = Mutex::new(rest.iter());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some(transcript) = next else { return };
                    play(transcript);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} commands do not say what their transcripts say; UPDATE_EXPECT=1 writes what they say now\n\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_command_stands_in_a_transcript() {
    let missing = coverage::missing(&Transcript::all());
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
