//! What a client trusts that has a copy of a node's certificate.
//!
//! ```text
//!  the server shows the first certificate of the file ──────> it is the node, whatever it is called
//!  another, signed by an authority that is in the file ─────> it is, if it is called as it was dialled
//!  anything else, or one that is over or not yet good ──────> refused
//! ```
//!
//! So a copy of `tls.crt` is enough, be it of the node's own making or an authority's, with a chain or
//! without; and a copy of the authority's certificate outlasts those that it signs.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// A file of certificates, as a client trusts it.
#[derive(Debug)]
pub struct Pin {
    first: CertificateDer<'static>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl Pin {
    /// What a PEM file pins; `None` if there is no certificate in it, or one cannot be read.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        let certificates: Vec<_> = certificates.collect::<Result<_, _>>().ok()?;
        let first = certificates.first()?.clone();
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate).ok()?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Some(Self {
            first,
            authorities: authorities.build().ok()?,
        })
    }

    /// What clients say that know no more of it than who signed it.
    pub(super) fn by_authority(
        &self,
        shown: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        at: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (first, others) = shown.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.authorities
            .verify_server_cert(first, others, name, &[], at)
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .authorities
            .verify_server_cert(shown, others, name, ocsp, now);
        match verified {
            // Its times are looked at before anything else.
            Err(Error::InvalidCertificate(error))
                if *shown == self.first && !is_of_times(&error) =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let authorities = &self.authorities;
        authorities.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let authorities = &self.authorities;
        authorities.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether a certificate is refused because it is over, or not yet good.
fn is_of_times(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}
