use std::future::pending;

use futures::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};

use super::*;
use crate::scratch::Scratch;
use crate::tls;

const MOMENT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

/// A listener with so many places.
async fn listen(most: usize, silence: Silence) -> (Connections, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Connections {
        silence,
        ..Connections::of(listener, most)
    };
    (connections, address)
}

const PATIENT: Silence = Silence {
    first: LONG,
    later: LONG,
};

#[tokio::test]
async fn so_many_have_a_place_and_the_next_waits_for_one() {
    let (mut connections, address) = listen(2, PATIENT).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let (first, _) = connections.next().await;
    let (_second, _) = connections.next().await;
    let third = timeout(MOMENT, connections.next()).await;
    assert!(third.is_err(), "there is no third place");
    drop(first);
    let (mut third, peer) = connections.next().await;
    assert_eq!(peer, clients[2].local_addr().unwrap());
    clients[2].write_all(b"here").await.unwrap();
    let mut heard = [0; 4];
    third.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"here");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let silence = Silence {
        first: MOMENT,
        later: 3 * MOMENT,
    };
    let (mut connections, address) = listen(2, silence).await;
    let _client = TcpStream::connect(address).await.unwrap();
    let (mut connection, _) = connections.next().await;
    let began = Instant::now();
    let error = connection.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() >= MOMENT);
    // Who has said something has more time from then on.
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&[1]).await.unwrap();
    let (mut connection, _) = connections.next().await;
    assert_eq!(connection.read_u8().await.unwrap(), 1);
    let began = Instant::now();
    let error = connection.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(began.elapsed() >= 3 * MOMENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_a_client_out_no_longer_than_a_handshake_may_take() {
    const WITHIN: Duration = Duration::from_secs(2);
    let scratch = Scratch::new();
    let certificate = tls::load_or_create(scratch.path(), &[]).unwrap();
    // The handshake alone has to free the places.
    let (connections, address) = listen(4, PATIENT).await;
    let identity = Identity::from_pem(&certificate.cert_pem, certificate.key_pem.expose());
    let tls = ServerTlsConfig::new().identity(identity).timeout(WITHIN);
    let (_health, service) = tonic_health::server::health_reporter();
    let mut server = Server::builder().tls_config(tls).unwrap();
    let router = server.add_service(service);
    tokio::spawn(router.serve_with_incoming_shutdown(connections.stream(), pending()));
    let mut silent = Vec::new();
    for number in 0..6 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a handshake that never goes on.
            stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        }
        silent.push(stream);
    }
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(certificate.cert_pem))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    let endpoint = endpoint.tls_config(tls).unwrap();
    let began = Instant::now();
    // Two lots of them come before it.
    timeout(3 * WITHIN, endpoint.connect())
        .await
        .unwrap()
        .unwrap();
    assert!(began.elapsed() >= WITHIN / 2, "there were places for all");
    for stream in &mut silent {
        let ended = timeout(LONG, stream.read(&mut [0; 64])).await.unwrap();
        assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    }
}

#[tokio::test]
async fn all_are_told_as_they_come() {
    let (connections, address) = listen(2, PATIENT).await;
    let mut stream = Box::pin(connections.stream());
    assert!(stream.next().now_or_never().is_none());
    let client = TcpStream::connect(address).await.unwrap();
    let connection = stream.next().await.unwrap().unwrap();
    let info = connection.connect_info();
    assert_eq!(info.remote_addr(), Some(client.local_addr().unwrap()));
}
