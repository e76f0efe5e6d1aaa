//! Why an order failed, and what its people are told.

use instant_acme::{Error, Problem};
use ropewalk_model::acm::Outcome;

/// Longest text of an authority that is passed on, in characters.
const MOST: usize = 300;

/// Where problems of RFC 8555 have their names.
const NAMES: &str = "urn:ietf:params:acme:error:";

/// What people are told while nobody is to blame whom they know.
const AWAY: &str = "The certificate authority could not be asked. It is tried again by itself.";

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    /// For the app's people.
    pub(crate) reason: String,
    /// For the platform's log, where it says more.
    pub(crate) detail: String,
    /// The authority does not know our account.
    pub(crate) is_stranger: bool,
}

impl Failure {
    /// The name's fault.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            outcome: Outcome::Refused,
            detail: reason.clone(),
            reason,
            is_stranger: false,
        }
    }

    /// Not the name's fault.
    pub(crate) fn away(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Away,
            reason: AWAY.to_owned(),
            detail: detail.into(),
            is_stranger: false,
        }
    }

    /// It takes longer than is waited for. Not an outage, for it may be one name's servers that are slow; and not to be
    /// given up for.
    pub(crate) fn slow() -> Self {
        Self {
            outcome: Outcome::Limited,
            ..Self::refused("The certificate authority did not come to an end in time.")
        }
    }

    /// What the authority says of one name.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind.strip_prefix(NAMES).unwrap_or(kind);
        let said = problem.detail.clone().or_else(|| {
            let mut parts = problem.subproblems.iter();
            parts.find_map(|part| part.detail.clone())
        });
        let said = tame(&said.unwrap_or_else(|| kind.to_owned()));
        let outcome = match kind {
            "rateLimited" => Outcome::Limited,
            // Of the account and of the authority itself. Whatever is not known is taken for the name's, for this one
            // holds up all names.
            "accountDoesNotExist"
            | "badNonce"
            | "badPublicKey"
            | "badSignatureAlgorithm"
            | "externalAccountRequired"
            | "serverInternal"
            | "userActionRequired" => Outcome::Away,
            _ => Outcome::Refused,
        };
        Self {
            outcome,
            reason: match outcome {
                Outcome::Away => AWAY.to_owned(),
                _ => said,
            },
            detail: problem.to_string(),
            is_stranger: kind == "accountDoesNotExist",
        }
    }

    /// Whatever went wrong before a name was spoken of: it is not the name's fault.
    pub(crate) fn of_account(error: &Error) -> Self {
        let mut failure = Self::away(error.to_string());
        if let Error::Api(problem) = error {
            failure.is_stranger = Self::of_problem(problem).is_stranger;
        }
        failure
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(problem) => Self::of_problem(problem),
            Error::Timeout(_) => Self::slow(),
            error => Self::away(chain(error)),
        }
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = cause.source();
    }
    text
}

/// One line of bounded length: it goes into logs and terminals.
fn tame(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: Option<&str>) -> Problem {
        Problem {
            r#type: Some(format!("{NAMES}{kind}")),
            detail: detail.map(str::to_owned),
            status: None,
            subproblems: Vec::new(),
        }
    }

    #[test]
    fn a_name_is_blamed_for_what_it_can_change_and_for_nothing_else() {
        for (kind, outcome) in [
            ("dns", Outcome::Refused),
            ("connection", Outcome::Refused),
            ("unauthorized", Outcome::Refused),
            ("rateLimited", Outcome::Limited),
            ("serverInternal", Outcome::Away),
            ("badNonce", Outcome::Away),
            ("externalAccountRequired", Outcome::Away),
            ("userActionRequired", Outcome::Away),
            ("somethingNew", Outcome::Refused),
        ] {
            let failure = Failure::of_problem(&problem(kind, Some("said")));
            assert_eq!(failure.outcome, outcome, "{kind}");
            let blamed = failure.outcome != Outcome::Away;
            assert_eq!(failure.reason == "said", blamed, "{kind}");
        }
        assert!(Failure::of_problem(&problem("accountDoesNotExist", None)).is_stranger);
        assert_eq!(Failure::of_problem(&problem("caa", None)).reason, "caa");
        assert_eq!(
            Failure::from(Error::Timeout(None)).outcome,
            Outcome::Limited
        );
        let lost = Failure::from(Error::Str("anything"));
        assert_eq!(lost.outcome, Outcome::Away);
    }

    #[test]
    fn what_an_authority_says_is_one_bounded_line() {
        let long = "x".repeat(1000);
        let failure = Failure::of_problem(&problem("dns", Some(&format!("a\n\x1b[31m{long}"))));
        assert_eq!(failure.reason.chars().count(), MOST);
        assert!(!failure.reason.contains(char::is_control));
    }
}
