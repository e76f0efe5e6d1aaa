//! Dyno sizes: what one dyno may use of its host.

/// One size. Names and memory are Heroku's; CPU weight and process limits are ours
/// (Heroku Dev Center, "Dyno Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynoSize {
    /// Canonical spelling, as API clients see it.
    pub name: &'static str,
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
    pub dedicated: bool,
}

/// Every size, smallest first.
pub const SIZES: [DynoSize; 6] = [
    DynoSize {
        name: "Eco",
        memory_mib: 512,
        limit_mib: 1024,
        cpu_shares: 256,
        cpu_millis: 0,
        pids: 256,
        dedicated: false,
    },
    DynoSize {
        name: "Basic",
        memory_mib: 512,
        limit_mib: 1024,
        cpu_shares: 512,
        cpu_millis: 0,
        pids: 256,
        dedicated: false,
    },
    DynoSize {
        name: "Standard-1X",
        memory_mib: 512,
        limit_mib: 1024,
        cpu_shares: 512,
        cpu_millis: 0,
        pids: 256,
        dedicated: false,
    },
    DynoSize {
        name: "Standard-2X",
        memory_mib: 1024,
        limit_mib: 2048,
        cpu_shares: 1024,
        cpu_millis: 0,
        pids: 512,
        dedicated: false,
    },
    DynoSize {
        name: "Performance-M",
        memory_mib: 2560,
        limit_mib: 2560,
        cpu_shares: 4096,
        cpu_millis: 0,
        pids: 16384,
        dedicated: true,
    },
    DynoSize {
        name: "Performance-L",
        memory_mib: 14336,
        limit_mib: 14336,
        cpu_shares: 16384,
        cpu_millis: 0,
        pids: 32768,
        dedicated: true,
    },
];

impl DynoSize {
    /// The size new formations get.
    pub const DEFAULT: DynoSize = SIZES[2];

    /// By name in any case, as people type it.
    pub fn find(name: &str) -> Option<DynoSize> {
        SIZES
            .iter()
            .copied()
            .find(|size| size.name.eq_ignore_ascii_case(name))
    }

    /// All names, for error texts: `eco, basic, …`.
    pub fn names() -> String {
        SIZES
            .iter()
            .map(|size| size.name.to_ascii_lowercase())
            .collect::<Vec<_>>()
            .join(", ")
    }
}
