//! What the handlers share: the context, and what the API itself remembers, which may be lost.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::context::Context;
use crate::transport::quota::Quota;

/// Passwords checked at the same time; each takes 19 MiB and tens of milliseconds.
const PASSWORD_CHECKS: usize = 2;

/// Shared by all handlers.
#[derive(Debug, Clone)]
pub(crate) struct State(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) ctx: Context,
    /// Requests by account.
    pub(crate) quota: Quota,
    /// Passwords tried, by account.
    pub(crate) logins: Quota,
    pub(crate) password_checks: Semaphore,
}

impl State {
    pub(crate) fn new(ctx: Context) -> Self {
        Self(Arc::new(Inner {
            quota: Quota::new(ctx.rate),
            logins: Quota::new(ctx.login_rate),
            password_checks: Semaphore::new(PASSWORD_CHECKS),
            ctx,
        }))
    }
}

impl Deref for State {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
