//! TLS settings: the same trusted certificates for ureq, and for WebSockets and proxies, which are
//! connected without it.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::settings::Settings;
use crate::ClientError;

/// Parses the certificates of a PEM file.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, ClientError> {
    let refuse =
        |why: &dyn fmt::Display| ClientError::invalid(format_args!("ca_certificate_pem: {why}"));
    let mut certificates = Vec::new();
    for item in parse_pem(pem) {
        match item.map_err(|error| refuse(&error))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => return Err(refuse(&"contains something other than certificates")),
        }
    }
    if certificates.is_empty() {
        return Err(refuse(&"contains no certificate"));
    }
    Ok(certificates)
}

pub(super) fn of_agent(settings: &Settings) -> TlsConfig {
    let config = TlsConfig::builder().disable_verification(settings.accept_invalid_certs);
    match &settings.roots {
        Some(roots) => config.root_certs(RootCerts::new_with_certs(roots)),
        None => config,
    }
    .build()
}

pub(super) fn of_dial(settings: &Settings) -> Result<Arc<ClientConfig>, rustls::Error> {
    // Like ureq: the program's own provider, if it has set one.
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    if settings.accept_invalid_certs {
        let config =
            config.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
        return Ok(Arc::new(config.with_no_client_auth()));
    }
    let mut roots = RootCertStore::empty();
    match &settings.roots {
        Some(own) => {
            roots
                .add_parsable_certificates(own.iter().map(|root| CertificateDer::from(root.der())));
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Accepts any certificate.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
