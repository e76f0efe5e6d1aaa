//! Texts that clients give things: how long they may be, and in which form.

use crate::transport::error::{ApiError, ApiResult};

/// Longest version, commit or name, in characters.
const MAX_VERSION: usize = 255;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 10_000;

/// One line; an empty one is none.
pub(crate) fn version(what: &str, text: Option<String>) -> ApiResult<Option<String>> {
    let text = text.filter(|text| !text.is_empty());
    match &text {
        Some(line) if line.chars().count() > MAX_VERSION || line.chars().any(char::is_control) => {
            Err(ApiError::invalid(format!(
                "{what} must be one line of at most {MAX_VERSION} characters."
            )))
        }
        _ => Ok(text),
    }
}

/// Several lines; empty ones are none.
pub(crate) fn description(what: &str, text: Option<String>) -> ApiResult<Option<String>> {
    let text = text.filter(|text| !text.is_empty());
    match &text {
        Some(lines) if lines.chars().count() > MAX_DESCRIPTION => Err(ApiError::invalid(format!(
            "{what} may have at most {MAX_DESCRIPTION} characters."
        ))),
        _ => Ok(text),
    }
}

/// `SHA256:` and 64 hexadecimal characters, as they are kept.
pub(crate) fn checksum(text: Option<String>) -> ApiResult<Option<String>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let hex = match text.split_once(':') {
        Some((kind, hex)) if kind.eq_ignore_ascii_case("sha256") => hex,
        _ => "",
    };
    match hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(Some(format!("SHA256:{}", hex.to_ascii_lowercase()))),
        false => Err(ApiError::invalid(
            "A checksum is SHA256: and the 64 hexadecimal characters of the archive's SHA-256.",
        )),
    }
}
