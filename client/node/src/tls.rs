//! The certificate by which clients know this node.
//!
//! ```text
//!  first start:  no files ──> a key, and a certificate that it signs itself ──> tls.key, tls.crt
//!  later:        tls.crt ──> the server, and ──copied──> clients, who pin it: no authority is asked
//! ```
//!
//! Who has a certificate of an authority puts it and its key there instead, under the same names: the
//! node's certificate first, and behind it those of authorities.

mod check;
mod pin;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use zeroize::Zeroizing;

use crate::Error;
use crate::password::{Secret, warn_of_readers};
use crate::private_file;

pub use self::pin::Pin;

/// The certificate's file in the data folder: what clients pin.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// Its key's file.
pub const KEY_FILE: &str = "tls.key";

/// No such file is larger.
const MAX_BYTES: u64 = 64 * 1024;
const YEARS: i64 = 10;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, and after it those of authorities if it has any. Clients pin it.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: Secret,
}

/// Loads the pair in the folder; makes one for this host and these names if there is none. A pair that
/// no client would accept is an error.
pub fn load_or_create(folder: &Path, names: &[String]) -> Result<Certificate, Error> {
    let paths = [CERTIFICATE_FILE, KEY_FILE].map(|file| folder.join(file));
    let [cert_path, key_path] = &paths;
    if let [false, false] = paths.each_ref().map(|path| path.exists()) {
        let made = make(names, today())?;
        // The key first: without a certificate it is good for nothing, and that is said below.
        private_file::create_folder(folder)
            .and_then(|()| private_file::create(key_path, made.key_pem.expose().as_bytes()))
            .and_then(|()| private_file::create(cert_path, made.cert_pem.as_bytes()))
            .map_err(|error| unusable(folder, error.to_string()))?;
        let certificate = cert_path.display();
        tracing::info!(%certificate, "made a certificate; clients on other hosts need a copy of it");
    }
    let certificate = Certificate {
        cert_pem: read(cert_path, key_path)?,
        key_pem: Secret::new(read(key_path, cert_path)?),
    };
    warn_of_readers(key_path, "key");
    let now = Timestamp::now();
    check::check(&certificate, names, now).map_err(|flaw| {
        unusable(
            cert_path,
            format!(
                "{flaw}; put a good pair there, or remove {CERTIFICATE_FILE} and {KEY_FILE} to have \
                 another made, which clients have to pin anew"
            ),
        )
    })?;
    Ok(certificate)
}

/// A self-signed certificate that is good from the day before `today` on: clocks differ.
fn make(names: &[String], today: Date) -> Result<Certificate, Error> {
    let mut all = vec![
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let mut params = CertificateParams::new(all).map_err(|error| Error::InvalidConfig {
        name: "tls-names".into(),
        value: names.join(", "),
        reason: error.to_string(),
    })?;
    let date = |date: Date| {
        // A civil date's fields are within bounds.
        let part = |part: i8| part.unsigned_abs();
        date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(YEARS.years()));
    params.distinguished_name.push(DnType::CommonName, "perund");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?;
    let certificate = params.self_signed(&key).map_err(Error::internal)?;
    Ok(Certificate {
        cert_pem: certificate.pem(),
        key_pem: Secret::new(key.serialize_pem()),
    })
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

fn read(path: &Path, other: &Path) -> Result<String, Error> {
    let bytes = private_file::read(path, MAX_BYTES).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => format!(
                "it is missing, and {} is there; put it there, or remove the other to have a pair \
                 made",
                other.display()
            ),
            _ => error.to_string(),
        };
        unusable(path, reason)
    })?;
    let bytes = Zeroizing::new(bytes);
    let text = str::from_utf8(&bytes).map_err(|_| unusable(path, "it is no PEM".into()))?;
    Ok(text.to_owned())
}

fn unusable(path: &Path, reason: String) -> Error {
    Error::InvalidConfig {
        name: "TLS certificate".into(),
        value: path.display().to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests;
