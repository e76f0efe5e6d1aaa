//! `/account`, `/ropewalk/two-factor`

use http::Method;
use ropewalk_api_types::Account;
use ropewalk_api_types::account::AccountUpdate;
use ropewalk_api_types::rate_limit::RateLimit;
use ropewalk_api_types::two_factor::{TwoFactor, TwoFactorChange};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// Who the token speaks for.
    pub async fn account(&self) -> Result<Account> {
        self.get(&["account"]).await
    }

    /// How many requests the account may still make now.
    pub async fn rate_limit(&self) -> Result<RateLimit> {
        self.get(&["account", "rate-limits"]).await
    }

    pub async fn update_account(&self, change: &AccountUpdate) -> Result<Account> {
        self.send(Method::PATCH, &["account"], change).await
    }

    /// Whether logging in takes a code.
    pub async fn two_factor(&self) -> Result<TwoFactor> {
        self.get(&["ropewalk", "two-factor"]).await
    }

    /// With the password: a secret. Then with a code of it: enabled, and the recovery codes.
    pub async fn enable_two_factor(&self, step: &TwoFactorChange) -> Result<TwoFactor> {
        self.send(Method::POST, &["ropewalk", "two-factor"], step)
            .await
    }

    /// With the password.
    pub async fn disable_two_factor(&self, change: &TwoFactorChange) -> Result<TwoFactor> {
        self.send(Method::DELETE, &["ropewalk", "two-factor"], change)
            .await
    }
}
