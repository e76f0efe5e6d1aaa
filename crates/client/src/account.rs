//! `/account`

use ropewalk_api_types::Account;
use ropewalk_api_types::rate_limit::RateLimit;

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
}
