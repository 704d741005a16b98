//! How things are, in the log.

use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use perun_device::Random;
use perun_protocol::PublicKey;

use super::Device;
use crate::figures;

/// A key in hex digits, as settings name it.
pub(crate) struct Hex<'a>(pub(crate) &'a PublicKey);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_bytes();
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Logs identity, connections and channels.
pub(super) fn report<F: NorFlash, R: Random>(device: &Device<F, R>) {
    log::info!("identity {}", Hex(&device.identity()));
    let settings = device.settings();
    let named = [
        ("peer", &settings.policy.peers),
        ("node", &settings.watchers),
    ];
    for (what, keys) in named {
        for key in keys {
            let state = match device.is_connected(key) {
                true => "connected",
                false => "not connected",
            };
            log::info!("{what} {}: {state}", Hex(key));
        }
    }
    for channel in device.channels() {
        let state = match (channel.is_open, channel.is_synced) {
            (true, true) => "open",
            (true, false) => "open, not in sync",
            (false, _) => "not open",
        };
        let number = |version: Option<_>| {
            version.map_or(-1, |version: perun_protocol::Version| {
                i128::from(version.number())
            })
        };
        log::info!(
            "channel {:.8}: {state}, version {}, guarded {}, balance {}",
            channel.id,
            number(channel.version),
            number(channel.guarded),
            channel.balance.first().copied().unwrap_or_default(),
        );
    }
    figures::worn(device.store().wear());
}
