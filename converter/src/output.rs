//! Files appear whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::Error;

/// Writes beside the target and renames, so that neither a crash nor a full disk leaves half a file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |cause| Error::io(path)(cause);
    let mut file = tempfile::Builder::new().prefix(".cardinal-").tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    #[cfg(unix)]
    {
        // A temporary file is private; an output file is as readable as any other that the user makes.
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_or(0o644, |m| m.permissions().mode());
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(fail)?;
    }
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}
