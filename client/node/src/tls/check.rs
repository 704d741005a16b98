//! Whether clients would accept a certificate, asked of the code that clients run.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::CertificateError;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use super::{Certificate, Pin};

/// So long before its end a certificate is warned of.
const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is wrong with a pair.
#[derive(Debug, PartialEq)]
pub(super) enum Flaw {
    NoCertificate,
    NoKey,
    OtherKey,
    NotFirst,
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
    client.connects(now)?;
    if client.connects(now + NOTICE) == Err(Flaw::Expired) {
        tracing::warn!("the TLS certificate expires within 30 days");
    }
    for name in names {
        if !client.accepts(name, now) {
            tracing::warn!(
                name,
                "the TLS certificate is not for this name; clients that have no copy of it refuse it"
            );
        }
    }
    Ok(())
}

/// A client that has a copy of a node's certificate.
#[derive(Debug)]
pub(super) struct Client {
    /// What the node shows.
    chain: Vec<CertificateDer<'static>>,
    pin: Pin,
}

impl Client {
    /// Refuses, as the server would, a pair that is none.
    pub(super) fn that_pins(certificate: &Certificate) -> Result<Self, Flaw> {
        let pin = Pin::from_pem(&certificate.cert_pem).ok_or(Flaw::NoCertificate)?;
        let chain = CertificateDer::pem_slice_iter(certificate.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Flaw::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.expose().as_bytes())
            .map_err(|_| Flaw::NoKey)?;
        let provider = aws_lc_rs::default_provider();
        let pair = |chain: &[CertificateDer<'static>]| {
            CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider)
        };
        pair(&chain).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let is_later = (1..chain.len()).any(|first| pair(&chain[first..]).is_ok());
                if is_later {
                    Flaw::NotFirst
                } else {
                    Flaw::OtherKey
                }
            }
            rustls::Error::InvalidCertificate(_) => Flaw::NoCertificate,
            _ => Flaw::NoKey,
        })?;
        Ok(Self { chain, pin })
    }

    /// Whether it takes the node for the one that it knows.
    pub(super) fn connects(&self, at: Timestamp) -> Result<(), Flaw> {
        let (first, others) = self.chain.split_first().ok_or(Flaw::NoCertificate)?;
        let name = ServerName::try_from("localhost").expect("it is a name");
        let verified = self
            .pin
            .verify_server_cert(first, others, &name, &[], unix(at));
        match verified {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Flaw::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Flaw::NotYet
                }
                error => Flaw::Unusable(error.to_string()),
            }),
            Err(error) => Err(Flaw::Unusable(error.to_string())),
        }
    }

    /// Whether others, that know its authority if it has one, accept it by this name.
    pub(super) fn accepts(&self, name: &str, at: Timestamp) -> bool {
        let Ok(name) = ServerName::try_from(name) else {
            return false;
        };
        let verified = self.pin.by_authority(&self.chain, &name, unix(at));
        // Which authorities they know is not known here.
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        verified.map_or_else(|error| error == unknown, |_| true)
    }
}

fn unix(at: Timestamp) -> UnixTime {
    let since_1970 = Duration::from_secs(at.as_second().try_into().unwrap_or_default());
    UnixTime::since_unix_epoch(since_1970)
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no readable certificate"),
            Self::NoKey => f.write_str("there is no readable key for it"),
            Self::OtherKey => f.write_str("the key is that of another certificate"),
            Self::NotFirst => f.write_str(
                "the key is that of a later certificate in the file: it has to be the first, and those of \
                 authorities behind it",
            ),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYet => f.write_str("it is not good yet: is the clock right?"),
            Self::Unusable(reason) => f.write_str(reason),
        }
    }
}
