//! How messages come to the service and leave it: over links of its own, or over somebody else's.

use std::sync::Weak;

use perun_protocol::PublicKey;
use perun_protocol::remote::RemoteMessage;

use super::Shared;
use crate::link::{Handler, Hello, Peers, Verdict};

/// A way to devices.
pub trait Outlet: Send + Sync + 'static {
    /// Sends a message if the device is connected; it is lost if not. Never waits, and never calls
    /// the service.
    fn send(&self, device: &PublicKey, message: &[u8]);
}

impl Outlet for Peers {
    fn send(&self, device: &PublicKey, message: &[u8]) {
        // A device that comes back asks again.
        let _ = Peers::send(self, device, message);
    }
}

/// What the service's own links bring, for as long as it is there.
pub(super) struct Inbound(pub(super) Weak<Shared>);

impl Handler for Inbound {
    fn connected(&self, peer: &PublicKey, _: &Hello) {
        if let Some(service) = self.0.upgrade() {
            service.handle_connected(peer);
        }
    }

    fn message(&self, peer: &PublicKey, message: &[u8]) -> Verdict {
        let Some(service) = self.0.upgrade() else {
            return Verdict::Disconnect("the service has stopped".into());
        };
        match RemoteMessage::decode(message) {
            Ok(message) => {
                service.handle(peer, message);
                Verdict::Continue
            }
            Err(error) => Verdict::Disconnect(error.to_string()),
        }
    }

    fn disconnected(&self, _: &PublicKey) {}

    fn knows(&self, peer: &PublicKey) -> bool {
        let service = self.0.upgrade();
        service.is_some_and(|service| service.knows(peer))
    }
}
