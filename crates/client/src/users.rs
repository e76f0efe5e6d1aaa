//! `/ropewalk/users`: everybody's accounts, for administrators.

use http::Method;
use ropewalk_api_types::User;
use ropewalk_api_types::user::{UserCreate, UserUpdate};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn users(&self) -> Result<Vec<User>> {
        self.list(&["ropewalk", "users"]).await
    }

    pub async fn create_user(&self, user: &UserCreate) -> Result<User> {
        self.send(Method::POST, &["ropewalk", "users"], user).await
    }

    /// By email or id.
    pub async fn update_user(&self, user: &str, change: &UserUpdate) -> Result<User> {
        self.send(Method::PATCH, &["ropewalk", "users", user], change)
            .await
    }

    /// By email or id.
    pub async fn delete_user(&self, user: &str) -> Result<User> {
        self.delete(&["ropewalk", "users", user]).await
    }
}
