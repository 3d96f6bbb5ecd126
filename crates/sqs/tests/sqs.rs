//! Dead letters in a real queue.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use fhirpool_authz::TenantId;
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType, VersionId};
use fhirpool_sqs::{Queue, Settings};
use fhirpool_storage::{DeadLetter, DeadLetters, MIGRATIONS, Migrate, Migration, MigrationPart, StorageError};

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start the local stack with `cargo xtask stack up`"))
}

async fn queue() -> Queue {
    let endpoint = Some(setting("FHIRPOOL_SQS_ENDPOINT"));
    let queue = format!("fhirpool-test-{:032x}", rand::random::<u128>());
    Queue::open(Settings { endpoint, region: Some("us-east-1".into()), queue }).await
}

fn migration() -> Migration {
    *MIGRATIONS.iter().find(|migration| migration.part == MigrationPart::Sqs).unwrap()
}

fn letter(number: u64) -> DeadLetter {
    DeadLetter {
        tenant: TenantId::parse("acme"),
        key: Some(ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse("p1").unwrap())),
        version: Some(VersionId(number)),
        record: format!("record {number}"),
        cause: "the index refused it".into(),
    }
}

#[tokio::test]
async fn letters_wait_until_they_are_removed() {
    let queue = queue().await;
    let quick = Migration { description: r#"{"why":"","retention_s":1209600,"visibility_timeout_s":3}"#, ..migration() };
    queue.apply(&quick).await.unwrap();
    for number in 1..=25 {
        queue.put(&letter(number)).await.unwrap();
    }
    let taken = queue.take(100).await.unwrap();
    let mut numbers: Vec<u64> = taken.iter().map(|(letter, _)| letter.version.unwrap().0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
    assert_eq!(taken[0].0, letter(taken[0].0.version.unwrap().0));
    let (kept, removed) = taken.split_last().unwrap();
    for (_, receipt) in removed {
        queue.remove(receipt).await.unwrap();
    }
    // The one that was not removed comes again.
    let deadline = Instant::now() + Duration::from_secs(20);
    let again = loop {
        let again = queue.take(100).await.unwrap();
        if !again.is_empty() || Instant::now() > deadline {
            break again;
        }
    };
    assert_eq!(again.iter().map(|(letter, _)| letter).collect::<Vec<_>>(), [&kept.0]);
    queue.remove(&again[0].1).await.unwrap();
    queue.destroy().await.unwrap();
}

#[tokio::test]
async fn the_queue_is_made_as_described() {
    let queue = queue().await;
    assert!(matches!(queue.put(&letter(1)).await, Err(StorageError::Unavailable(_))), "there is no queue yet");
    assert!(queue.check(&migration()).await.unwrap()[0].ends_with("does not exist"));
    queue.apply(&migration()).await.unwrap();
    assert_eq!(queue.check(&migration()).await.unwrap(), Vec::<String>::new());
    queue.apply(&migration()).await.unwrap();
    let other = Migration { description: r#"{"why":"","retention_s":3600,"visibility_timeout_s":60}"#, ..migration() };
    assert_eq!(queue.check(&other).await.unwrap().len(), 1);
    queue.put(&letter(1)).await.unwrap();
    queue.destroy().await.unwrap();
}

#[tokio::test]
async fn a_queue_out_of_reach_is_told_from_an_empty_one() {
    let settings = Settings { endpoint: Some("http://127.0.0.1:1".into()), region: Some("us-east-1".into()), queue: "x".into() };
    let queue = Queue::open(settings).await;
    assert!(matches!(queue.take(1).await, Err(StorageError::Unavailable(_))));
    assert!(matches!(queue.put(&letter(1)).await, Err(StorageError::Unavailable(_))));
}
