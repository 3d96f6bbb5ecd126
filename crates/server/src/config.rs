//! Settings: command line over environment (`FHIRPOOL_…`) over a TOML file over defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use fhirpool_authz::TenantId;
use serde::{Deserialize, Serialize};

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
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $env:literal;)*) => {
        /// Settings as given, each optional.
        #[derive(Debug, Clone, Default, clap::Args, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Given {
            $($(#[doc = $doc])+ #[arg(long, env = $env)] #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
            /// A tenant to serve; may be given several times (in the environment: separated by commas)
            #[arg(long, env = "FHIRPOOL_TENANT", value_delimiter = ',')]
            pub tenant: Vec<String>,
            /// Web origins that browsers may call from; `*` for all. None: no CORS
            #[arg(long, env = "FHIRPOOL_CORS_ORIGIN", value_delimiter = ',')]
            pub cors_origin: Vec<String>,
            /// Addresses of proxies whose X-Forwarded-* headers are believed
            #[arg(long, env = "FHIRPOOL_TRUSTED_PROXY", value_delimiter = ',')]
            pub trusted_proxy: Vec<IpAddr>,
        }

        /// The effective settings.
        #[derive(Debug, Clone, Serialize)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $type,)*
            /// The tenants served.
            pub tenant: Vec<String>,
            /// Web origins that browsers may call from.
            pub cors_origin: Vec<String>,
            /// Proxies whose X-Forwarded-* headers are believed.
            pub trusted_proxy: Vec<IpAddr>,
        }

        impl Given {
            /// What `self` leaves open is taken from `other`.
            fn or(self, other: Self) -> Self {
                Self {
                    $($name: self.$name.or(other.$name),)*
                    tenant: if self.tenant.is_empty() { other.tenant } else { self.tenant },
                    cors_origin: if self.cors_origin.is_empty() { other.cors_origin } else { self.cors_origin },
                    trusted_proxy: if self.trusted_proxy.is_empty() { other.trusted_proxy } else { self.trusted_proxy },
                }
            }

            fn or_default(self) -> Config {
                Config {
                    $($name: self.$name.unwrap_or_else(|| $default),)*
                    tenant: self.tenant,
                    cors_origin: self.cors_origin,
                    trusted_proxy: self.trusted_proxy,
                }
            }
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

settings! {
    /// The data folder
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
    /// How log lines look: pretty or json
    log_format: LogFormat = LogFormat::Pretty, "FHIRPOOL_LOG_FORMAT";
    /// What is logged, such as `info` or `fhirpool=debug`
    log_filter: String = String::from("info,fjall=warn,lsm_tree=warn"), "FHIRPOOL_LOG_FILTER";
    /// Largest request body in bytes, after decompression
    body_bytes_max: u64 = 256 * MIB, "FHIRPOOL_BODY_BYTES_MAX";
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
    /// Bytes of memory for blocks of the store
    block_cache_bytes: u64 = 128 * MIB, "FHIRPOOL_BLOCK_CACHE_BYTES";
    /// Bytes of memory for posting lists of searches
    posting_cache_bytes: u64 = 64 * MIB, "FHIRPOOL_POSTING_CACHE_BYTES";
    /// Most ids that one search may gather before it is refused as too costly
    search_ids_max: u64 = 2_000_000, "FHIRPOOL_SEARCH_IDS_MAX";
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Puts the sources together and checks every value.
    pub fn resolve(given: Given, file: Option<&Path>) -> Result<Self, ConfigError> {
        let from_file = match file {
            None => Given::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
                toml::from_str(&text).map_err(|cause| ConfigError::Malformed { path: path.to_owned(), cause: Box::new(cause) })?
            }
        };
        let config = given.or(from_file).or_default();
        config.check()?;
        Ok(config)
    }

    /// The tenants served.
    pub fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.tenant.iter().filter_map(|tenant| TenantId::parse(tenant))
    }

    fn check(&self) -> Result<(), ConfigError> {
        for tenant in self.tenant.iter().chain(Some(&self.default_tenant).filter(|tenant| !tenant.is_empty())) {
            if TenantId::parse(tenant).is_none() {
                return refuse("tenant", tenant, "1 to 64 letters, digits, `-` and `_`");
            }
        }
        if !self.default_tenant.is_empty() && !self.tenant.contains(&self.default_tenant) {
            return refuse("default_tenant", &self.default_tenant, "one of the tenants served");
        }
        let web = self.base_url.starts_with("http://") || self.base_url.starts_with("https://");
        if !self.base_url.is_empty() && (!web || self.base_url.ends_with('/') || self.base_url.contains(['?', '#', ' '])) {
            return refuse("base_url", &self.base_url, "an http or https URL without a slash, query or fragment at its end");
        }
        if self.tls_certificate.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            return refuse("tls_certificate and tls_key", "only one of them", "both or neither");
        }
        if self.token_audience.is_empty() {
            return refuse("token_audience", "nothing", "a text that tokens name in `aud`");
        }
        let ranges = [
            ("body_bytes_max", self.body_bytes_max, 1 << 10, 4 << 30),
            ("url_bytes_max", self.url_bytes_max, 256, MIB),
            ("header_bytes_max", self.header_bytes_max, 8 << 10, MIB),
            ("json_depth_max", self.json_depth_max, 10, 1_000),
            ("page_size_max", self.page_size_max, 1, 10_000),
            ("page_size_default", self.page_size_default, 1, self.page_size_max),
            ("include_count_max", self.include_count_max, 1, 100_000),
            ("bundle_entries_max", self.bundle_entries_max, 1, 1_000_000),
            ("request_seconds_max", self.request_seconds_max, 1, 3_600),
            ("client_idle_seconds_max", self.client_idle_seconds_max, 1, 3_600),
            ("connections_max", self.connections_max, 1, 1_000_000),
            ("drain_seconds_max", self.drain_seconds_max, 0, 3_600),
            ("block_cache_bytes", self.block_cache_bytes, MIB, 1 << 40),
            ("posting_cache_bytes", self.posting_cache_bytes, MIB, 1 << 40),
            ("search_ids_max", self.search_ids_max, 1_000, 1 << 32),
        ];
        match ranges.iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            None => Ok(()),
            Some((setting, value, min, max)) => {
                Err(ConfigError::Refused { setting, found: value.to_string(), allowed: format!("{min} to {max}") })
            }
        }
    }
}

fn refuse(setting: &'static str, found: &str, allowed: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Refused { setting, found: found.to_owned(), allowed: allowed.to_owned() })
}
