//! The owner's settings, in the device's words.

use embedded_storage::nor_flash::NorFlash;
use perun_device::store::Store;
use perun_device::{AssetPolicy, Capacity, Policy, StartError, Times};
use perun_protocol::{Amount, AssetId, ChallengeDuration};

use crate::settings::{PerPeriod, Settings};
use crate::{LINKS, settings};

const SECOND_NS: u64 = 1_000_000_000;
/// For so long a peer that vanishes can hold the board's money up, unless the settings name longer.
const LONGEST_CHALLENGE: ChallengeDuration = match ChallengeDuration::from_secs(24 * 3600) {
    Some(duration) => duration,
    None => panic!("a day is a challenge duration"),
};

/// The store, on the whole flash that the board gives.
pub(super) fn store<F: NorFlash>(flash: F) -> Result<Store<F>, StartError<F::Error>> {
    // A flash has less than 4 GiB: its addresses are 32 bits.
    let end = flash.capacity() as u32;
    Store::open(flash, 0..end).map_err(StartError::Store)
}

pub(super) fn device_settings(settings: &Settings) -> perun_device::Settings {
    perun_device::Settings {
        watchers: settings.nodes.iter().map(|node| node.key).collect(),
        stream_guards: 0,
        adjudicator: settings.adjudicator,
        receiver: settings.receiver,
        policy: policy(settings),
        times: match settings.quick {
            true => Times::quick(),
            false => Times::default(),
        },
        capacity: Capacity {
            links: LINKS,
            ..Capacity::default()
        },
    }
}

fn policy(settings: &Settings) -> Policy {
    let settings::Policy {
        per_payment,
        per_period,
        ask_above,
        max_deposit,
        receive_only,
    } = settings.policy;
    let per_period = per_period.unwrap_or(PerPeriod {
        units: Amount::MAX,
        period_secs: 1,
    });
    let asset = AssetPolicy {
        asset: AssetId::Icrc(settings.asset),
        per_payment: per_payment.unwrap_or(Amount::MAX),
        per_period: per_period.units,
        per_peer: per_period.units,
        ask_above: ask_above.unwrap_or(Amount::MAX),
        max_deposit: max_deposit.unwrap_or(settings.balance[0]),
    };
    Policy {
        peers: settings.peers.iter().map(|peer| peer.key).collect(),
        assets: [asset].into(),
        period_ns: u64::from(per_period.period_secs) * SECOND_NS,
        max_challenge: settings.challenge.max(LONGEST_CHALLENGE),
        receive_only,
        // `Owner` accepts those that the policy allows, unless a press has said otherwise.
        accepts_proposals: false,
    }
}
