//! Public test data, which lives beside the checkout.

use std::path::{Path, PathBuf};

/// A folder or file of the shared test data, such as `synthea`. Fails with a sentence where it is not there.
pub fn path(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = root.join(name);
    assert!(path.exists(), "the test data {name} is not there: expected in the folder shared/data beside the checkout");
    path
}
