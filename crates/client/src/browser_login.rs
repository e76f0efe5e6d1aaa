//! `POST /auth`: a login that is confirmed in a browser, while the asker polls.

use http::{Method, StatusCode};
use reqwest::Url;
use ropewalk_api_types::browser_login::{BrowserLogin, BrowserLoginAsk, BrowserLoginOutcome};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn ask_browser_login(&self, ask: &BrowserLoginAsk) -> Result<BrowserLogin> {
        self.send(Method::POST, &["auth"], ask).await
    }

    /// The page where the login is confirmed; always on this server, whatever it says.
    ///
    /// # Errors
    /// A path that is none.
    pub fn browser_page(&self, login: &BrowserLogin) -> Result<Url> {
        self.url(&segments(&login.browser_url))
    }

    /// Waits up to half a minute; `None` when nobody has decided by then.
    pub async fn browser_login_outcome(
        &self,
        login: &BrowserLogin,
    ) -> Result<Option<BrowserLoginOutcome>> {
        let asker = self.with_token(&login.token.0);
        let request = asker.request(Method::GET, &segments(&login.cli_url))?;
        match asker.json(request).await {
            Ok(outcome) => Ok(Some(outcome)),
            // The advice to ask again is a redirect to the same address.
            Err(error)
                if error
                    .api()
                    .is_some_and(|answer| answer.status == StatusCode::FOUND) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.trim_start_matches('/').split('/').collect()
}
