//! Whether dynos fit on their host, by the memory that they are meant to use.
//!
//! Quotas are counted, not what is used now: dynos that idle today are busy tomorrow. A host may promise more than it
//! has, for hardly ever is everybody busy at once; what it may never do is to be asked for one dyno larger than itself.

use crate::formation::FormationError;
use crate::{DynoSize, SizeName};

/// Of what the host has beyond its own needs, dynos may be promised so much, in percent, where the operator says nothing.
pub const OVERCOMMIT: u32 = 400;
/// Of that, the least and the most that an operator can say.
pub const OVERCOMMITS: std::ops::RangeInclusive<u32> = 50..=1000;
/// MiB that are the host's and the platform's own.
const OWN_MIB: u64 = 384;

/// The memory of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub host_mib: u64,
    /// Percent.
    pub overcommit: u32,
}

/// What somebody asks for of one process type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    pub process_type: &'a str,
    pub quantity: u32,
    pub size: DynoSize,
}

impl Memory {
    /// MiB that all dynos together may be promised.
    pub fn room_mib(self) -> u64 {
        let rest = self.host_mib.saturating_sub(OWN_MIB);
        rest.saturating_mul(self.overcommit.into()) / 100
    }

    /// `others_mib`: promised to all other dynos; `before_mib`: to those of this type until now. Taking less than before is
    /// always admitted, however full the host is.
    ///
    /// # Errors
    /// [`FormationError::TooLarge`] or [`FormationError::Full`], with what would fit.
    pub fn admit(
        self,
        asked: Asked<'_>,
        before_mib: u64,
        others_mib: u64,
    ) -> Result<(), FormationError> {
        let each = asked.size.memory_mib;
        let needs = each.saturating_mul(asked.quantity.into());
        if needs <= before_mib {
            return Ok(());
        }
        let size = asked.size.name;
        if each > self.host_mib {
            return Err(FormationError::TooLarge {
                needs: gib(each),
                has: gib(self.host_mib),
                size,
            });
        }
        let free = self.room_mib().saturating_sub(others_mib);
        if needs <= free {
            return Ok(());
        }
        Err(FormationError::Full {
            process_type: asked.process_type.to_owned(),
            quantity: asked.quantity,
            needs: gib(needs),
            free: gib(free),
            most: u32::try_from(free / each.max(1)).unwrap_or(u32::MAX),
            size,
        })
    }
}

impl Memory {
    /// Whether all dynos together may be promised `now_mib`, after `before_mib`, because a size has changed.
    ///
    /// # Errors
    /// [`FormationError::Grown`].
    pub fn admit_size(
        self,
        size: SizeName,
        before_mib: u64,
        now_mib: u64,
    ) -> Result<(), FormationError> {
        if now_mib <= before_mib.max(self.room_mib()) {
            return Ok(());
        }
        Err(FormationError::Grown {
            size,
            needs: gib(now_mib),
            has: gib(self.room_mib()),
        })
    }
}

/// MiB as people read them.
fn gib(mib: u64) -> String {
    format!("{:.1} GiB", mib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sizes;

    const HOST: Memory = Memory {
        host_mib: 4096,
        overcommit: 200,
    };

    fn asked(quantity: u32, size: &str) -> Asked<'static> {
        Asked {
            process_type: "web",
            quantity,
            size: Sizes::default().find(size).unwrap(),
        }
    }

    #[test]
    fn what_fits_is_admitted_and_what_does_not_is_told_what_would() {
        assert_eq!(HOST.room_mib(), 7424);
        assert_eq!(HOST.admit(asked(14, "standard-1x"), 512, 0), Ok(()));
        let refused = HOST.admit(asked(14, "standard-1x"), 512, 1024).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "web=14:Standard-1X needs 7.0 GiB of memory, and this host has 6.2 GiB left for it: 12 would fit. Scale \
             something else down, or take a smaller size."
        );
        let refused = HOST.admit(asked(1, "performance-l"), 0, 0).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "A dyno of size Performance-L needs 14.0 GiB of memory, and this host has 4.0 GiB in all. Take a smaller size."
        );
    }

    #[test]
    fn taking_less_is_always_admitted() {
        assert_eq!(HOST.admit(asked(9, "standard-1x"), 5120, 100_000), Ok(()));
        assert_eq!(HOST.admit(asked(0, "performance-l"), 0, 100_000), Ok(()));
        assert_eq!(HOST.admit_size(DynoSize::DEFAULT.name, 9000, 8000), Ok(()));
        let grown = HOST.admit_size(DynoSize::DEFAULT.name, 7000, 8000);
        assert_eq!(
            grown.unwrap_err().to_string(),
            "With Standard-1X so large all dynos together would be promised 7.8 GiB of memory, and this host has 7.2 GiB \
             for them. Scale something down first."
        );
        assert!(HOST.admit(asked(11, "standard-1x"), 5120, 100_000).is_err());
    }
}
