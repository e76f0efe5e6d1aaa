//! The formation: how many dynos of which size each process type should have.

use thiserror::Error;

use crate::SizeName;

/// Most dynos of one process type.
pub const MAX_QUANTITY: u32 = 100;

/// A quantity as clients send it: `3`, `"3"`, `"+1"`, `"-1"` (Heroku CLI, `ps:scale`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Set(u32),
    Add(i64),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormationError {
    #[error("Quantity {0:?} is not a number such as 2, +1 or -1.")]
    Quantity(String),
    #[error("Quantity {0} is more than the {MAX_QUANTITY} dynos a process type may have.")]
    TooMany(i64),
    #[error("Couldn't find that dyno size ({0}). Sizes are: {1}.")]
    Size(String, String),
    #[error("Couldn't find that process type ({0}).")]
    UnknownType(String),
    #[error(
        "{0} is a singleton: there is at most one. To have more: ropewalk ps:settings:set singleton=off --type {0}."
    )]
    Singleton(String),
    #[error(
        "A dyno of size {size} needs {needs} of memory, and this host has {has} in all. Take a smaller size."
    )]
    TooLarge {
        size: SizeName,
        needs: String,
        has: String,
    },
    #[error(
        "{process_type}={quantity}:{size} needs {needs} of memory, and this host has {free} left for it: {most} would fit. Scale something else down, or take a smaller size."
    )]
    Full {
        process_type: String,
        quantity: u32,
        size: SizeName,
        needs: String,
        free: String,
        /// So many of that size would fit.
        most: u32,
    },
    #[error(
        "With {size} so large all dynos together would be promised {needs} of memory, and this host has {has} for them. Scale something down first."
    )]
    Grown {
        size: SizeName,
        needs: String,
        has: String,
    },
    #[error("Process type {0} runs once and cannot be scaled.")]
    OneOff(String),
}

impl Quantity {
    pub fn parse(text: &str) -> Result<Self, FormationError> {
        let bad = || FormationError::Quantity(text.to_owned());
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let number: i64 = digits.parse().map_err(|_| bad())?;
        Ok(match text.as_bytes()[0] {
            b'+' => Self::Add(number),
            b'-' => Self::Add(-number),
            _ => Self::Set(u32::try_from(number).map_err(|_| bad())?),
        })
    }

    /// The quantity that results; never below zero (Heroku: `web-5` on two dynos gives none).
    pub fn apply(self, current: u32) -> Result<u32, FormationError> {
        let wanted = match self {
            Self::Set(n) => i64::from(n),
            Self::Add(n) => i64::from(current) + n,
        }
        .max(0);
        match u32::try_from(wanted) {
            Ok(n) if n <= MAX_QUANTITY => Ok(n),
            _ => Err(FormationError::TooMany(wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_type_them() {
        assert_eq!(Quantity::parse("3"), Ok(Quantity::Set(3)));
        assert_eq!(Quantity::parse("+1"), Ok(Quantity::Add(1)));
        assert_eq!(Quantity::parse("-2"), Ok(Quantity::Add(-2)));
        for bad in ["", "+", "1.5", "a", "--1", "9999999999", "1 "] {
            assert!(Quantity::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quantities_stay_within_limits() {
        assert_eq!(Quantity::Add(-5).apply(2), Ok(0));
        assert_eq!(Quantity::Add(2).apply(2), Ok(4));
        assert_eq!(Quantity::Set(100).apply(0), Ok(100));
        assert_eq!(
            Quantity::Set(101).apply(0),
            Err(FormationError::TooMany(101))
        );
    }
}
