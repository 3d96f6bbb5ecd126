//! Content beside a backup: `<backup>.content` is a folder with the files of the data folder's content, as they are.
//!
//! The copy is made after the backup of the store, from a server that may run: files of content are sealed, there as a whole or
//! not at all, and never change, so whatever the backup names is in the copy. What came later is in it too, and harms nothing.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Below the data folder: the content of all tenants, without the key of signed URLs and what is being written.
const CONTENT: &str = "content/tenant";

/// The folder beside a backup.
pub(crate) fn beside(backup: &Path) -> PathBuf {
    let mut name = OsString::from(backup);
    name.push(".content");
    name.into()
}

/// Copies the content of a data folder beside a backup; gives the number of files.
pub(crate) fn copy_out(data: &Path, backup: &Path) -> std::io::Result<u64> {
    let from = data.join(CONTENT);
    if from.exists() { copy_tree(&from, &beside(backup)) } else { Ok(0) }
}

/// Copies content from beside a backup into a data folder; gives the number of files.
pub(crate) fn copy_in(backup: &Path, data: &Path) -> std::io::Result<u64> {
    let from = beside(backup);
    if from.exists() { copy_tree(&from, &data.join(CONTENT)) } else { Ok(0) }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<u64> {
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let mut files = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        files += match entry.file_type()?.is_dir() {
            true => copy_tree(&entry.path(), &place)?,
            false => u64::from(copy_file(&entry.path(), &place)?),
        };
    }
    File::open(to)?.sync_all()?;
    Ok(files)
}

/// `false`: there is one of that name already, which stays; or it was removed meanwhile, because no version names it.
fn copy_file(from: &Path, to: &Path) -> std::io::Result<bool> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let unfinished = to.with_extension("unfinished");
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    std::io::copy(&mut source, &mut copy)?;
    copy.sync_all()?;
    let named = std::fs::hard_link(&unfinished, to);
    std::fs::remove_file(&unfinished)?;
    match named {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        named => named.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn content_goes_out_and_comes_back_without_the_key_of_urls() {
        let (data, new, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let backup = place.path().join("b.bin");
        assert_eq!(copy_out(data.path(), &backup).unwrap(), 0);
        assert_eq!(copy_in(&backup, new.path()).unwrap(), 0);
        let file = "content/tenant/acme/Binary/1/1";
        std::fs::create_dir_all(data.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(data.path().join(file), "sealed").unwrap();
        std::fs::write(data.path().join("content/url.key"), "secret").unwrap();
        assert_eq!(copy_out(data.path(), &backup).unwrap(), 1);
        assert_eq!(copy_in(&backup, new.path()).unwrap(), 1);
        std::fs::write(beside(&backup).join("acme/Binary/1/1"), "other").unwrap();
        assert_eq!(copy_in(&backup, new.path()).unwrap(), 0, "what is there stays");
        assert_eq!(std::fs::read_to_string(new.path().join(file)).unwrap(), "sealed");
        assert!(!new.path().join("content/url.key").exists());
        assert_eq!(std::fs::metadata(new.path().join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
