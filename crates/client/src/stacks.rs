//! `/stacks`

use ropewalk_api_types::Stack;

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn stacks(&self) -> Result<Vec<Stack>> {
        self.list(&["stacks"]).await
    }
}
