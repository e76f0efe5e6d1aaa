//! How it is with a certificate, for people.

use std::path::Path;

use jiff::Timestamp;

use crate::answer::{self, Answer, Verdict};
use crate::folder::{Folder, Name};
use crate::plan;
use crate::subject::{Subject, Way};

/// How it is with a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Clients that know of it refuse the certificate without an answer (RFC 7633).
    pub must_staple: bool,
    pub state: State,
}

/// What is known of whether it is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It names nobody who could be asked, as those of many authorities.
    Nobody,
    /// The first answer is not there yet.
    Pending,
    /// Clients get the word of its authority with the handshake, and until then.
    Good { until: Timestamp },
    /// Nothing is given to clients: they find out, or do not ask.
    Revoked {
        at: Timestamp,
        reason: Option<&'static str>,
    },
    /// There is no answer that holds, for this reason.
    Failing { why: String },
}

impl Status {
    pub(crate) fn of(
        subject: &Subject,
        answer: Option<&Answer>,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let held = answer.filter(|answer| answer.until > now);
        let state = match (&subject.way, held, failure) {
            (Way::Nobody, ..) => State::Nobody,
            (Way::Unusable(why), ..) => State::Failing {
                why: (*why).to_owned(),
            },
            (Way::Ask(_), Some(answer), _) => match answer.verdict {
                Verdict::Good => State::Good {
                    until: answer.until,
                },
                Verdict::Revoked { at, reason } => State::Revoked { at, reason },
            },
            (Way::Ask(_), None, Some(why)) => State::Failing {
                why: why.to_owned(),
            },
            (Way::Ask(_), None, None) => State::Pending,
        };
        Self {
            must_staple: subject.must_staple,
            state,
        }
    }

    /// What is wrong with the certificate for those who visit it, if anything is.
    pub fn trouble(&self) -> Option<String> {
        plan::trouble(self)
    }
}

/// How it is with a chain (PEM) as far as a server left it in `folder`, which is looked into and not changed; `None` of
/// what is no chain. Why an answer is missing only the server knows.
pub fn look(folder: &Path, chain: &str, now: Timestamp) -> Option<Status> {
    let subject = Subject::of(chain).ok()?;
    let answer = subject.asked().and_then(|asked| {
        let kept = Folder::new(folder).read(&Name::of(chain)).ok()??;
        answer::check(&kept, asked, now).ok()
    });
    Some(Status::of(
        &subject,
        answer.as_ref(),
        Some("see the server's log"),
        now,
    ))
}
