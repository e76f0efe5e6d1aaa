//! One-time codes by the clock (RFC 6238: HMAC-SHA-1, 30 seconds, six digits), and codes for when the clock is lost.
//!
//! Pure but for [`new_secret`] and [`new_recovery_codes`]. Which code was used already is not known here.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// Seconds that a code lasts.
const STEP: u64 = 30;
/// Codes of so many steps before and after are taken too: clocks differ.
const DRIFT: u64 = 1;
/// Bytes of a secret: what RFC 4226 recommends.
const SECRET: usize = 20;
/// Codes for when the device is lost.
const RECOVERY_CODES: usize = 10;
/// Random bytes in each; 16 characters.
const RECOVERY_BYTES: usize = 10;

pub(crate) fn new_secret() -> [u8; SECRET] {
    rand::random()
}

/// As people type them, `abcd-efgh-ijkl-mnop`; [`normal`] is what is kept.
pub(crate) fn new_recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES)
        .map(|_| {
            let text = base32(&rand::random::<[u8; RECOVERY_BYTES]>()).to_ascii_lowercase();
            let mut code = String::new();
            for (index, letter) in text.chars().enumerate() {
                if index > 0 && index % 4 == 0 {
                    code.push('-');
                }
                code.push(letter);
            }
            code
        })
        .collect()
}

/// A code without what people put between its characters.
pub(crate) fn normal(code: &str) -> String {
    code.chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .flat_map(char::to_lowercase)
        .collect()
}

/// The step, later than `last_step`, whose code this is at `second` of Unix time.
pub(crate) fn step_of(secret: &[u8], code: &str, second: u64, last_step: u64) -> Option<u64> {
    let now = second / STEP;
    (now.saturating_sub(DRIFT)..=now + DRIFT)
        .filter(|step| *step > last_step)
        .find(|step| {
            let right = digits(secret, *step);
            verify_slices_are_equal(right.as_bytes(), code.as_bytes()).is_ok()
        })
}

fn digits(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or(0) & 0x0f);
    let word = tag
        .iter()
        .skip(offset)
        .take(4)
        .fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// RFC 4648 without padding.
pub(crate) fn base32(bytes: &[u8]) -> String {
    const ALPHABET: [char; 32] = [
        'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R',
        'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7',
    ];
    let mut text = String::new();
    let (mut held, mut bits) = (0u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(held >> bits & 31) as usize]);
        }
    }
    if bits > 0 {
        text.push(ALPHABET[(held << (5 - bits) & 31) as usize]);
    }
    text
}

/// What authenticator programs read, also from a QR code.
pub(crate) fn uri(issuer: &str, email: &str, secret: &[u8]) -> String {
    let (issuer, email) = (percent(issuer), percent(email));
    let secret = base32(secret);
    format!(
        "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
    )
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn the_codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890";
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(digits(secret, second / STEP), code);
            assert_eq!(step_of(secret, code, second, 0), Some(second / STEP));
        }
    }

    #[test]
    fn a_code_lasts_a_step_on_either_side_and_is_good_once() {
        let secret = b"12345678901234567890";
        let step = 41_152_263;
        let code = digits(secret, step);
        for (second, good) in [
            ((step - 2) * STEP + 29, false),
            ((step - 1) * STEP, true),
            (step * STEP, true),
            ((step + 1) * STEP + 29, true),
            ((step + 2) * STEP, false),
        ] {
            let found = step_of(secret, &code, second, 0);
            assert_eq!(found, good.then_some(step), "{second}");
        }
        assert_eq!(step_of(secret, &code, step * STEP, step), None);
        for wrong in ["", "0", "00592", "0059244", "abcdef"] {
            assert_eq!(step_of(secret, wrong, step * STEP, 0), None);
        }
    }

    #[test]
    fn secrets_are_spelled_as_authenticators_read_them() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(
            uri("Ropewalk (a.b)", "dev+x@a.b", b"foobar"),
            "otpauth://totp/Ropewalk%20%28a.b%29:dev%2Bx%40a.b?secret=MZXW6YTBOI\
             &issuer=Ropewalk%20%28a.b%29&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn recovery_codes_are_long_different_and_typed_any_way() {
        let codes = new_recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_ne!(codes[0], codes[1]);
        assert_eq!(codes[0].len(), 19);
        assert_eq!(normal(" ABCD-efgh ijkl-mnop"), "abcdefghijklmnop");
        assert_eq!(normal("123 456"), "123456");
    }
}
