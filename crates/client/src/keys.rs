//! `/account/keys`: SSH keys, and where git speaks SSH.

use http::Method;
use ropewalk_api_types::key::KeyCreate;
use ropewalk_api_types::{Key, SshGit};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn keys(&self) -> Result<Vec<Key>> {
        self.list(&["account", "keys"]).await
    }

    pub async fn add_key(&self, key: &KeyCreate) -> Result<Key> {
        self.send(Method::POST, &["account", "keys"], key).await
    }

    /// By id or fingerprint.
    pub async fn remove_key(&self, key: &str) -> Result<Key> {
        self.delete(&["account", "keys", key]).await
    }

    /// Not found where git does not speak SSH.
    pub async fn ssh_git(&self) -> Result<SshGit> {
        self.get(&["ropewalk", "ssh"]).await
    }
}
