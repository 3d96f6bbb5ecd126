//! The key of signed URLs, in a file of the content folder.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::OpenError;
use crate::signing::KEY_LENGTH;

const KEY_FILE: &str = "url.key";

/// The key of a folder; it is made on first use.
pub(super) fn load_or_create(folder: &Path) -> Result<[u8; KEY_LENGTH], OpenError> {
    let path = folder.join(KEY_FILE);
    let mut bytes = Vec::new();
    match std::fs::File::open(&path) {
        Ok(file) => {
            file.take(KEY_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bytes = vec![0; KEY_LENGTH];
            SystemRandom::new().fill(&mut bytes).map_err(|_| std::io::Error::other("there are no random bytes"))?;
            let unfinished = path.with_extension("unfinished");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(unfinished, path)?;
            std::fs::File::open(folder)?.sync_all()?;
        }
        Err(error) => return Err(error.into()),
    }
    bytes.try_into().map_err(|_| OpenError::Damaged)
}
