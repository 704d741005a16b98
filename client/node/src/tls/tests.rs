use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::SignedDuration;
use rcgen::{BasicConstraints, IsCa, Issuer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::check::Flaw;
use super::*;
use crate::scratch::Scratch;

fn create(scratch: &Scratch, name: &str) -> Certificate {
    load_or_create(&scratch.path().join(name), &[]).unwrap()
}

fn refused(folder: &Path) -> String {
    load_or_create(folder, &[]).unwrap_err().to_string()
}

/// A server with this certificate; where.
async fn serve(certificate: &Certificate) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let key = certificate.key_pem.expose();
    let identity = Identity::from_pem(&certificate.cert_pem, key);
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .add_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}

async fn connect(
    address: SocketAddr,
    pinned: &Certificate,
    host: &str,
) -> Result<Channel, tonic::transport::Error> {
    let pin = tonic::transport::Certificate::from_pem(&pinned.cert_pem);
    let tls = ClientTlsConfig::new().ca_certificate(pin);
    let url = format!("https://{host}:{}", address.port());
    let endpoint = Endpoint::from_shared(url).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

#[tokio::test]
async fn who_pins_the_certificate_reaches_the_node_and_nobody_else() {
    let scratch = Scratch::new();
    let ours = create(&scratch, "ours");
    let other = create(&scratch, "other");
    let address = serve(&ours).await;
    for host in ["127.0.0.1", "localhost"] {
        let channel = connect(address, &ours, host).await.unwrap();
        let request = HealthCheckRequest::default();
        HealthClient::new(channel).check(request).await.unwrap();
    }
    // It has the same name and is just as well-formed.
    connect(address, &other, "127.0.0.1").await.unwrap_err();
    // And one who pins ours is not sent to another's node.
    let address = serve(&other).await;
    connect(address, &ours, "127.0.0.1").await.unwrap_err();
}

/// As the command line connects that has this file.
async fn pinned(address: SocketAddr, pem: &str, host: &str) -> bool {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    let (tls, pin) = (
        ClientTlsConfig::new().domain_name(host),
        Pin::from_pem(pem).unwrap(),
    );
    let endpoint = endpoint.tls_config_with_verifier(tls, Arc::new(pin));
    endpoint.unwrap().connect().await.is_ok()
}

/// An authority.
fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(params, key))
}

/// A certificate by this authority, without it.
fn signed(issuer: &Issuer<'static, KeyPair>, name: &str) -> Certificate {
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    Certificate {
        cert_pem: params.signed_by(&key, issuer).unwrap().pem(),
        key_pem: Secret::new(key.serialize_pem()),
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_pinned_with_and_without_it() {
    let (authority, issuer) = authority("ours");
    let (stranger, _) = self::authority("another");
    let leaf = signed(&issuer, "node.example");
    let chain = Certificate {
        cert_pem: format!("{}{authority}", leaf.cert_pem),
        ..leaf.clone()
    };
    assert_eq!(check::check(&chain, &[], Timestamp::now()), Ok(()));
    assert_eq!(check::check(&leaf, &[], Timestamp::now()), Ok(()));
    let address = serve(&chain).await;
    // Who has a copy knows the node, wherever it is.
    assert!(pinned(address, &chain.cert_pem, "127.0.0.1").await);
    assert!(pinned(address, &leaf.cert_pem, "127.0.0.1").await);
    // The authority vouches for the name only.
    assert!(pinned(address, &authority, "node.example").await);
    assert!(!pinned(address, &authority, "127.0.0.1").await);
    assert!(!pinned(address, &stranger, "node.example").await);
    // So the next certificate is accepted by its name, too.
    let next = serve(&signed(&issuer, "node.example")).await;
    assert!(pinned(next, &chain.cert_pem, "node.example").await);
    assert!(!pinned(next, &chain.cert_pem, "127.0.0.1").await);
    assert!(!pinned(next, &leaf.cert_pem, "node.example").await);
}

#[tokio::test]
async fn a_certificate_that_calls_itself_an_authority_is_pinned() {
    let mut params = CertificateParams::new(vec!["node.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = Certificate {
        cert_pem: params.self_signed(&key).unwrap().pem(),
        key_pem: Secret::new(key.serialize_pem()),
    };
    assert_eq!(check::check(&certificate, &[], Timestamp::now()), Ok(()));
    let address = serve(&certificate).await;
    assert!(pinned(address, &certificate.cert_pem, "127.0.0.1").await);
    let other = create(&Scratch::new(), "other");
    assert!(!pinned(address, &other.cert_pem, "127.0.0.1").await);
}

#[test]
fn a_chain_begins_with_the_certificate_of_the_key() {
    let (authority, issuer) = authority("ours");
    let leaf = signed(&issuer, "localhost");
    let turned = Certificate {
        cert_pem: format!("{authority}{}", leaf.cert_pem),
        ..leaf.clone()
    };
    let now = Timestamp::now();
    assert_eq!(check::check(&turned, &[], now), Err(Flaw::NotFirst));
    let other = Certificate {
        key_pem: signed(&issuer, "localhost").key_pem,
        ..leaf
    };
    assert_eq!(check::check(&other, &[], now), Err(Flaw::OtherKey));
}

#[test]
fn what_was_made_is_loaded_again() {
    let scratch = Scratch::new();
    let made = create(&scratch, "node");
    let loaded = create(&scratch, "node");
    assert_eq!(made.cert_pem, loaded.cert_pem);
    assert_eq!(made.key_pem.expose(), loaded.key_pem.expose());
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    create(&scratch, "node");
    let metadata = fs::metadata(scratch.path().join("node").join(KEY_FILE)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn it_is_good_for_ten_years_and_for_its_names() {
    let names = ["node.example".to_owned(), "192.0.2.7".to_owned()];
    let made = make(&names, today()).unwrap();
    let now = Timestamp::now();
    let years = |years: i64| now + SignedDuration::from_hours(years * 365 * 24);
    assert_eq!(check::check(&made, &names, now), Ok(()));
    assert_eq!(check::check(&made, &names, years(9)), Ok(()));
    assert_eq!(check::check(&made, &names, years(11)), Err(Flaw::Expired));
    assert_eq!(check::check(&made, &names, years(-1)), Err(Flaw::NotYet));
    let client = check::Client::that_pins(&made).unwrap();
    for name in ["node.example", "192.0.2.7", "localhost", "127.0.0.1", "::1"] {
        assert!(client.accepts(name, now), "{name}");
    }
    for name in ["example", "192.0.2.8", "not a name", ""] {
        assert!(!client.accepts(name, now), "{name}");
    }
    let nonsense = make(&["nöde".to_owned()], today()).unwrap_err();
    assert!(nonsense.to_string().contains("nöde"), "{nonsense}");
}

#[test]
fn a_pair_that_clients_refuse_is_refused_at_the_start() {
    let scratch = Scratch::new();
    create(&scratch, "node");
    create(&scratch, "other");
    let folder = scratch.path().join("node");
    let [cert_path, key_path] = [CERTIFICATE_FILE, KEY_FILE].map(|file| folder.join(file));
    let good = fs::read(&cert_path).unwrap();

    let expired = make(&[], today().saturating_sub(11.years())).unwrap();
    fs::write(&cert_path, &expired.cert_pem).unwrap();
    let key = fs::read(&key_path).unwrap();
    fs::write(&key_path, expired.key_pem.expose()).unwrap();
    assert!(refused(&folder).contains("expired"));
    assert!(refused(&folder).contains(cert_path.to_str().unwrap()));
    fs::write(&key_path, key).unwrap();

    fs::copy(scratch.path().join("other/tls.crt"), &cert_path).unwrap();
    assert!(refused(&folder).contains("key is that of another certificate"));

    for garbage in [
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        fs::write(&cert_path, garbage).unwrap();
        let error = refused(&folder);
        assert!(error.contains("no readable certificate"), "{error}");
    }
    fs::remove_file(&cert_path).unwrap();
    assert!(refused(&folder).contains("it is missing"));

    fs::write(&cert_path, &good).unwrap();
    for garbage in [
        "",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        fs::write(&key_path, garbage).unwrap();
        assert!(refused(&folder).contains("no readable key"));
    }
    fs::remove_file(&key_path).unwrap();
    assert!(refused(&folder).contains("it is missing"));
    fs::remove_file(&cert_path).unwrap();
    load_or_create(&folder, &[]).unwrap();
}
