//! Passwords and second factors: tried within limits, set within rules.
//!
//! A check costs 19 MiB and tens of milliseconds, and anybody may ask for one. So two run at once, a few wait, and
//! the rest is sent away; and an account can only be tried so often.

use jiff::Timestamp;
use ropewalk_store::{PasswordHash, User};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::state::State;
use crate::totp;
use crate::transport::error::{ApiError, ApiResult};
use crate::transport::quota::{Quota, Rate};

/// Checked or hashed at the same time.
const CHECKS: usize = 2;
/// Checked, or waiting for it.
const QUEUE: usize = 16;
/// Longest password, in bytes; shortest, in characters.
const MAX: usize = 1_024;
const MIN: usize = 8;
/// Longest code that is looked at, in bytes.
const MAX_CODE: usize = 64;
/// For codes, which are short: with a known password, one in a thousand accounts would fall in a quarter of a day.
const CODES: Rate = Rate {
    burst: 5,
    per_minute: 1,
};

/// The limits.
#[derive(Debug)]
pub(crate) struct Tries {
    checks: Semaphore,
    queue: Semaphore,
    /// Passwords, by account.
    passwords: Quota,
    /// Codes, by account.
    codes: Quota,
}

impl Tries {
    pub(crate) fn new(passwords: Rate) -> Self {
        Self {
            checks: Semaphore::new(CHECKS),
            queue: Semaphore::new(QUEUE),
            passwords: Quota::new(passwords),
            codes: Quota::new(CODES),
        }
    }

    /// Holds a place as long as it lives. The queue comes before the count by account, so that nobody fills that
    /// with made-up accounts faster than passwords are checked.
    async fn turn(&self, account: &str) -> ApiResult<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        let place = self
            .queue
            .try_acquire()
            .map_err(|_| ApiError::rate_limit())?;
        if self.passwords.take(account).is_none() {
            return Err(ApiError::rate_limit());
        }
        let check = self
            .checks
            .acquire()
            .await
            .map_err(|error| ApiError::internal(&error))?;
        Ok((place, check))
    }
}

/// The account whose password this is.
///
/// # Errors
/// 429 when too many are being tried, or too many for this account.
pub(crate) async fn who(state: &State, email: &str, password: &str) -> ApiResult<Option<User>> {
    if password.is_empty() || password.len() > MAX || email.len() > MAX {
        return Ok(None);
    }
    // Nothing to be found out, so nothing is spent on it.
    if !state.ctx.store.read(|view| view.any_password()).await? {
        return Ok(None);
    }
    let (email, password) = (email.to_ascii_lowercase(), password.to_owned());
    let _turn = state.tries.turn(&email).await?;
    Ok(state
        .ctx
        .store
        .read(move |view| view.verify_password(&email, &password))
        .await?)
}

/// Passes when the account has no second factor, or when this is a code of it, which is then spent.
///
/// # Errors
/// 403 `two_factor` without a code and for a wrong one, 429 after too many.
pub(crate) async fn second_factor(state: &State, user: &User, code: Option<&str>) -> ApiResult<()> {
    if !user.two_factor {
        return Ok(());
    }
    let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
        return Err(ApiError::two_factor(
            "A second authentication factor is required: the code of your authenticator, or a recovery code.",
        ));
    };
    if !spend_code(state, user, code, Spend::CodeOrRecovery).await? {
        return Err(ApiError::two_factor(
            "The two-factor code is wrong or was used already.",
        ));
    }
    Ok(())
}

/// What counts as a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spend {
    /// Of a secret that does not count yet.
    Proposed,
    CodeOrRecovery,
}

/// Whether this is a code that was not used before; it has been then.
pub(crate) async fn spend_code(
    state: &State,
    user: &User,
    code: &str,
    what: Spend,
) -> ApiResult<bool> {
    let id = user.id;
    if state.tries.codes.take(&id.to_string()).is_none() {
        return Err(ApiError::rate_limit());
    }
    if code.len() > MAX_CODE {
        return Ok(false);
    }
    let code = totp::normal(code);
    let second = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    Ok(state
        .ctx
        .store
        .write(move |tx| {
            let Some(kept) = tx.two_factor(id)? else {
                return Ok(false);
            };
            if kept.enabled != (what == Spend::CodeOrRecovery) {
                return Ok(false);
            }
            match totp::step_of(&kept.secret, &code, second, kept.last_step) {
                Some(step) => tx.spend_step(id, step),
                None if kept.enabled => tx.spend_recovery_code(id, &code),
                None => Ok(false),
            }
        })
        .await?)
}

/// A new password, hashed.
///
/// # Errors
/// 422 when it is too short or too long, 429 when too many are being hashed.
pub(crate) async fn hash(state: &State, user: &str, password: &str) -> ApiResult<PasswordHash> {
    if password.chars().count() < MIN || password.len() > MAX {
        return Err(ApiError::invalid(format!(
            "A password has {MIN} characters or more, and at most {MAX} bytes."
        )));
    }
    let _turn = state.tries.turn(user).await?;
    let password = password.to_owned();
    let hashed = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
    Ok(hashed.map_err(|error| ApiError::internal(&error))??)
}
