//! Real-looking data conforms.

use std::fs::{self, File};
use std::io::Read;

use flate2::read::GzDecoder;

use super::*;

#[test]
fn synthea_conforms() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/synthea");
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("the test data is missing, ../shared/data/synthea: {error}"));
    let mut resources = 0;
    for file in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "gz")) {
        let mut text = Vec::new();
        GzDecoder::new(File::open(&file).unwrap()).read_to_end(&mut text).unwrap();
        let bundle = Document::parse(text).unwrap();
        let issues = validate(definitions(), bundle.root());
        assert!(issues.is_empty(), "{}: {issues:#?}", file.display());
        resources += bundle.root().get("entry").map_or(0, |entries| entries.elements().count());
    }
    assert_eq!(resources, 92_114);
}
