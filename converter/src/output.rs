//! Files appear whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::Error;

/// The folder that a file is to be in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `outputs` can be written, asked before the work whose results they will hold: their folders take files, and
/// none of them is a folder, another one, or one of `inputs`.
///
/// # Errors
/// Which of these it is.
pub fn check(outputs: &[&Path], inputs: &[&Path]) -> Result<(), Error> {
    // Files need not be there yet, folders must.
    let place = |path: &Path| Some(folder(path).canonicalize().ok()?.join(path.file_name()?));
    for (i, &path) in outputs.iter().enumerate() {
        std::fs::metadata(folder(path)).map_err(Error::io(folder(path)))?;
        tempfile::Builder::new().prefix(".cardinal-").tempfile_in(folder(path)).map_err(Error::io(folder(path)))?;
        if path.is_dir() || path.file_name().is_none() {
            return Err(Error::Usage(format!("{}: is a folder, not a file to write", path.display())));
        }
        if outputs[..i].iter().chain(inputs).any(|other| place(other) == place(path)) {
            return Err(Error::Usage(format!("{}: would be overwritten: choose another name", path.display())));
        }
    }
    Ok(())
}

/// Writes beside the target and renames, so that neither a crash nor a full disk leaves half a file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fail = |cause| Error::io(path)(cause);
    let mut file = tempfile::Builder::new().prefix(".cardinal-").tempfile_in(folder(path)).map_err(fail)?;
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
