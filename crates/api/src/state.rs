//! What the handlers share: the context, and what the API itself remembers, which may be lost.

use std::ops::Deref;
use std::sync::Arc;

use crate::browser_logins::BrowserLogins;
use crate::context::Context;
use crate::password::Tries;
use crate::transport::quota::Quota;

/// Shared by all handlers.
#[derive(Debug, Clone)]
pub(crate) struct State(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) ctx: Context,
    /// Requests by account.
    pub(crate) quota: Quota,
    /// Passwords and codes tried.
    pub(crate) tries: Tries,
    /// Logins that wait for somebody at a browser.
    pub(crate) browser_logins: BrowserLogins,
}

impl State {
    pub(crate) fn new(ctx: Context) -> Self {
        Self(Arc::new(Inner {
            quota: Quota::new(ctx.rate),
            tries: Tries::new(ctx.login_rate),
            browser_logins: BrowserLogins::default(),
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
