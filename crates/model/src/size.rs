//! Dyno sizes: what one dyno may use of its host. Which there are is the operator's to say; a new host has Heroku's.

use std::fmt;

use thiserror::Error;

/// Longest name of a size.
const MAX_NAME: usize = 30;
/// Most sizes of a host.
pub const MOST_SIZES: usize = 50;
/// MiB: a dyno's process needs some to begin at all, and no host has more.
const MEMORY_MIB: std::ops::RangeInclusive<u64> = 16..=4 << 20;
/// What Docker takes (cgroup v1: `cpu.shares`).
const CPU_SHARES: std::ops::RangeInclusive<u32> = 2..=262_144;
/// Thousandths of a core: below 10 the kernel refuses (a period of 100 ms, a quota of at least 1 ms).
const CPU_MILLIS: std::ops::RangeInclusive<u32> = 10..=1_024_000;
const PIDS: std::ops::RangeInclusive<u32> = 16..=4_194_304;
const DISK_MIB: std::ops::RangeInclusive<u64> = 16..=64 << 20;
/// Thousandths of a cent: a thousand in money an hour.
const MAX_PRICE: u64 = 100_000_000;

/// One size. Names and memory of those that a new host has are Heroku's; CPU weight, process and disk limits are ours
/// (Heroku Dev Center, "Dyno Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynoSize {
    /// Canonical spelling, as API clients see it.
    pub name: SizeName,
    /// Counts the changes of its limits: a dyno of an older revision gives way to one of the new.
    pub revision: u32,
    /// MiB that it is meant to use, all its processes together; more is told in the log (R14).
    pub memory_mib: u64,
    /// MiB beyond which the kernel ends a process (R15): twice the quota where hosts are shared, as on Heroku (Dev
    /// Center, "Error Codes"), and no more than the quota where a dyno is to have a host's memory for itself.
    pub limit_mib: u64,
    /// Relative CPU weight (Docker's shares).
    pub cpu_shares: u32,
    /// Hard CPU limit in thousandths of a core; 0 is none.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// MiB of files that it may write beside those of its slug; 0 is no limit.
    pub disk_mib: u64,
    /// Thousandths of a cent for an hour of it, if the operator has a price.
    pub price: Option<u64>,
    pub dedicated: bool,
    /// An app whose web dynos are of this size sleeps without being asked to.
    pub sleeps: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizeError {
    #[error(
        "{0:?} cannot be the name of a dyno size: letters, digits and dashes, beginning with a letter, {MAX_NAME} at most."
    )]
    Name(String),
    #[error("There is a dyno size {0} already; change it with ropewalk sizes:set {0}.")]
    Taken(SizeName),
    #[error("A host has at most {MOST_SIZES} dyno sizes; remove one first.")]
    TooMany,
    #[error("{what} of a dyno size must be from {least} to {most}{unit}, and not {said}.")]
    Limit {
        what: &'static str,
        least: u64,
        most: u64,
        unit: &'static str,
        said: u64,
    },
    #[error(
        "The limit of {limit} MiB is less than the memory of {memory} MiB that a dyno is promised."
    )]
    LimitBelowMemory { limit: u64, memory: u64 },
    #[error("{0} is the size that new process types get, and stays.")]
    Usual(SizeName),
    #[error("{0} is in use by {1}. Give those another size first: ropewalk ps:type.")]
    InUse(SizeName, String),
}

/// The name of a size, small enough to be copied about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeName {
    bytes: [u8; MAX_NAME],
    length: u8,
}

impl SizeName {
    /// # Errors
    /// [`SizeError::Name`].
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let begins = text.starts_with(|first: char| first.is_ascii_alphabetic());
        if !begins || text.len() > MAX_NAME || !text.bytes().all(fits) {
            return Err(SizeError::Name(text.chars().take(2 * MAX_NAME).collect()));
        }
        Ok(Self::of(text))
    }

    /// Of at most [`MAX_NAME`] ASCII characters.
    const fn of(text: &str) -> Self {
        let (mut bytes, text) = ([0; MAX_NAME], text.as_bytes());
        let mut at = 0;
        while at < text.len() {
            bytes[at] = text[at];
            at += 1;
        }
        Self {
            bytes,
            length: text.len() as u8,
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length.into()]).unwrap_or_default()
    }
}

impl fmt::Display for SizeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SizeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a new host has, smallest first.
pub const HEROKU: [DynoSize; 6] = [
    DynoSize {
        name: SizeName::of("Eco"),
        cpu_shares: 256,
        sleeps: true,
        ..SHARED
    },
    DynoSize {
        name: SizeName::of("Basic"),
        ..SHARED
    },
    SHARED,
    DynoSize {
        name: SizeName::of("Standard-2X"),
        memory_mib: 1024,
        limit_mib: 2048,
        cpu_shares: 1024,
        pids: 512,
        disk_mib: 8192,
        ..SHARED
    },
    DynoSize {
        name: SizeName::of("Performance-M"),
        memory_mib: 2560,
        limit_mib: 2560,
        cpu_shares: 4096,
        pids: 16384,
        disk_mib: 16384,
        dedicated: true,
        ..SHARED
    },
    DynoSize {
        name: SizeName::of("Performance-L"),
        memory_mib: 14336,
        limit_mib: 14336,
        cpu_shares: 16384,
        pids: 32768,
        disk_mib: 32768,
        dedicated: true,
        ..SHARED
    },
];

const SHARED: DynoSize = DynoSize {
    name: SizeName::of("Standard-1X"),
    revision: 1,
    memory_mib: 512,
    limit_mib: 1024,
    cpu_shares: 512,
    cpu_millis: 0,
    pids: 256,
    disk_mib: 4096,
    price: None,
    dedicated: false,
    sleeps: false,
};

impl DynoSize {
    /// The size that new process types get, as a new host has it.
    pub const DEFAULT: DynoSize = SHARED;

    /// A size of which nothing is said but its memory: everything else in the measure of the shared ones.
    pub fn with_memory(name: SizeName, memory_mib: u64) -> Self {
        let times = |each: u32, most: u32| {
            let units = memory_mib.div_ceil(SHARED.memory_mib);
            u32::try_from(units).map_or(most, |units| each.saturating_mul(units).clamp(each, most))
        };
        Self {
            name,
            memory_mib,
            limit_mib: memory_mib.saturating_mul(2),
            cpu_shares: times(SHARED.cpu_shares, 16_384),
            pids: times(SHARED.pids, 32_768),
            ..SHARED
        }
    }

    /// # Errors
    /// The first of its limits that cannot be.
    pub fn check(&self) -> Result<(), SizeError> {
        let within = |what, said: u64, (least, most), unit| match (least..=most).contains(&said) {
            true => Ok(()),
            false => Err(SizeError::Limit {
                what,
                least,
                most,
                unit,
                said,
            }),
        };
        let of = |range: std::ops::RangeInclusive<u32>| {
            (u64::from(*range.start()), u64::from(*range.end()))
        };
        let mib = |range: std::ops::RangeInclusive<u64>| (*range.start(), *range.end());
        within("Memory", self.memory_mib, mib(MEMORY_MIB), " MiB")?;
        within("The limit", self.limit_mib, mib(MEMORY_MIB), " MiB")?;
        if self.limit_mib < self.memory_mib {
            return Err(SizeError::LimitBelowMemory {
                limit: self.limit_mib,
                memory: self.memory_mib,
            });
        }
        within("CPU shares", self.cpu_shares.into(), of(CPU_SHARES), "")?;
        if self.cpu_millis != 0 {
            let unit = " thousandths of a core";
            within("CPU", self.cpu_millis.into(), of(CPU_MILLIS), unit)?;
        }
        within("Processes", self.pids.into(), of(PIDS), "")?;
        if self.disk_mib != 0 {
            within("Disk", self.disk_mib, mib(DISK_MIB), " MiB")?;
        }
        let unit = " thousandths of a cent";
        within("The price", self.price.unwrap_or(0), (0, MAX_PRICE), unit)
    }

    /// Whether dynos of the other have other limits, so that they must give way.
    pub fn limits_as(&self, other: &Self) -> bool {
        let limits = |size: &Self| {
            (
                (size.memory_mib, size.limit_mib),
                (size.cpu_shares, size.cpu_millis),
                (size.pids, size.disk_mib),
            )
        };
        limits(self) == limits(other)
    }
}

/// The sizes of a host, smallest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Vec<DynoSize>);

impl Default for Sizes {
    fn default() -> Self {
        Self(HEROKU.to_vec())
    }
}

impl Sizes {
    pub fn new(mut sizes: Vec<DynoSize>) -> Self {
        sizes.sort_by_key(|size| (size.memory_mib, size.cpu_shares, size.name));
        Self(sizes)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, DynoSize> {
        self.0.iter()
    }

    /// By name in any case, as people type it.
    pub fn find(&self, name: &str) -> Option<DynoSize> {
        let called = |size: &&DynoSize| size.name.as_str().eq_ignore_ascii_case(name);
        self.iter().find(called).copied()
    }

    /// The size that process types get of which nothing is said.
    pub fn usual(&self) -> DynoSize {
        let usual = self.find(DynoSize::DEFAULT.name.as_str());
        usual.unwrap_or(DynoSize::DEFAULT)
    }

    /// All names, for error texts: `eco, basic, …`.
    pub fn names(&self) -> String {
        let names: Vec<_> = self
            .iter()
            .map(|size| size.name.as_str().to_ascii_lowercase())
            .collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_host_has_herokus_sizes() {
        let sizes = Sizes::new(HEROKU.to_vec());
        assert_eq!(sizes, Sizes::default());
        assert_eq!(
            sizes.names(),
            "eco, basic, standard-1x, standard-2x, performance-m, performance-l"
        );
        assert_eq!(sizes.find("STANDARD-1x"), Some(sizes.usual()));
        for size in sizes.iter() {
            assert_eq!(size.check(), Ok(()), "{}", size.name);
        }
    }

    #[test]
    fn a_size_of_ones_own_is_in_the_measure_of_the_others() {
        let name = SizeName::parse("Huge-1").unwrap();
        let size = DynoSize::with_memory(name, 4096);
        assert_eq!(
            (size.limit_mib, size.cpu_shares, size.pids),
            (8192, 4096, 2048)
        );
        assert_eq!(size.check(), Ok(()));
        for memory in [0, 15, u64::MAX] {
            assert!(
                DynoSize::with_memory(name, memory).check().is_err(),
                "{memory}"
            );
        }
        let low = DynoSize {
            limit_mib: 4000,
            ..size
        };
        assert_eq!(
            low.check().unwrap_err().to_string(),
            "The limit of 4000 MiB is less than the memory of 4096 MiB that a dyno is promised."
        );
        let slow = DynoSize {
            cpu_millis: 5,
            ..size
        };
        assert_eq!(
            slow.check().unwrap_err().to_string(),
            "CPU of a dyno size must be from 10 to 1024000 thousandths of a core, and not 5."
        );
    }

    #[test]
    fn names_are_what_can_be_typed() {
        assert_eq!(SizeName::parse("big-2x").unwrap().to_string(), "big-2x");
        for bad in ["", "2x", "-a", "a b", "a.b", "größe", &"a".repeat(31)] {
            assert!(SizeName::parse(bad).is_err(), "{bad}");
        }
    }
}
