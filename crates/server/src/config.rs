//! Settings: command line over environment (`FHIRPOOL_…`) over a TOML file over defaults.
//!
//! Secrets are no settings: AWS's own chain gives the credentials, and a password lies in a file that a setting names. So the
//! effective settings can be printed.

pub(crate) mod addresses;
mod check;
mod choices;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use fhirpool_authz::TenantId;
use serde::{Deserialize, Serialize};

pub use choices::{AuditSink, ContentDelivery, LogFormat, Profile};

/// A setting that cannot be used. The text names the setting, what was found and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config: cannot read {path}: {cause}; allowed: a readable TOML file")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is no valid TOML or has an unknown or ill-typed setting.
    #[error("config: {path}: {cause}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Line, key and what was expected.
        cause: Box<toml::de::Error>,
    },
    /// The access file says something that cannot be meant.
    #[error("access_file: {path}: {cause}")]
    Access {
        /// Which.
        path: PathBuf,
        /// What.
        cause: fhirpool_authz::PolicyError,
    },
    /// A value is out of its range.
    #[error("{setting}: found {found}; allowed: {allowed}")]
    Refused {
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        allowed: String,
    },
}

macro_rules! settings {
    (
        $($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $env:literal;)*
        lists: $($(#[doc = $list_doc:literal])+ $list:ident: $item:ty, $list_env:literal;)*
    ) => {
        /// Settings as given, each optional.
        #[derive(Debug, Clone, Default, clap::Args, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Given {
            $($(#[doc = $doc])+ #[arg(long, env = $env)] #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
            $($(#[doc = $list_doc])+ #[arg(long, env = $list_env, value_delimiter = ',')] pub $list: Vec<$item>,)*
        }

        /// The effective settings.
        #[derive(Debug, Clone, Serialize)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $type,)*
            $($(#[doc = $list_doc])+ pub $list: Vec<$item>,)*
        }

        impl Given {
            /// What `self` leaves open is taken from `other`.
            pub fn or(self, other: Self) -> Self {
                Self {
                    $($name: self.$name.or(other.$name),)*
                    $($list: if self.$list.is_empty() { other.$list } else { self.$list },)*
                }
            }

            fn or_default(self) -> Config {
                Config {
                    $($name: self.$name.unwrap_or_else(|| $default),)*
                    $($list: self.$list,)*
                }
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

settings! {
    /// Where everything is kept: embedded (in a data folder) or aws (DynamoDB, OpenSearch, S3, KMS, SQS)
    profile: Profile = Profile::Embedded, "FHIRPOOL_PROFILE";
    /// The data folder; in the profile aws it holds the local issuer's key alone
    data: PathBuf = PathBuf::from("data"), "FHIRPOOL_DATA";
    /// The address to listen on
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080)), "FHIRPOOL_LISTEN";
    /// The URL clients reach the server by, without `/tenant/…`; empty: taken from each request's Host header
    base_url: String = String::new(), "FHIRPOOL_BASE_URL";
    /// The tenant that is also served without `/tenant/<id>`; empty: none
    default_tenant: String = String::new(), "FHIRPOOL_DEFAULT_TENANT";
    /// PEM file with the TLS certificate chain; empty: no TLS
    tls_certificate: PathBuf = PathBuf::new(), "FHIRPOOL_TLS_CERTIFICATE";
    /// PEM file with the TLS private key
    tls_key: PathBuf = PathBuf::new(), "FHIRPOOL_TLS_KEY";
    /// Audience that tokens must name
    token_audience: String = String::from("fhirpool"), "FHIRPOOL_TOKEN_AUDIENCE";
    /// Whether tokens of the server's own issuer (`fhirpool token`) are accepted: on in the profile embedded, off in aws
    local_issuer: bool = true, "FHIRPOOL_LOCAL_ISSUER";
    /// TOML file with roles, issuers and the authorization server; empty: the default roles, and no issuer elsewhere
    access_file: PathBuf = PathBuf::new(), "FHIRPOOL_ACCESS_FILE";
    /// How log lines look: pretty or json
    log_format: LogFormat = LogFormat::Pretty, "FHIRPOOL_LOG_FORMAT";
    /// What is logged, such as `info` or `fhirpool=debug`
    log_filter: String = String::from("info,fjall=warn,lsm_tree=warn"), "FHIRPOOL_LOG_FILTER";
    /// The address at which `/metrics` is served in Prometheus's format, to whoever reaches it; empty: nowhere
    metrics_listen: String = String::new(), "FHIRPOOL_METRICS_LISTEN";
    /// Tenants that have metrics of their own; all others share one label
    metrics_tenants_max: u64 = 100, "FHIRPOOL_METRICS_TENANTS_MAX";
    /// The URL of an OpenTelemetry collector (OTLP over HTTP), such as `http://127.0.0.1:4318`; empty: no traces are sent
    otlp_endpoint: String = String::new(), "FHIRPOOL_OTLP_ENDPOINT";
    /// How many of a hundred requests are traced
    otlp_sample_percent: u64 = 100, "FHIRPOOL_OTLP_SAMPLE_PERCENT";
    /// Whether every access, allowed or denied, leaves a record in the tenant's log of accesses
    audit: bool = true, "FHIRPOOL_AUDIT";
    /// Whether a change is answered only when its record is on stable storage; else a crash may lose records as it does of reads
    audit_changes_wait: bool = true, "FHIRPOOL_AUDIT_CHANGES_WAIT";
    /// Milliseconds that a record waits for others at most before it is written; what a crash may lose of reads
    audit_flush_ms_max: u64 = 200, "FHIRPOOL_AUDIT_FLUSH_MS_MAX";
    /// Bytes of memory for records that are not written yet; requests wait while it is full
    audit_buffer_bytes: u64 = 16 * MIB, "FHIRPOOL_AUDIT_BUFFER_BYTES";
    /// Days after which records of accesses are removed, by whole hours; 0: they are kept for ever
    audit_days: u64 = 0, "FHIRPOOL_AUDIT_DAYS";
    /// Where records go besides, as lines of JSON: none, stdout, file or cloudwatch (standard output, as CloudWatch takes events)
    audit_sink: AuditSink = AuditSink::None, "FHIRPOOL_AUDIT_SINK";
    /// The file of the sink `file`; full ones are put aside as `<file>.1`, `<file>.2` and so on
    audit_sink_file: PathBuf = PathBuf::from("audit.jsonl"), "FHIRPOOL_AUDIT_SINK_FILE";
    /// Bytes of that file beyond which it is put aside
    audit_sink_file_bytes_max: u64 = 100 * MIB, "FHIRPOOL_AUDIT_SINK_FILE_BYTES_MAX";
    /// Files of the sink that are kept, the newest among them
    audit_sink_files_max: u64 = 10, "FHIRPOOL_AUDIT_SINK_FILES_MAX";
    /// Largest request body in bytes, after decompression
    body_bytes_max: u64 = 256 * MIB, "FHIRPOOL_BODY_BYTES_MAX";
    /// Bytes of a Binary's data up to which it stays in the resource; more is kept beside it, and read with it
    binary_inline_bytes_max: u64 = 64 * KIB, "FHIRPOOL_BINARY_INLINE_BYTES_MAX";
    /// Seconds that a signed URL for the content of a Binary is good for
    content_url_seconds: u64 = 300, "FHIRPOOL_CONTENT_URL_SECONDS";
    /// Milliseconds between two looks of a node at the registry of tenants: so much later a tenant that is suspended is refused
    tenant_refresh_ms: u64 = 1_000, "FHIRPOOL_TENANT_REFRESH_MS";
    /// Longest request target in bytes
    url_bytes_max: u64 = 64 * KIB, "FHIRPOOL_URL_BYTES_MAX";
    /// Most bytes of request headers
    header_bytes_max: u64 = 64 * KIB, "FHIRPOOL_HEADER_BYTES_MAX";
    /// Deepest nesting of JSON
    json_depth_max: u64 = 100, "FHIRPOOL_JSON_DEPTH_MAX";
    /// Entries of a page where the client does not say
    page_size_default: u64 = 20, "FHIRPOOL_PAGE_SIZE_DEFAULT";
    /// Most entries of a page
    page_size_max: u64 = 1_000, "FHIRPOOL_PAGE_SIZE_MAX";
    /// Most resources that _include and _revinclude may add to a page
    include_count_max: u64 = 1_000, "FHIRPOOL_INCLUDE_COUNT_MAX";
    /// Most entries of a batch or transaction
    bundle_entries_max: u64 = 100_000, "FHIRPOOL_BUNDLE_ENTRIES_MAX";
    /// Seconds that one request may take, its body included
    request_seconds_max: u64 = 300, "FHIRPOOL_REQUEST_SECONDS_MAX";
    /// Seconds within which a client must have sent its headers, and take each part of an answer
    client_idle_seconds_max: u64 = 60, "FHIRPOOL_CLIENT_IDLE_SECONDS_MAX";
    /// Most connections at once
    connections_max: u64 = 4_096, "FHIRPOOL_CONNECTIONS_MAX";
    /// Seconds that a stop waits for requests under way
    drain_seconds_max: u64 = 30, "FHIRPOOL_DRAIN_SECONDS_MAX";
    /// Embedded: bytes of memory for blocks of the store
    block_cache_bytes: u64 = 128 * MIB, "FHIRPOOL_BLOCK_CACHE_BYTES";
    /// Embedded: bytes of memory for posting lists of searches
    posting_cache_bytes: u64 = 64 * MIB, "FHIRPOOL_POSTING_CACHE_BYTES";
    /// Embedded: most ids that one search may gather before it is refused as too costly
    search_ids_max: u64 = 2_000_000, "FHIRPOOL_SEARCH_IDS_MAX";
    /// AWS: the region; empty: as AWS's own settings say
    aws_region: String = String::new(), "FHIRPOOL_AWS_REGION";
    /// AWS: the URL of DynamoDB and its streams; empty: AWS's own
    dynamodb_endpoint: String = String::new(), "FHIRPOOL_DYNAMODB_ENDPOINT";
    /// AWS: what the names of the tables begin with (`-data` and `-control` follow)
    dynamodb_table: String = String::from("fhirpool"), "FHIRPOOL_DYNAMODB_TABLE";
    /// AWS: what the names of the search index begin with
    opensearch_index: String = String::from("fhirpool"), "FHIRPOOL_OPENSEARCH_INDEX";
    /// AWS: primary shards of a new search index; a tenant lies on one of them
    opensearch_shards: u64 = 6, "FHIRPOOL_OPENSEARCH_SHARDS";
    /// AWS: copies of each shard of a new search index
    opensearch_replicas: u64 = 1, "FHIRPOOL_OPENSEARCH_REPLICAS";
    /// AWS: the user at OpenSearch; empty: none
    opensearch_user: String = String::new(), "FHIRPOOL_OPENSEARCH_USER";
    /// AWS: a file with that user's password
    opensearch_password_file: PathBuf = PathBuf::new(), "FHIRPOOL_OPENSEARCH_PASSWORD_FILE";
    /// AWS: the URL of S3; empty: AWS's own
    s3_endpoint: String = String::new(), "FHIRPOOL_S3_ENDPOINT";
    /// AWS: the URL of S3 in signed URLs, where clients reach it by another one; empty: the same
    s3_public_endpoint: String = String::new(), "FHIRPOOL_S3_PUBLIC_ENDPOINT";
    /// AWS: the bucket for large bodies and the content of Binary resources
    s3_bucket: String = String::from("fhirpool"), "FHIRPOOL_S3_BUCKET";
    /// AWS: where clients up- and download content of Binary resources by signed URLs: s3, or server, which then passes the bytes on
    content_delivery: ContentDelivery = ContentDelivery::S3, "FHIRPOOL_CONTENT_DELIVERY";
    /// AWS: id, ARN or alias of the KMS key under which the bucket encrypts; empty: as the bucket itself says
    s3_kms_key: String = String::new(), "FHIRPOOL_S3_KMS_KEY";
    /// AWS: the URL of KMS; empty: AWS's own
    kms_endpoint: String = String::new(), "FHIRPOOL_KMS_ENDPOINT";
    /// AWS: id, ARN or alias of the KMS key that wraps the tenants' keys
    kms_key: String = String::new(), "FHIRPOOL_KMS_KEY";
    /// AWS: the URL of SQS; empty: AWS's own
    sqs_endpoint: String = String::new(), "FHIRPOOL_SQS_ENDPOINT";
    /// AWS: the queue of changes that could not be indexed
    sqs_queue: String = String::from("fhirpool-dead-letters"), "FHIRPOOL_SQS_QUEUE";
    /// AWS: whether `serve` runs an indexer and the sweeper in its own process
    indexer: bool = true, "FHIRPOOL_INDEXER";
    /// AWS: milliseconds that a search waits at most until the index holds what it must know of
    search_wait_ms_max: u64 = 2_000, "FHIRPOOL_SEARCH_WAIT_MS_MAX";
    /// AWS: milliseconds by which the clocks of nodes differ at most
    clock_margin_ms: u64 = 50, "FHIRPOOL_CLOCK_MARGIN_MS";
    /// AWS: milliseconds after which a write that was acknowledged is in the table's stream at the latest
    stream_margin_ms: u64 = 200, "FHIRPOOL_STREAM_MARGIN_MS";
    /// AWS: milliseconds between two refreshes of the index at least
    index_refresh_ms: u64 = 200, "FHIRPOOL_INDEX_REFRESH_MS";
    lists:
    /// A tenant to serve; may be given several times (in the environment: separated by commas)
    tenant: String, "FHIRPOOL_TENANT";
    /// A base URL of a tenant besides `/tenant/<id>`: `<id>=<URL>`, or a URL with `{tenant}` as a label of its host or a segment of its path
    tenant_address: String, "FHIRPOOL_TENANT_ADDRESS";
    /// Web origins that browsers may call from; `*` for all. None: no CORS
    cors_origin: String, "FHIRPOOL_CORS_ORIGIN";
    /// Addresses of proxies whose X-Forwarded-* headers are believed
    trusted_proxy: IpAddr, "FHIRPOOL_TRUSTED_PROXY";
    /// AWS: a node of OpenSearch, such as `https://search.internal:9200`; may be given several times
    opensearch_url: String, "FHIRPOOL_OPENSEARCH_URL";
}

impl Config {
    /// Puts the sources together and checks every value.
    pub fn resolve(given: Given, file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::resolve_for(Profile::Embedded, given, file)
    }

    /// The same, in this profile where no source names one.
    pub fn resolve_for(profile: Profile, given: Given, file: Option<&Path>) -> Result<Self, ConfigError> {
        let from_file = match file {
            None => Given::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
                toml::from_str(&text).map_err(|cause| ConfigError::Malformed { path: path.to_owned(), cause: Box::new(cause) })?
            }
        };
        let mut given = given.or(from_file);
        let profile = *given.profile.get_or_insert(profile);
        // A fleet's nodes have no key in common, and whoever can read one node's folder would be anyone.
        let local_issuer = *given.local_issuer.get_or_insert(profile == Profile::Embedded);
        if let (Profile::Aws, false, Some(data)) = (profile, local_issuer, &given.data) {
            return Err(ConfigError::Refused {
                setting: "data",
                found: data.display().to_string(),
                allowed: "nothing in the profile aws, unless local_issuer is true: then the folder holds its key".to_owned(),
            });
        }
        let config = given.or_default();
        config.check()?;
        Ok(config)
    }

    /// The tenants named.
    pub fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.tenant.iter().filter_map(|tenant| TenantId::parse(tenant))
    }

    /// Where metrics are served, if anywhere.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listen.parse().ok()
    }
}
