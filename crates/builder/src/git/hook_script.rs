//! The one hook that git runs for us, written at every start because the program may have moved.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Error, Result};

/// Writes `pre-receive` into the folder; it only replaces itself by the given program.
pub(crate) fn install(folder: &Path, command: &[String]) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
    let path = folder.join("pre-receive");
    let unfinished = folder.join(".pre-receive");
    fs::write(&unfinished, script(command)).map_err(Error::io("write", &unfinished))?;
    fs::set_permissions(&unfinished, Permissions::from_mode(0o755))
        .map_err(Error::io("change the mode of", &unfinished))?;
    fs::rename(&unfinished, &path).map_err(Error::io("rename", &unfinished))
}

fn script(command: &[String]) -> String {
    let quoted: Vec<String> = command
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    format!("#!/bin/sh\nexec {}\n", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        let command = ["/opt/it's here/rw".to_owned(), "$(id)".to_owned()];
        assert_eq!(
            script(&command),
            "#!/bin/sh\nexec '/opt/it'\\''s here/rw' '$(id)'\n"
        );
    }
}
