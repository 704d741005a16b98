//! The gRPC API: perun-node's packages, and our own.

mod answer;
mod funding;
mod history;
mod money;
mod operations;
mod payment;
mod payments;
mod sessions;
mod tokens;
mod values;
mod watching;

use prost::Message as _;

/// What is generated from `proto/`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

pub use funding::FundingService;
pub use history::HistoryService;
pub use money::IDEMPOTENCY_KEY;
pub use operations::OperationsService;
pub use packages::pb;
pub use packages::perun::v1;
pub use payment::PaymentService;
pub use payments::PaymentsService;
pub use sessions::SessionsService;
pub use tokens::TokensService;
pub use watching::WatchingService;

/// The descriptions, for reflection.
pub const DESCRIPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions"));

/// The paths of all calls that are described.
pub(crate) fn paths() -> Vec<String> {
    let descriptions = prost_types::FileDescriptorSet::decode(DESCRIPTIONS).unwrap_or_default();
    let mut paths = Vec::new();
    for file in &descriptions.file {
        for service in &file.service {
            let (package, name) = (file.package(), service.name());
            let methods = service.method.iter();
            paths.extend(methods.map(|method| format!("/{package}.{name}/{}", method.name())));
        }
    }
    paths
}

/// The names of a service's calls, as described.
fn methods(service: &str) -> Vec<String> {
    let descriptions = prost_types::FileDescriptorSet::decode(DESCRIPTIONS).unwrap_or_default();
    let (package, name) = service.rsplit_once('.').unwrap_or_default();
    let files = descriptions
        .file
        .into_iter()
        .filter(|file| file.package() == package);
    let services = files.flat_map(|file| file.service);
    let methods = services.filter(|service| service.name() == name);
    methods
        .flat_map(|service| service.method)
        .map(|method| method.name().to_owned())
        .collect()
}
