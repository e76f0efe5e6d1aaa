//! Packs buildpacks and stack descriptions into the binary, so that one file is all there is to install.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let mut files = Vec::new();
    for folder in ["buildpacks", "stacks"] {
        println!("cargo:rerun-if-changed={}", root.join(folder).display());
        collect(&root, &root.join(folder), &mut files)?;
    }
    files.sort();
    let mut archive = tar::Builder::new(File::create(out.join("bundle.tar"))?);
    archive.mode(tar::HeaderMode::Deterministic);
    for file in &files {
        archive.append_path_with_name(root.join(file), file)?;
    }
    archive.into_inner()?;
    let digest = Sha256::digest(fs::read(out.join("bundle.tar"))?);
    let hex: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::write(out.join("bundle.digest"), hex)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(inside) = path.strip_prefix(root) {
            files.push(inside.to_owned());
        }
    }
    Ok(())
}
