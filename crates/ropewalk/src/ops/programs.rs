//! Programs of the host: whether they are there.

use std::path::PathBuf;

/// Whether a program is on the PATH, or where administrators' programs are. A link to nothing is not.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}
