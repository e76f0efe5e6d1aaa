//! `/buildpacks/:name`: the registry as clients ask it before they set a buildpack by its name.
//!
//! It answers with the name's own address for every name that could be one; whether a build has it, the build says.

use serde_json::json;

use crate::resource::buildpack_installation;
use crate::resource::path::Path;
use crate::transport::body::ok;
use crate::transport::error::{ApiError, ApiResult};

/// Public, as Heroku's is: clients send no token.
pub(crate) async fn info(Path(name): Path<String>) -> ApiResult {
    let kept = buildpack_installation::normal(&name)
        .ok()
        .filter(|kept| !kept.contains("://"))
        .ok_or_else(|| ApiError::not_found("buildpack"))?;
    Ok(ok(&json!({
        "name": kept,
        "blob_url": buildpack_installation::url(&kept),
    })))
}
