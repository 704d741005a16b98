//! How a service for devices is set up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perun_protocol::{Amount, AssetId, PublicKey};

use crate::Door;

/// How a service for devices is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is served.
    pub devices: Devices,
    /// What is done for each of them, at most.
    pub limits: DeviceLimits,
    /// What may be deposited for all devices together within a day and in channels that are not over.
    /// Of an asset that is not named, nothing.
    pub max_funds_total: BTreeMap<AssetId, Amount>,
    /// How many channels are watched for all devices together.
    pub max_watches: usize,
    /// How often the adjudicator's event log is read: a view that a device is shown is about so old.
    pub poll_interval: Duration,
    /// By which door deposits are made.
    pub door: Door,
}

/// Who is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Devices {
    /// Whoever connects, within [`Config::max_watches`]. Nothing can be deposited for them: everybody
    /// is as many devices as he likes.
    Anybody,
    /// These identities.
    Only(BTreeSet<PublicKey>),
}

/// What is done for one device, at most.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeviceLimits {
    /// Channels that are watched for it, and as many that are funded within a day or not over.
    pub max_channels: usize,
    /// What may be deposited for it within a day and in channels that are not over: what a device and
    /// its peer can take from this account if they mean to. The ledger's fees come on top. Of an asset
    /// that is not named, nothing.
    pub max_funds: BTreeMap<AssetId, Amount>,
}

impl Config {
    /// The defaults: sixteen channels a device, and nothing is deposited.
    pub fn new(devices: Devices) -> Self {
        Self {
            devices,
            limits: DeviceLimits {
                max_channels: 16,
                max_funds: BTreeMap::new(),
            },
            max_funds_total: BTreeMap::new(),
            max_watches: 10_000,
            poll_interval: Duration::from_secs(15),
            door: Door::Approval,
        }
    }

    pub(super) fn serves(&self, device: &PublicKey) -> bool {
        match &self.devices {
            Devices::Anybody => true,
            Devices::Only(devices) => devices.contains(device),
        }
    }
}
