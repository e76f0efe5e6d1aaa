//! Errors as clients see them: a status, an id for programs and a sentence for people.
//!
//! What went wrong on our side is logged here, once, and never shown.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use ropewalk_api_types::error::{ErrorApp, ErrorBody, id};
use ropewalk_logs::LogsError;
use ropewalk_model::formation::FormationError;
use ropewalk_store::StoreError;

use crate::authorise::Denied;
use crate::builds::ArchiveError;
use crate::transport::body::json;
use crate::transport::frame::RATE_REMAINING;

pub(crate) type ApiResult<T = Response> = Result<T, ApiError>;

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, id: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: Box::new(ErrorBody {
                id: id.to_owned(),
                message: message.into(),
                ..ErrorBody::default()
            }),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.body.message
    }

    /// `what` is the kind of thing in clients' spelling: `app`, `add_on`, `session`.
    pub(crate) fn not_found(what: &str) -> Self {
        let words = match what {
            "sni_endpoint" => "certificate".to_owned(),
            "tcp_route" => "TCP route".to_owned(),
            what => what.replace('_', " "),
        };
        let mut error = Self::new(
            StatusCode::NOT_FOUND,
            id::NOT_FOUND,
            format!("Couldn't find that {words}."),
        );
        error.body.resource = Some(what.to_owned());
        error
    }

    /// Not found because nobody has such a thing here; `instead` says what to do.
    pub(crate) fn absent(what: &str, instead: &str) -> Self {
        let mut error = Self::not_found(what);
        error.body.message = format!("{} {instead}", error.body.message);
        error
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            id::INVALID_PARAMS,
            message,
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, id::BAD_REQUEST, message)
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, id::UNAUTHORIZED, message)
    }

    pub(crate) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, id::FORBIDDEN, message)
    }

    /// The request is to be sent again with a code.
    pub(crate) fn two_factor(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, id::TWO_FACTOR, message)
    }

    pub(crate) fn rate_limit() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            id::RATE_LIMIT,
            "Too many requests; wait a minute and try again.",
        )
    }

    /// Logs `error` and shows none of it.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "Request failed.");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            id::INTERNAL_SERVER_ERROR,
            "Something failed on our side. The platform's log has the details under this request's id.",
        )
    }
}

/// Goes with an error's response up to where the app is known that it is about.
#[derive(Clone)]
struct Said(Box<ErrorBody>);

/// The same response; an error says which app it is about.
pub(crate) fn with_app(mut response: Response, app: Option<ErrorApp>) -> Response {
    let Some(Said(mut body)) = response.extensions_mut().remove::<Said>() else {
        return response;
    };
    if body.app.is_some() || app.is_none() {
        return response;
    }
    body.app = app;
    let with_app = json(response.status(), &body);
    *response.body_mut() = with_app.into_body();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.body);
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response
                .headers_mut()
                .insert(RATE_REMAINING, http::HeaderValue::from_static("0"));
        }
        response.extensions_mut().insert(Said(self.body));
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                http::HeaderValue::from_static("Bearer realm=\"ropewalk\""),
            );
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::Taken {
                what: "app name" | "pipeline name",
                name,
            } => Self::invalid(format!("Name {name} is already taken")),
            StoreError::Taken { what, name } => {
                Self::invalid(format!("The {what} {name} is already in use"))
            }
            StoreError::ConfigVar(error) => Self::invalid(error.to_string()),
            StoreError::Formation(error) => error.into(),
            StoreError::Size(error) => Self::invalid(error.to_string()),
            StoreError::Refused(text) => Self::invalid(text),
            StoreError::Closed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                id::MAINTENANCE,
                "The platform is restarting; try again in a moment.",
            ),
            error => Self::internal(&error),
        }
    }
}

impl From<FormationError> for ApiError {
    fn from(error: FormationError) -> Self {
        let mut answer = Self::invalid(error.to_string());
        if let FormationError::UnknownType(_) = error {
            answer.status = StatusCode::NOT_FOUND;
            answer.body.id = id::NOT_FOUND.to_owned();
            answer.body.resource = Some("formation".to_owned());
        }
        answer
    }
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NotFound => Self::not_found("archive"),
            ArchiveError::Invalid(text) => Self::invalid(text),
            ArchiveError::Conflict(text) => Self::new(StatusCode::CONFLICT, id::CONFLICT, text),
            ArchiveError::TooLarge(text) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, id::BAD_REQUEST, text)
            }
            ArchiveError::Later(text) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, id::MAINTENANCE, text)
            }
            ArchiveError::Failed(text) => Self::internal(&text),
        }
    }
}

impl From<LogsError> for ApiError {
    fn from(error: LogsError) -> Self {
        Self::internal(&error)
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Hidden => Self::not_found("app"),
            Denied::NotOwner => {
                Self::forbidden("Only the owner of the app and administrators may do that.")
            }
            Denied::NotAdmin => Self::forbidden("Only administrators may do that."),
            Denied::Scope(needed) => Self::forbidden(&format!(
                "This token does not have the scope {} that the request needs.",
                needed.as_str()
            )),
        }
    }
}
