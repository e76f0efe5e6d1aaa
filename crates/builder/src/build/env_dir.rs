//! ENV_DIR: one file a config var, its raw value and nothing added, readable by the build's user alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use ropewalk_model::ConfigVarName;
use ropewalk_model::ConfigVars;
use ropewalk_slug::DYNO_ID;

use crate::{Error, Result};

/// Writes the folder, which must not be there. Blocking.
pub(crate) fn write(folder: &Path, vars: &ConfigVars) -> Result<()> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(Error::io("make", folder))?;
    for (name, value) in &vars.0 {
        // The ledger holds such names only; a name must never be able to lead elsewhere.
        if ConfigVarName::parse(name).is_err() {
            continue;
        }
        let path = folder.join(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o400);
        let mut file = options.open(&path).map_err(Error::io("make", &path))?;
        std::io::Write::write_all(&mut file, value.as_bytes())
            .map_err(Error::io("write", &path))?;
        chown(&path, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("give away", &path))?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o500))
        .map_err(Error::io("change the mode of", folder))?;
    chown(folder, Some(DYNO_ID), Some(DYNO_ID)).map_err(Error::io("give away", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_raw() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("env");
        let vars = [("A", "x\n"), ("B.C-D", ""), ("../escape", "no")];
        let vars = ConfigVars(vars.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        write(&folder, &vars).unwrap();
        assert_eq!(fs::read(folder.join("A")).unwrap(), b"x\n");
        assert_eq!(fs::read(folder.join("B.C-D")).unwrap(), b"");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        let mode = fs::metadata(folder.join("A")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
    }
}
