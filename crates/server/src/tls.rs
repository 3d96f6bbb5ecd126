//! TLS from PEM files, by rustls.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::ConfigError;

/// Reads certificate chain and key; HTTP/2 and HTTP/1.1 are offered.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ConfigError> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| refused("tls_certificate", certificate, &cause, "a readable PEM file with a certificate chain"))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|cause| refused("tls_key", key, &cause, "a readable PEM file with a private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, private))
        .map_err(|cause| refused("tls_certificate", certificate, &cause, "a certificate chain that fits the key"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn refused(setting: &'static str, path: &Path, cause: &dyn std::fmt::Display, allowed: &str) -> ConfigError {
    ConfigError::Refused { setting, found: format!("{} ({cause})", path.display()), allowed: allowed.to_owned() }
}
