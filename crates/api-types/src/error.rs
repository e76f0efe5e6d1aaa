//! The body of every answer with a status of 400 or above.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What went wrong, for programs (`id`) and for people (`message`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One of [`id`].
    pub id: String,
    /// A sentence.
    pub message: String,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Which kind of thing was not found: clients branch on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<ErrorApp>,
}

/// The app that the request was about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorApp {
    #[serde(default)]
    pub id: Uuid,
    pub name: String,
}

/// The documented ids, with the status each comes with.
pub mod id {
    /// 400
    pub const BAD_REQUEST: &str = "bad_request";
    /// 401
    pub const UNAUTHORIZED: &str = "unauthorized";
    /// 402
    pub const DELINQUENT: &str = "delinquent";
    /// 402
    pub const VERIFICATION_REQUIRED: &str = "verification_required";
    /// 403
    pub const FORBIDDEN: &str = "forbidden";
    /// 403
    pub const SUSPENDED: &str = "suspended";
    /// 403: send the request again with `Heroku-Two-Factor-Code`.
    pub const TWO_FACTOR: &str = "two_factor";
    /// 404
    pub const NOT_FOUND: &str = "not_found";
    /// 406
    pub const NOT_ACCEPTABLE: &str = "not_acceptable";
    /// 409
    pub const CONFLICT: &str = "conflict";
    /// 410
    pub const GONE: &str = "gone";
    /// 415
    pub const UNSUPPORTED: &str = "unsupported";
    /// 416
    pub const REQUESTED_RANGE_NOT_SATISFIABLE: &str = "requested_range_not_satisfiable";
    /// 422
    pub const INVALID_PARAMS: &str = "invalid_params";
    /// 422: send the request again with `confirm`.
    pub const CONFIRMATION_REQUIRED: &str = "confirmation_required";
    /// 423
    pub const LOCKED: &str = "locked";
    /// 429
    pub const RATE_LIMIT: &str = "rate_limit";
    /// 500
    pub const INTERNAL_SERVER_ERROR: &str = "internal_server_error";
    /// 503
    pub const MAINTENANCE: &str = "maintenance";
}
