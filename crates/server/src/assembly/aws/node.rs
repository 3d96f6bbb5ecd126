//! What a process of the profile aws is made of: a store, an index over it, and what keeps the two together.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fhirpool_dynamodb::{ClientMarks, DynamoChangeLog, DynamoStore, StorePorts, StoreSettings, StreamFeed};
use fhirpool_fhir::{Definitions, ServiceBase};
use fhirpool_indexer::{
    Clock, Extraction, FreshIndex, FreshIndexParts, FreshnessSettings, IndexerPorts, IndexerSettings, MarkedStore, Recency, TenantBase,
    Watermarks,
};
use fhirpool_search::Extractors;

use super::services::Services;
use crate::config::Config;

/// The parts of a process.
pub(crate) struct Node {
    pub definitions: Arc<Definitions>,
    pub extractors: Arc<Extractors>,
    pub feed: Arc<StreamFeed>,
    pub log: Arc<DynamoChangeLog>,
    /// The store for clients: it marks who has written.
    pub marked: Arc<MarkedStore>,
    pub index: Arc<FreshIndex>,
    pub extraction: Extraction,
    pub watermarks: Arc<Watermarks>,
    pub clock: Arc<dyn Clock>,
    pub indexer_settings: IndexerSettings,
}

/// The store's clock, by which its writes and views are ordered.
struct StoreClock(Arc<DynamoStore>);

impl Clock for StoreClock {
    fn now(&self) -> i64 {
        self.0.now_us()
    }
}

impl Node {
    /// Absolute references below a tenant's own bases are local, and those below `base_url`, or `own_url` where that is not set.
    pub(crate) fn new(config: &Config, services: &Services, own_url: Option<&str>) -> Self {
        let base = tenant_base(config, own_url);
        let definitions = Definitions::r4();
        let extractors = Arc::new(Extractors::new(Arc::clone(&definitions)));
        let ports = StorePorts {
            keys: Arc::clone(&services.keys) as _,
            content: Arc::clone(&services.content) as _,
            tenants: Arc::clone(&services.tenants) as _,
            extractors: Arc::clone(&extractors),
            base: Arc::clone(&base),
            clock: Arc::new(now_us),
        };
        let store_settings = StoreSettings { clock_margin_ms: config.clock_margin_ms, ..StoreSettings::default() };
        let store = Arc::new(DynamoStore::new(services.dynamo.clone(), ports, store_settings));
        let clock: Arc<dyn Clock> = Arc::new(StoreClock(Arc::clone(&store)));
        let indexer_settings = IndexerSettings {
            stream_margin_ms: config.stream_margin_ms,
            refresh_ms_min: config.index_refresh_ms,
            publish_ms: config.index_refresh_ms,
            ..IndexerSettings::default()
        };
        let settings = FreshnessSettings {
            wait_ms_max: config.search_wait_ms_max,
            clock_margin_ms: config.clock_margin_ms,
            ..FreshnessSettings::default()
        };
        let watermarks = Arc::new(Watermarks::new(Arc::new(services.control.clone()), settings.read_ms));
        let marks =
            Arc::new(ClientMarks::new(services.dynamo.clone(), Arc::clone(&services.keys) as _, Arc::clone(&services.tenants) as _));
        let recency = Arc::new(Recency::new(marks, Arc::clone(&watermarks), Arc::clone(&clock), &settings));
        let extraction = Extraction::new(Arc::clone(&extractors), base);
        let index = Arc::new(FreshIndex::new(FreshIndexParts {
            candidates: Arc::clone(&services.search) as _,
            store: Arc::clone(&store) as _,
            lookup: Arc::clone(&store) as _,
            recency: Arc::clone(&recency),
            extraction: extraction.clone(),
        }));
        store.set_index(Arc::clone(&index) as _);
        let marked = Arc::new(MarkedStore::new(Arc::clone(&store) as _, recency));
        let feed = Arc::new(StreamFeed::new(&store));
        let log = Arc::new(DynamoChangeLog::new(services.dynamo.clone(), Arc::clone(&services.keys) as _));
        Self { definitions, extractors, feed, log, marked, index, extraction, watermarks, clock, indexer_settings }
    }

    /// What an indexer of this process works with.
    pub(crate) fn indexer_ports(&self, services: &Services) -> IndexerPorts {
        IndexerPorts {
            feed: Arc::clone(&self.feed) as _,
            leases: Arc::new(services.control.clone()),
            log: Arc::clone(&self.log) as _,
            writer: Arc::clone(&services.search) as _,
            letters: Arc::clone(&services.letters) as _,
            extraction: self.extraction.clone(),
            watermarks: Arc::clone(&self.watermarks),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// Where a tenant is reached, as far as that is known without a request; else nowhere, so that no absolute reference is local.
fn tenant_base(config: &Config, own_url: Option<&str>) -> TenantBase {
    let addresses = config.addresses();
    let own_url = own_url.filter(|_| config.base_url.is_empty()).map(str::to_owned);
    Arc::new(move |tenant| {
        let mut urls = addresses.bases(tenant);
        urls.extend(own_url.iter().map(|url| format!("{url}/tenant/{tenant}")));
        ServiceBase::without_links(urls.into())
    })
}

/// Microseconds since 1970 by the machine's clock.
fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
