//! The connection to a node: TLS with its pinned certificate ([`Pin`]), and a token on each call.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::args::ConnectionArgs;
use super::failure::Failure;
use crate::api::pb::payment_api_client::PaymentApiClient;
use crate::api::v1::history_client::HistoryClient;
use crate::api::v1::operations_client::OperationsClient;
use crate::api::v1::payments_client::PaymentsClient;
use crate::api::v1::sessions_client::SessionsClient;
use crate::api::v1::tokens_client::TokensClient;
use crate::server::{ADDRESS_FILE, TOKEN_FILE};
use crate::tls::{CERTIFICATE_FILE, Pin};

/// Where a node listens if nothing is said.
pub const DEFAULT_NODE: &str = "127.0.0.1:50001";

/// What a call of ours may be large: exports are streamed, lists are not.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// A node, connected to. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it listens.
    pub address: String,
    /// Whether only perun-node's calls are there.
    pub is_plaintext: bool,
    transport: Transport,
}

/// Calls with a token.
pub type Transport = InterceptedService<Channel, Bearer>;

/// Puts the token on calls.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<tonic::metadata::Ascii>>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Node {
    /// Connects. `configured` is the node that the configuration names.
    pub async fn connect(args: &ConnectionArgs, configured: Option<&str>) -> Result<Self, Failure> {
        let local = local_address(args);
        let address = args.node.as_deref().or(configured).or(local.as_deref());
        let address = address.unwrap_or(DEFAULT_NODE);
        if args.plaintext {
            return Self::connect_plaintext(address).await;
        }
        let pin = pin(args)?;
        let bearer = bearer(args)?;
        let endpoint = endpoint("https", address)?;
        let host = endpoint.uri().host().unwrap_or_default();
        let tls = ClientTlsConfig::new().domain_name(host.trim_matches(['[', ']']));
        let endpoint = endpoint
            .tls_config_with_verifier(tls, Arc::new(pin))
            .map_err(|error| Failure::own("the node's certificate", error))?;
        let channel = endpoint.connect().await.map_err(|error| {
            Failure::NotReached(format!(
                "{address} is not reached: {}. Does the node run there (perund), and is this its \
                 certificate (--tls-cert)?",
                causes(&error)
            ))
        })?;
        Ok(Self::over(address, channel, bearer, false))
    }

    async fn connect_plaintext(address: &str) -> Result<Self, Failure> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        if host != "localhost" && !ip.is_some_and(|ip| ip.is_loopback()) {
            return Err(Failure::Usage(format!(
                "--plaintext is for this machine only (127.0.0.1), and {address} is not on it: \
                 everybody in between could read the session id and spend"
            )));
        }
        let channel = endpoint("http", address)?
            .connect()
            .await
            .map_err(|error| {
                Failure::NotReached(format!(
                    "{address} is not reached: {}. Does `perund --compat` run there?",
                    causes(&error)
                ))
            })?;
        Ok(Self::over(address, channel, Bearer(None), true))
    }

    fn over(address: &str, channel: Channel, bearer: Bearer, is_plaintext: bool) -> Self {
        Self {
            address: address.to_owned(),
            is_plaintext,
            transport: InterceptedService::new(channel, bearer),
        }
    }

    /// perun-node's calls.
    pub fn payment_api(&self) -> PaymentApiClient<Transport> {
        PaymentApiClient::new(self.transport.clone()).max_decoding_message_size(ANSWER_LIMIT)
    }

    /// Ours for sessions.
    pub fn sessions(&self) -> SessionsClient<Transport> {
        SessionsClient::new(self.transport.clone()).max_decoding_message_size(ANSWER_LIMIT)
    }

    /// Ours for payments.
    pub fn payments(&self) -> PaymentsClient<Transport> {
        PaymentsClient::new(self.transport.clone())
    }

    /// Ours for what was paid.
    pub fn history(&self) -> HistoryClient<Transport> {
        HistoryClient::new(self.transport.clone()).max_decoding_message_size(ANSWER_LIMIT)
    }

    /// Ours for tokens.
    pub fn tokens(&self) -> TokensClient<Transport> {
        TokensClient::new(self.transport.clone())
    }

    /// Ours for operators.
    pub fn operations(&self) -> OperationsClient<Transport> {
        OperationsClient::new(self.transport.clone()).max_decoding_message_size(ANSWER_LIMIT)
    }
}

/// The data folder of the node on this machine.
fn data_folder(args: &ConnectionArgs) -> Option<PathBuf> {
    if let Some(folder) = &args.data {
        return Some(folder.clone());
    }
    let base = std::env::var_os("XDG_DATA_HOME")
        .filter(|base| !base.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))?;
    Some(base.join("perund"))
}

/// Where the node of a data folder says that it listens, while it runs.
fn local_address(args: &ConnectionArgs) -> Option<String> {
    if args.plaintext {
        return None;
    }
    let text = fs::read_to_string(data_folder(args)?.join(ADDRESS_FILE)).ok()?;
    Some(text.trim().to_owned())
}

fn pin(args: &ConnectionArgs) -> Result<Pin, Failure> {
    let file = args
        .tls_cert
        .clone()
        .or_else(|| data_folder(args).map(|folder| folder.join(CERTIFICATE_FILE)))
        .ok_or_else(|| Failure::Usage("name the node's certificate by --tls-cert".into()))?;
    let pem = fs::read_to_string(&file).map_err(|error| {
        Failure::NotReached(format!(
            "the node's certificate is not read from {}: {error}. The node makes tls.crt in its data \
             folder at its first start; copy it from there and name it by --tls-cert",
            file.display()
        ))
    })?;
    Pin::from_pem(&pem).ok_or_else(|| {
        let file = file.display();
        Failure::NotReached(format!("there is no readable certificate in {file}"))
    })
}

fn bearer(args: &ConnectionArgs) -> Result<Bearer, Failure> {
    let secret = match (&args.token_file, &args.token) {
        // The option says it more clearly than a variable.
        (Some(file), _) => read_token(file)?,
        (None, Some(secret)) => Zeroizing::new(secret.clone()),
        (None, None) => {
            let file = data_folder(args).map(|folder| folder.join(TOKEN_FILE));
            read_token(&file.ok_or_else(no_token)?)?
        }
    };
    let value = Zeroizing::new(format!("Bearer {}", secret.trim()));
    let mut value = MetadataValue::try_from(value.as_str()).map_err(|_| {
        Failure::NotAllowed("the token is no token: those of a node begin with perun_".into())
    })?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

fn read_token(file: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
        Failure::NotAllowed(format!(
            "no token is read from {}: {error}. Name a file with one by --token-file, or set PERUN_TOKEN",
            file.display()
        ))
    })
}

fn no_token() -> Failure {
    Failure::NotAllowed("there is no token: name a file with one by --token-file".into())
}

fn endpoint(scheme: &str, address: &str) -> Result<Endpoint, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "{address:?} is no address of a node; one is written as host:port, e.g. {DEFAULT_NODE}"
        ))
    };
    // ":50001", as perunnodecli proposes it, means this machine.
    let address = match address.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|_| wrong())?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .tcp_nodelay(true))
}

/// An error and what is below it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let more = error.to_string();
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ConnectionArgs {
        ConnectionArgs {
            node: None,
            tls_cert: None,
            token: None,
            token_file: None,
            plaintext: false,
            data: Some("/nowhere".into()),
        }
    }

    #[tokio::test]
    async fn plaintext_stays_on_this_machine() {
        let args = ConnectionArgs {
            node: Some("10.0.0.1:50002".into()),
            plaintext: true,
            ..args()
        };
        let failure = Node::connect(&args, None).await.unwrap_err();
        assert_eq!(failure.code(), 2, "{failure}");
    }

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let failure = Node::connect(&args(), None).await.unwrap_err();
        assert_eq!(failure.code(), 3);
        assert!(failure.to_string().contains("--tls-cert"), "{failure}");
    }

    #[test]
    fn addresses_are_checked() {
        for address in [
            "",
            "localhost",
            "localhost:",
            "localhost:x",
            "a b:1",
            "localhost:70000",
        ] {
            assert!(endpoint("http", address).is_err(), "{address:?}");
        }
        for address in [
            "localhost:1",
            ":50001",
            "[::1]:50001",
            "node.example.org:443",
        ] {
            assert!(endpoint("http", address).is_ok(), "{address:?}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let args = ConnectionArgs {
            token: Some("perun_secret".into()),
            ..args()
        };
        let bearer = bearer(&args).unwrap();
        assert!(!format!("{bearer:?}").contains("secret"));
    }
}
