//! Whether clients would accept a certificate, asked of the code that clients run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use super::Certificate;

/// So long before its end a certificate is warned of.
const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is wrong with a pair.
#[derive(Debug, PartialEq)]
pub(super) enum Flaw {
    NoCertificate,
    NoKey,
    OtherKey,
    Expired,
    NotYet,
    Unusable(String),
}

/// Refuses what no client would accept; warns of what some would not, or soon.
pub(super) fn check(
    certificate: &Certificate,
    names: &[String],
    now: Timestamp,
) -> Result<(), Flaw> {
    let client = Client::that_pins(certificate)?;
    client.accepts("localhost", now)?;
    if client.accepts("localhost", now + NOTICE) == Err(Flaw::Expired) {
        tracing::warn!("the TLS certificate expires within 30 days");
    }
    for name in names {
        if !client.accepts(name, now)? {
            tracing::warn!(
                name,
                "the TLS certificate is not for this name; clients refuse it"
            );
        }
    }
    Ok(())
}

/// What a client does that pins a certificate.
#[derive(Debug)]
pub(super) struct Client {
    chain: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Client {
    /// Refuses, as the server would, a pair that is none.
    pub(super) fn that_pins(certificate: &Certificate) -> Result<Self, Flaw> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_slice_iter(certificate.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Flaw::NoCertificate)?;
        let last = chain.last().ok_or(Flaw::NoCertificate)?.clone();
        let mut roots = RootCertStore::empty();
        roots.add(last).map_err(|_| Flaw::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.expose().as_bytes())
            .map_err(|_| Flaw::NoKey)?;
        CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Flaw::OtherKey,
            rustls::Error::InvalidCertificate(_) => Flaw::NoCertificate,
            _ => Flaw::NoKey,
        })?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build();
        let verifier = verifier.map_err(|error| Flaw::Unusable(error.to_string()))?;
        Ok(Self { chain, verifier })
    }

    /// Whether it is good for this name; an error if for none.
    pub(super) fn accepts(&self, name: &str, at: Timestamp) -> Result<bool, Flaw> {
        let Ok(name) = ServerName::try_from(name) else {
            return Ok(false);
        };
        let since_1970 = Duration::from_secs(at.as_second().try_into().unwrap_or_default());
        let at = UnixTime::since_unix_epoch(since_1970);
        let (leaf, authorities) = self.chain.split_first().expect("its last was pinned");
        match self
            .verifier
            .verify_server_cert(leaf, authorities, &name, &[], at)
        {
            Ok(_) => Ok(true),
            Err(rustls::Error::InvalidCertificate(error)) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Err(Flaw::Expired)
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Err(Flaw::NotYet)
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Ok(false),
                // It comes from an authority that clients may know. Times are looked at before.
                CertificateError::UnknownIssuer => Ok(true),
                error => Err(Flaw::Unusable(error.to_string())),
            },
            Err(error) => Err(Flaw::Unusable(error.to_string())),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no readable certificate"),
            Self::NoKey => f.write_str("there is no readable key for it"),
            Self::OtherKey => f.write_str("the key is that of another certificate"),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYet => f.write_str("it is not good yet: is the clock right?"),
            Self::Unusable(reason) => f.write_str(reason),
        }
    }
}
