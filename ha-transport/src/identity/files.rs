//! An identity on disk: `key.pem` (mode 0600) and `cert.pem` in a directory (mode 0700).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::{Identity, IdentityError};

impl Identity {
    /// Writes `key.pem` and `cert.pem` into `directory`, which is made if it is not there. Nothing
    /// is overwritten.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Exists`] or [`IdentityError::File`].
    pub fn save(&self, directory: impl AsRef<Path>) -> Result<(), IdentityError> {
        let directory = directory.as_ref();
        make_directory(directory)?;
        // The certificate first: a directory with a key is complete.
        write_new(
            &directory.join(CERTIFICATE),
            self.chain_pem.as_bytes(),
            0o644,
        )?;
        write_new(&directory.join(KEY), self.key_pem.as_bytes(), 0o600)
            .inspect_err(|_| drop(fs::remove_file(directory.join(CERTIFICATE))))?;
        sync_directory(directory)
    }

    /// Reads what [`save`](Self::save) wrote, or a key and certificate chain from elsewhere.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Exposed`] if other users can read the key, [`IdentityError::File`], and
    /// those of [`from_pem`](Self::from_pem).
    pub fn load(directory: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let directory = directory.as_ref();
        let key = read(&directory.join(KEY), true)?;
        let certificate = read(&directory.join(CERTIFICATE), false)?;
        Self::from_pem(key, certificate.to_string())
    }
}

fn make_directory(path: &Path) -> Result<(), IdentityError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(file_error("create", path))
}

/// Writes a file that must not exist yet, safe on disk when it returns.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => IdentityError::Exists {
            path: path.to_owned(),
        },
        _ => file_error("create", path)(source),
    })?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|source| {
        drop(fs::remove_file(path));
        file_error("write", path)(source)
    })
}

fn sync_directory(path: &Path) -> Result<(), IdentityError> {
    let synced = if cfg!(unix) {
        File::open(path).and_then(|d| d.sync_all())
    } else {
        Ok(())
    };
    synced.map_err(file_error("write", path))
}

fn read(path: &Path, secret: bool) -> Result<Zeroizing<String>, IdentityError> {
    let error = file_error("read", path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) => return Err(error(source)),
    };
    if secret {
        check_mode(path, &file)?;
    }
    // All of it at once: a string that grows would leave copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES));
    match file.take(MAX_FILE_BYTES as u64).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(error(source)),
    }
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(file_error("read", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(IdentityError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &File) -> Result<(), IdentityError> {
    Ok(())
}

fn file_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> IdentityError {
    move |source| IdentityError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "cert.pem";
/// Longest key or certificate file, in bytes.
const MAX_FILE_BYTES: usize = 64 * 1024;
