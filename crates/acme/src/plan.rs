//! What is due for which domain: a pure function of what is wanted, what was tried, the policy and the time.
//!
//! It is asked again on every signal and every few seconds; what it says depends on nothing that it said before.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use ropewalk_model::AppId;
use ropewalk_model::acm::{AcmStatus, Challenge, Outcome};
use ropewalk_store::AcmeOrder;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::certificate::{WARNING, is_near};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Bounds. The numbers stay below those of the well-known authorities, so that these never have to say no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// TLS is spoken here, so a name can be proven by it.
    pub tls: bool,
    /// TXT records can be set.
    pub dns: bool,
    /// Orders under way at the same time.
    pub at_once: usize,
    /// Orders in an hour, for all names, for one app's, and for one name. Of the first, a fifth is kept for renewals.
    pub hourly: usize,
    pub hourly_of_app: usize,
    pub hourly_of_name: usize,
    /// Certificates for one name in a week.
    pub weekly_of_name: usize,
    /// Certificates in a week for the platform's own names: they are all below one domain, by which authorities count.
    /// Renewals go beyond it.
    pub weekly_of_platform: usize,
    /// After so many failures in a row a name without a certificate is given up.
    pub patience: usize,
    /// People are told so long before a certificate ends that cannot be renewed.
    pub warning: SignedDuration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tls: true,
            dns: false,
            at_once: 4,
            hourly: 50,
            hourly_of_app: 20,
            hourly_of_name: 5,
            weekly_of_name: 4,
            weekly_of_platform: 40,
            patience: 10,
            warning: WARNING,
        }
    }
}

/// How long orders must be remembered for the bounds to hold.
pub(crate) const MEMORY: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What the plan is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) domains: Vec<Wanted>,
    /// Oldest first.
    pub(crate) orders: Vec<AcmeOrder>,
    /// Names with an order under way.
    pub(crate) in_flight: HashSet<String>,
    /// When people were last told that a domain's certificate ends.
    pub(crate) warned: HashMap<Uuid, Timestamp>,
}

/// A domain whose app wants a certificate for it, or a name of the platform's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) domain: Uuid,
    /// `None`: the name is the platform's own.
    pub(crate) app: Option<AppId>,
    /// Nobody gets far without it: it is not to wait for the others.
    pub(crate) leads: bool,
    pub(crate) host: String,
    /// When somebody last asked for new tries.
    pub(crate) asked_at: Option<Timestamp>,
    /// What its people were told last.
    pub(crate) status: Option<AcmStatus>,
    pub(crate) reason: Option<String>,
    pub(crate) served: Served,
}

/// By what a domain is served now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Served {
    Nothing,
    /// A certificate that somebody brought. It is not ours to replace.
    Brought,
    Held(Held),
}

/// A certificate that was got before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) endpoint: Uuid,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) window: Asked,
}

/// When the authority would have a certificate renewed (RFC 9773).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Never,
    /// It is to be asked again `again`; `None` where it does not say.
    At {
        window: Option<Window>,
        again: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Order(Order),
    /// Ask the authority when this certificate is to be renewed.
    AskWindow {
        endpoint: Uuid,
    },
    /// How far it is with a domain has changed.
    Say {
        domain: Uuid,
        app: Option<AppId>,
        status: Option<AcmStatus>,
        reason: Option<String>,
    },
    /// A certificate ends before long and could not be renewed.
    Warn {
        domain: Uuid,
        app: Option<AppId>,
        host: String,
        until: Timestamp,
        reason: String,
    },
}

/// An order that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) domain: Uuid,
    pub(crate) app: Option<AppId>,
    pub(crate) host: String,
    pub(crate) challenge: Challenge,
    /// The certificate in whose place it comes, where the authority is to be told.
    pub(crate) replaces: Option<Uuid>,
}

/// Most certificates whose window is asked for in one go.
const WINDOWS: usize = 5;

const NO_HOOK: &str = "A wildcard is proven by a TXT record, and this server cannot set one. \
    Its administrator can give it a program that does: ropewalk server --acme-dns-hook.";

const WEEK_IS_FULL: &str = "The platform's names got as many certificates within a week as one domain may. \
    A wildcard would serve them all: ropewalk server --acme-dns-hook.";

pub(crate) fn plan(seen: &Seen, policy: &Policy, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut due = Vec::new();
    let histories = histories(&seen.orders);
    let outage = Outage::of(&seen.orders);
    for wanted in &seen.domains {
        let past = histories.get(wanted.host.as_str());
        let past = past.map_or(&[][..], Vec::as_slice);
        let verdict = judge(wanted, past, seen, policy, &outage, now);
        if (verdict.status, &verdict.reason) != (wanted.status, &wanted.reason) {
            actions.push(Action::Say {
                domain: wanted.domain,
                app: wanted.app,
                status: verdict.status,
                reason: verdict.reason,
            });
        }
        due.extend(verdict.due);
        actions.extend(verdict.warn);
    }
    // Those whose certificate ends first come first; then those that lead, and those who were tried least.
    due.sort_by_key(|due| {
        let is_new = due.ends.is_none();
        (is_new, due.ends, !due.leads, due.tries, due.order.domain)
    });
    actions.extend(within_bounds(due, seen, policy, &outage, now));
    if !outage.holds(now) {
        actions.extend(windows(&seen.domains, now));
    }
    actions
}

/// What is to be said of a domain, and what is to be done for it.
#[derive(Debug, Default)]
struct Verdict {
    status: Option<AcmStatus>,
    reason: Option<String>,
    due: Option<Due>,
    warn: Option<Action>,
}

#[derive(Debug)]
struct Due {
    order: Order,
    /// When the certificate ends that is to be renewed.
    ends: Option<Timestamp>,
    leads: bool,
    /// How often it failed.
    tries: usize,
    /// Somebody asked for it since the authority was last out of reach.
    asked: bool,
}

impl Verdict {
    fn told(status: AcmStatus, reason: impl Into<Option<String>>) -> Self {
        Self {
            status: Some(status),
            reason: reason.into(),
            ..Self::default()
        }
    }
}

fn judge(
    wanted: &Wanted,
    past: &[&AcmeOrder],
    seen: &Seen,
    policy: &Policy,
    outage: &Outage,
    now: Timestamp,
) -> Verdict {
    let held = match &wanted.served {
        Served::Brought => return Verdict::default(),
        Served::Held(held) if held.until > now => Some(held),
        Served::Held(_) | Served::Nothing => None,
    };
    let failures = Failures::of(past, wanted.asked_at);
    let mut verdict = match held {
        Some(held) => renewing(wanted, held, &failures, outage, seen, policy, now),
        None => waiting(wanted, &failures, outage, seen, policy),
    };
    let Some(challenge) = challenge(&wanted.host, past, policy) else {
        if held.is_none() {
            return Verdict::told(AcmStatus::Failed, NO_HOOK.to_owned());
        }
        return verdict;
    };
    let is_time = held.is_none_or(|held| renew_at(held) <= now);
    let given_up = verdict.status == Some(AcmStatus::Failed);
    if !is_time || given_up || seen.in_flight.contains(&wanted.host) {
        return verdict;
    }
    let not_before = failures
        .next_try(&wanted.host)
        .max(bound(past, policy, now));
    if let Some(at) = not_before.filter(|at| *at > now) {
        if held.is_none() && verdict.status == Some(AcmStatus::Pending) && verdict.reason.is_none()
        {
            verdict.reason = Some(format!(
                "Certificates for this name were ordered too often lately. The next try is at {}.",
                minute(at)
            ));
        }
        return verdict;
    }
    let is_new_of_platform = wanted.app.is_none() && held.is_none();
    if is_new_of_platform && of_platform(&seen.orders, now) >= policy.weekly_of_platform {
        verdict
            .reason
            .get_or_insert_with(|| WEEK_IS_FULL.to_owned());
        return verdict;
    }
    verdict.due = Some(Due {
        order: Order {
            domain: wanted.domain,
            app: wanted.app,
            host: wanted.host.clone(),
            challenge,
            replaces: held.and_then(|held| match held.window {
                Asked::At {
                    window: Some(_), ..
                } => Some(held.endpoint),
                _ => None,
            }),
        },
        ends: held.map(|held| held.until),
        leads: wanted.leads,
        tries: failures.count,
        asked: wanted.asked_at > outage.last,
    });
    verdict
}

/// A domain that has a certificate. Failing to renew it is said once its end is near.
fn renewing(
    wanted: &Wanted,
    held: &Held,
    failures: &Failures<'_>,
    outage: &Outage,
    seen: &Seen,
    policy: &Policy,
    now: Timestamp,
) -> Verdict {
    let is_near = is_near(held.from, held.until, policy.warning, now);
    let Some(reason) = failures.reason.or(outage.reason()).filter(|_| is_near) else {
        return Verdict::told(AcmStatus::Ok, None);
    };
    let reason = format!(
        "The certificate ends on {} and could not be renewed: {reason}",
        held.until.strftime("%Y-%m-%d")
    );
    let told = seen.warned.get(&wanted.domain);
    let mut verdict = Verdict::told(AcmStatus::Failing, reason.clone());
    if told.is_none_or(|told| now.duration_since(*told) >= DAY) {
        verdict.warn = Some(Action::Warn {
            domain: wanted.domain,
            app: wanted.app,
            host: wanted.host.clone(),
            until: held.until,
            reason,
        });
    }
    verdict
}

/// A domain that has none yet, or none any more.
fn waiting(
    wanted: &Wanted,
    failures: &Failures<'_>,
    outage: &Outage,
    seen: &Seen,
    policy: &Policy,
) -> Verdict {
    let reason = failures.reason.map(str::to_owned);
    let is_verified =
        wanted.status == Some(AcmStatus::Verified) && seen.in_flight.contains(&wanted.host);
    match failures.count {
        _ if is_verified => Verdict::told(AcmStatus::Verified, None),
        0 => Verdict::told(
            AcmStatus::Pending,
            reason.or_else(|| outage.reason().map(str::to_owned)),
        ),
        count if count < policy.patience => Verdict::told(AcmStatus::Failing, reason),
        _ => Verdict::told(AcmStatus::Failed, reason),
    }
}

/// Failures of one name in a row, since the last certificate and since somebody asked for new tries.
struct Failures<'a> {
    count: usize,
    last: Option<&'a AcmeOrder>,
    reason: Option<&'a str>,
}

impl<'a> Failures<'a> {
    fn of(past: &[&'a AcmeOrder], asked_at: Option<Timestamp>) -> Self {
        let row: Vec<&AcmeOrder> = in_a_row(past)
            .filter(|order| Some(order.began_at) >= asked_at)
            .collect();
        // Limits are not the name's fault: they make it wait, and never give it up.
        let refused = |order: &&&AcmeOrder| order.outcome == Some(Outcome::Refused);
        let last = row.first().copied();
        Self {
            count: row.iter().filter(refused).count(),
            last,
            reason: last.and_then(|order| order.reason.as_deref()),
        }
    }

    /// Before which there is no other try: the more failures, the later, up to 12 hours.
    fn next_try(&self, host: &str) -> Option<Timestamp> {
        let last = self.last?;
        let wait = match self.count {
            0 | 1 => MINUTE,
            2 => MINUTE * 5,
            3 => MINUTE * 15,
            4 => MINUTE * 45,
            5 => HOUR * 2,
            6 => HOUR * 6,
            _ => HOUR * 12,
        };
        let wait = match last.outcome {
            Some(Outcome::Limited) => wait.max(HOUR),
            _ => wait,
        };
        let chance = jitter(&format!("{host} {}", last.id));
        last.began_at
            .checked_add(part(wait, 1.0 + chance / 4.0))
            .ok()
    }
}

/// Orders that failed by the name's fault or by a limit since the last one that succeeded, newest first.
fn in_a_row<'a>(past: &[&'a AcmeOrder]) -> impl Iterator<Item = &'a AcmeOrder> {
    past.iter()
        .rev()
        .take_while(|order| order.outcome != Some(Outcome::Issued))
        .filter(|order| matches!(order.outcome, Some(Outcome::Refused | Outcome::Limited)))
        .copied()
}

/// The challenge that worked last, or the first there is; another one after each failure.
fn challenge(host: &str, past: &[&AcmeOrder], policy: &Policy) -> Option<Challenge> {
    let is_wildcard = host.starts_with("*.");
    let ways: Vec<Challenge> = [
        (Challenge::Http, !is_wildcard),
        (Challenge::TlsAlpn, !is_wildcard && policy.tls),
        (Challenge::Dns, policy.dns),
    ]
    .into_iter()
    .filter_map(|(way, is_there)| is_there.then_some(way))
    .collect();
    let mut issued = past.iter().rev();
    let worked = issued.find(|order| order.outcome == Some(Outcome::Issued));
    let first = worked
        .and_then(|order| ways.iter().position(|way| *way == order.challenge))
        .unwrap_or(0);
    let failed = in_a_row(past)
        .filter(|order| order.outcome == Some(Outcome::Refused))
        .count();
    ways.get((first + failed).checked_rem(ways.len())?).copied()
}

/// When a certificate is due for renewal: a moment in the authority's window, else after two thirds of its life. The
/// moment is the certificate's own, so that not all come at once.
fn renew_at(held: &Held) -> Timestamp {
    let life = held.until.duration_since(held.from);
    let chance = jitter(&format!("{} {}", held.endpoint, held.from));
    let at = match held.window {
        Asked::At {
            window: Some(window),
            ..
        } => window
            .start
            .checked_add(part(window.end.duration_since(window.start), chance)),
        _ => held.from.checked_add(part(life, 2.0 / 3.0 + chance / 30.0)),
    };
    // Whatever the authority says, not at the last moment.
    let latest = held.until.checked_sub(part(life, 0.1));
    match (at, latest) {
        (Ok(at), Ok(latest)) => at.min(latest),
        _ => held.from,
    }
}

/// When the bounds of one name let it be ordered again, if they do not now.
fn bound(past: &[&AcmeOrder], policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let of_hour = nth_newest(past.iter().copied(), policy.hourly_of_name)
        .and_then(|at| at.checked_add(HOUR).ok());
    let issued = past
        .iter()
        .copied()
        .filter(|order| order.outcome == Some(Outcome::Issued));
    let of_week =
        nth_newest(issued, policy.weekly_of_name).and_then(|at| at.checked_add(DAY * 7).ok());
    of_hour.max(of_week).filter(|at| *at > now)
}

/// When the `n`th newest of the orders began, the newest being the first.
fn nth_newest<'a>(
    orders: impl DoubleEndedIterator<Item = &'a AcmeOrder>,
    n: usize,
) -> Option<Timestamp> {
    let mut newest = orders.rev();
    newest.nth(n.checked_sub(1)?).map(|order| order.began_at)
}

/// As many of what is due as may begin now.
fn within_bounds(
    due: Vec<Due>,
    seen: &Seen,
    policy: &Policy,
    outage: &Outage,
    now: Timestamp,
) -> Vec<Action> {
    let lately = |order: &&AcmeOrder| now.duration_since(order.began_at) < HOUR;
    let mut all = seen.orders.iter().filter(lately).count();
    let mut of_app: HashMap<Option<AppId>, usize> = HashMap::new();
    for order in seen.orders.iter().filter(lately) {
        *of_app.entry(order.app).or_default() += 1;
    }
    let mut of_platform = of_platform(&seen.orders, now);
    let mut at_once = seen.in_flight.len();
    let mut names: HashSet<String> = HashSet::new();
    let mut actions = Vec::new();
    for due in due {
        // While the authority is out of reach, one goes ahead and looks.
        let places = match outage.is_over() {
            true => policy.at_once,
            false => 1,
        };
        if at_once >= places || outage.holds(now) && !due.asked {
            continue;
        }
        let most = match due.ends {
            Some(_) => policy.hourly,
            None => policy.hourly - policy.hourly / 5,
        };
        let app = of_app.entry(due.order.app).or_default();
        if all >= most || *app >= policy.hourly_of_app {
            continue;
        }
        let is_counted = due.order.app.is_none() && due.ends.is_none();
        if is_counted && of_platform >= policy.weekly_of_platform
            || !names.insert(due.order.host.clone())
        {
            continue;
        }
        of_platform += usize::from(is_counted);
        (at_once, all, *app) = (at_once + 1, all + 1, *app + 1);
        actions.push(Action::Order(due.order));
    }
    actions
}

/// Certificates of the last week for the platform's own names, those under way included.
fn of_platform(orders: &[AcmeOrder], now: Timestamp) -> usize {
    let counts = |order: &&AcmeOrder| {
        order.app.is_none()
            && matches!(order.outcome, None | Some(Outcome::Issued))
            && now.duration_since(order.began_at) < DAY * 7
    };
    orders.iter().filter(counts).count()
}

/// Orders in a row, of any name, that did not get as far as the authority's judgement.
#[derive(Debug, Default)]
struct Outage {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    said: Option<String>,
}

impl Outage {
    fn of(orders: &[AcmeOrder]) -> Self {
        let mut outage = Self::default();
        let ended = orders.iter().rev().filter(|order| order.outcome.is_some());
        for order in ended.take_while(|order| order.outcome == Some(Outcome::Away)) {
            outage.first = Some(order.began_at);
            if outage.last.is_none() {
                outage.last = Some(order.began_at);
                outage.said.clone_from(&order.reason);
            }
        }
        outage
    }

    fn is_over(&self) -> bool {
        self.last.is_none()
    }

    fn reason(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// Whether it is too early to try again: after half the time that it has lasted, between a minute and an hour.
    fn holds(&self, now: Timestamp) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return false;
        };
        let wait = (last.duration_since(first) / 2).clamp(MINUTE, HOUR);
        now.duration_since(last) < wait
    }
}

fn windows(domains: &[Wanted], now: Timestamp) -> impl Iterator<Item = Action> {
    domains
        .iter()
        .filter_map(move |wanted| match &wanted.served {
            Served::Held(held) if held.until > now => match held.window {
                Asked::At { again, .. } if again > now => None,
                _ => Some(Action::AskWindow {
                    endpoint: held.endpoint,
                }),
            },
            _ => None,
        })
        .take(WINDOWS)
}

fn histories(orders: &[AcmeOrder]) -> HashMap<&str, Vec<&AcmeOrder>> {
    let mut histories: HashMap<&str, Vec<&AcmeOrder>> = HashMap::new();
    for order in orders {
        histories.entry(&order.hostname).or_default().push(order);
    }
    histories
}

/// A number from 0 up to 1 that is always the same for the same text.
fn jitter(seed: &str) -> f64 {
    let digest = Sha256::digest(seed.as_bytes());
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&digest[..4]);
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

fn part(of: SignedDuration, factor: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(of.as_secs_f64() * factor).unwrap_or(of)
}

/// As people read it.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests;
