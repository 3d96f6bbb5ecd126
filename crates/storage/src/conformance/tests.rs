//! The suite runs on the model, and misses no case.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::*;
use crate::memory::MemoryStore;

/// A store in memory whose clock stands still now and then.
pub(crate) async fn make(tenants: Vec<TenantId>) -> Stores {
    let calls = Mutex::new(0);
    let now = move || {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        Timestamp(1_700_000_000_000 + *calls / 3 * 5)
    };
    let store = Arc::new(MemoryStore::new(&tenants, extractors(), now));
    Stores { resources: store.clone(), index: store, pictures: true, keep: Box::new(()) }
}

mod on_memory {
    crate::store_conformance!(crate::conformance::tests::make);
}

#[test]
fn every_case_is_in_the_macro() {
    let list = std::fs::read_to_string(source("conformance.rs")).unwrap();
    let list = &list[list.find("macro_rules! store_conformance ").unwrap()..];
    let files = |folder: &str| std::fs::read_dir(source(folder)).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let mut cases = 0;
    for file in [files("conformance"), files("conformance/model")].concat().iter().filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(file).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = line.split('(').next().unwrap();
            assert!(list.contains(&format!("{name},")) || list.contains(&format!("{name};")), "{name} is not in store_conformance!");
            cases += 1;
        }
    }
    assert!(cases > 30, "the cases were not found");
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)
}

#[tokio::test]
async fn buckets_in_memory_keep_the_contract() {
    quota_leases(&crate::memory::MemoryQuotaLeases::default()).await;
    stored_bytes(&crate::memory::MemoryQuotaLeases::default()).await;
}

async fn registry() -> crate::tenants::conformance::Made {
    (Arc::new(crate::memory::MemoryRegistry::default()), Box::new(()))
}

crate::registry_conformance!(super::registry);

#[tokio::test]
async fn duties_in_memory_keep_the_contract() {
    duty_leases(&crate::memory::MemoryDutyLeases::default()).await;
}
