//! Who may use whom, as data. `cargo xtask tidy` holds it against `cargo metadata`.

/// Crate, its layer, and what of ours it may use besides `model` and `telemetry`, which everybody may.
pub const CRATES: &[(&str, u8, &[&str])] = &[
    ("model", 0, &[]),
    ("telemetry", 0, &[]),
    ("api-types", 1, &[]),
    ("store", 1, &[]),
    ("logs", 2, &[]),
    ("slug", 2, &[]),
    ("engine", 2, &[]),
    ("registry", 2, &["slug"]),
    ("stack", 3, &["slug", "registry", "engine"]),
    ("client", 3, &["api-types"]),
    ("api", 3, &["api-types", "store", "logs"]),
    ("builder", 3, &["store", "engine", "slug"]),
    (
        "scheduler",
        3,
        &["api-types", "store", "engine", "slug", "logs"],
    ),
    ("router", 3, &["api-types"]),
    ("autoscale", 3, &[]),
    ("log-drains", 3, &["store", "logs"]),
    ("acme", 3, &["store", "logs"]),
    ("ocsp", 3, &["logs"]),
];

/// A library that only one crate of ours may name.
pub const OWNERS: &[(&str, &[&str])] = &[
    ("bollard", &["engine"]),
    ("rusqlite", &["store"]),
    ("prometheus", &["telemetry"]),
    ("reqwest", &["client", "conformance", "e2e", "ropewalk"]),
    ("clap", &["ropewalk", "xtask"]),
    ("russh", &["builder"]),
    ("instant-acme", &["acme"]),
    ("x509-ocsp", &["ocsp"]),
];

/// `model` means and does not act: none of these.
pub const MODEL_MUST_NOT: &[&str] = &["tokio", "serde", "serde_json", "rand"];
