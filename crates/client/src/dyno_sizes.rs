//! `/ropewalk/dyno-sizes`: what dynos of a size may use.

use http::Method;
use ropewalk_api_types::dyno_size::{SizeChange, SizeLimits};

use crate::client::Client;
use crate::error::Result;

impl Client {
    pub async fn dyno_sizes(&self) -> Result<Vec<SizeLimits>> {
        self.list(&["ropewalk", "dyno-sizes"]).await
    }

    pub async fn add_dyno_size(&self, size: &SizeChange) -> Result<SizeLimits> {
        let path = ["ropewalk", "dyno-sizes"];
        self.send(Method::POST, &path, size).await
    }

    /// By name, as in what follows.
    pub async fn change_dyno_size(&self, size: &str, change: &SizeChange) -> Result<SizeLimits> {
        let path = ["ropewalk", "dyno-sizes", size];
        self.send(Method::PATCH, &path, change).await
    }

    pub async fn remove_dyno_size(&self, size: &str) -> Result<SizeLimits> {
        self.delete(&["ropewalk", "dyno-sizes", size]).await
    }
}
