//! Whether settings can be used. Each refusal names the setting, what was found and what is allowed.

use std::net::SocketAddr;

use fhirpool_authz::TenantId;

use super::{Config, ConfigError, MIB, Profile};

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_tenants()?;
        self.check_http()?;
        self.check_addresses()?;
        self.check_telemetry()?;
        self.check_ranges()?;
        match self.profile {
            Profile::Embedded if !cfg!(feature = "embedded") => {
                refuse("profile", "embedded", "aws: this program was built without the feature `embedded`")
            }
            Profile::Embedded => Ok(()),
            Profile::Aws if !cfg!(feature = "aws") => {
                refuse("profile", "aws", "embedded: this program was built without the feature `aws`")
            }
            Profile::Aws => self.check_aws(),
        }
    }

    fn check_tenants(&self) -> Result<(), ConfigError> {
        for tenant in self.tenant.iter().chain(Some(&self.default_tenant).filter(|tenant| !tenant.is_empty())) {
            if TenantId::parse(tenant).is_none() {
                return refuse("tenant", tenant, "1 to 64 letters, digits, `-` and `_`");
            }
        }
        if !self.default_tenant.is_empty() && !self.tenant.contains(&self.default_tenant) {
            return refuse("default_tenant", &self.default_tenant, "one of the tenants served");
        }
        Ok(())
    }

    fn check_http(&self) -> Result<(), ConfigError> {
        if !self.base_url.is_empty() && !is_plain_url(&self.base_url) {
            return refuse("base_url", &self.base_url, "an http or https URL without a slash, query or fragment at its end");
        }
        if self.tls_certificate.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            return refuse("tls_certificate and tls_key", "only one of them", "both or neither");
        }
        if self.token_audience.is_empty() {
            return refuse("token_audience", "nothing", "a text that tokens name in `aud`");
        }
        Ok(())
    }

    fn check_telemetry(&self) -> Result<(), ConfigError> {
        if !self.metrics_listen.is_empty() && self.metrics_listen.parse::<SocketAddr>().is_err() {
            return refuse("metrics_listen", &self.metrics_listen, "an address and a port, such as 127.0.0.1:9464, or nothing");
        }
        check_endpoint("otlp_endpoint", &self.otlp_endpoint)
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("metrics_tenants_max", self.metrics_tenants_max, 0, 10_000),
            ("otlp_sample_percent", self.otlp_sample_percent, 0, 100),
            ("audit_flush_ms_max", self.audit_flush_ms_max, 1, 10_000),
            ("audit_days", self.audit_days, 0, 36_500),
            ("audit_buffer_bytes", self.audit_buffer_bytes, 64 << 10, 1 << 30),
            ("audit_sink_file_bytes_max", self.audit_sink_file_bytes_max, 64 << 10, 1 << 40),
            ("audit_sink_files_max", self.audit_sink_files_max, 1, 10_000),
            ("body_bytes_max", self.body_bytes_max, 1 << 10, 4 << 30),
            ("binary_inline_bytes_max", self.binary_inline_bytes_max, 0, 64 * MIB),
            ("content_url_seconds", self.content_url_seconds, 1, 7 * 86_400),
            ("tenant_refresh_ms", self.tenant_refresh_ms, 10, 4_000),
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
            ("opensearch_shards", self.opensearch_shards, 1, 1_024),
            ("opensearch_replicas", self.opensearch_replicas, 0, 10),
            ("search_wait_ms_max", self.search_wait_ms_max, 0, 60_000),
            ("clock_margin_ms", self.clock_margin_ms, 0, 10_000),
            ("stream_margin_ms", self.stream_margin_ms, 0, 10_000),
            ("index_refresh_ms", self.index_refresh_ms, 1, 10_000),
        ];
        match ranges.iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            None => Ok(()),
            Some((setting, value, min, max)) => {
                Err(ConfigError::Refused { setting, found: value.to_string(), allowed: format!("{min} to {max}") })
            }
        }
    }

    fn check_aws(&self) -> Result<(), ConfigError> {
        check_endpoint("dynamodb_endpoint", &self.dynamodb_endpoint)?;
        check_endpoint("s3_endpoint", &self.s3_endpoint)?;
        check_endpoint("s3_public_endpoint", &self.s3_public_endpoint)?;
        check_endpoint("kms_endpoint", &self.kms_endpoint)?;
        check_endpoint("sqs_endpoint", &self.sqs_endpoint)?;
        if self.opensearch_url.is_empty() {
            return refuse("opensearch_url", "nothing", "the URL of at least one node of OpenSearch");
        }
        self.opensearch_url.iter().try_for_each(|url| check_endpoint("opensearch_url", url))?;
        if self.opensearch_user.is_empty() != self.opensearch_password_file.as_os_str().is_empty() {
            return refuse("opensearch_user and opensearch_password_file", "only one of them", "both or neither");
        }
        if self.kms_key.is_empty() {
            return refuse("kms_key", "nothing", "id, ARN or alias of a symmetric KMS key");
        }
        check_name("dynamodb_table", &self.dynamodb_table, 3..=200, "-_.")?;
        check_name("s3_bucket", &self.s3_bucket, 3..=63, "-.")?;
        check_name("sqs_queue", &self.sqs_queue, 1..=80, "-_")?;
        check_name("opensearch_index", &self.opensearch_index, 1..=200, "-_")?;
        if self.opensearch_index.starts_with(['-', '_']) || self.opensearch_index.contains(|letter: char| letter.is_ascii_uppercase()) {
            return refuse("opensearch_index", &self.opensearch_index, "a name in small letters that begins with a letter or digit");
        }
        Ok(())
    }
}

fn check_name(setting: &'static str, name: &str, lengths: std::ops::RangeInclusive<usize>, besides: &str) -> Result<(), ConfigError> {
    if lengths.contains(&name.len()) && name.chars().all(|letter| letter.is_ascii_alphanumeric() || besides.contains(letter)) {
        return Ok(());
    }
    let allowed = format!("{} to {} letters, digits and any of `{besides}`", lengths.start(), lengths.end());
    Err(ConfigError::Refused { setting, found: name.to_owned(), allowed })
}

/// The URL of a service; empty is allowed. What is refused may hold a password and is not repeated.
fn check_endpoint(setting: &'static str, url: &str) -> Result<(), ConfigError> {
    if url.contains('@') {
        return refuse(setting, "a URL with a user", "a URL without one");
    }
    if url.is_empty() || is_plain_url(url) {
        return Ok(());
    }
    refuse(setting, url, "an http or https URL without a slash, query or fragment at its end")
}

fn is_plain_url(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.ends_with('/') && !host.contains(['?', '#', ' ']))
}

fn refuse(setting: &'static str, found: &str, allowed: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Refused { setting, found: found.to_owned(), allowed: allowed.to_owned() })
}
