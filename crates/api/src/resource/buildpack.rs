//! `/buildpacks/:name`: the registry as clients ask it before they set a buildpack by its name.
//!
//! There is none: a name stands for itself. Clients send on what they are given whatever the status, so a name that
//! cannot be one is given back as it came, and refused in words when it is set.

use serde_json::json;

use crate::resource::buildpack_installation;
use crate::resource::path::Path;
use crate::transport::body::ok;
use crate::transport::error::ApiResult;

/// Public, as Heroku's is: clients send no token.
pub(crate) async fn info(Path(name): Path<String>) -> ApiResult {
    let url = match buildpack_installation::normal(&name) {
        Ok(kept) => buildpack_installation::url(&kept),
        Err(_) => name.clone(),
    };
    Ok(ok(&json!({"name": name, "blob_url": url})))
}
