//! A payment channel of the device, and those who watch it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;

use ed25519_dalek::SigningKey;
use perun_protocol::remote::Watch;
use perun_protocol::{
    Amount, AssetId, Balances, ChallengeDuration, ChannelId, Nonce, Params, PartIdx, Principal,
    SecretKey, SignedState, Signer, State, UnverifiedSignedState, Version,
};
use perun_watch_stream::{
    ReceiveError, Received, Record, Refused, Storage, Subscriber, Transport, WatcherId,
};
use rand_core::{OsRng, RngCore};

use crate::Error;
use crate::lossy::{Lossy, buffer};

/// What survives the power.
#[derive(Clone, Default)]
pub struct Memory(Rc<RefCell<HashMap<Record, Vec<u8>>>>);

impl Storage for Memory {
    type Error = Infallible;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        Ok(self.0.borrow().get(&record).map(|bytes| {
            into[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.borrow_mut().insert(record, bytes.to_vec());
        Ok(())
    }
}

/// A channel between the device and a peer, who both sign every state.
pub struct Channel {
    params: Params,
    keys: [SecretKey; 2],
}

impl Channel {
    const FUNDING: u128 = 1_000_000;

    pub fn open() -> Result<Self, Error> {
        let keys = [secret_key()?, secret_key()?];
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        let participants = keys.iter().map(SecretKey::participant).collect();
        let ledger = Principal::from_slice(&[1])?;
        let adjudicator = Principal::from_slice(&[2])?;
        let window = ChallengeDuration::from_secs(3_600).ok_or("an hour is a good window")?;
        let nonce = Nonce::from_bytes(nonce);
        let assets = vec![AssetId::Icrc(ledger)];
        let params = Params::new(nonce, participants, assets, window, adjudicator);
        let params = params.map_err(|error| format!("{error:?}"))?;
        Ok(Self { params, keys })
    }

    pub fn id(&self) -> ChannelId {
        self.params.id()
    }

    /// The device's key: who watches knows it as the first participant.
    pub fn device(&self) -> &SecretKey {
        &self.keys[0]
    }

    /// The signed state of a version, as a device hands it to who watches: with all that it takes.
    pub fn watch_order(&self, version: Version) -> Result<Vec<u8>, Error> {
        let paid = Amount::new(u128::from(version.number()));
        let rest = Amount::new(Self::FUNDING).checked_sub(paid);
        let balances = vec![rest.ok_or("all is paid")?, paid];
        let funding = vec![Amount::new(Self::FUNDING), Amount::new(0)];
        let [balances, funding] = [balances, funding].map(|amounts| Balances::new(2, amounts));
        let (Ok(balances), Ok(funding)) = (balances, funding) else {
            return Err("no balances".into());
        };
        let state = State::new(self.id(), version, balances, funding);
        let state = state.map_err(|error| format!("{error:?}"))?;
        let digest = state.digest();
        let signatures = self.keys.iter().map(|key| key.sign(&digest)).collect();
        let order = Watch {
            channel: self.id(),
            part: PartIdx::new(0),
            params: Some(self.params.clone()),
            auths: Vec::new(),
            newest: Some(UnverifiedSignedState { state, signatures }),
            knows: None,
        };
        Ok(minicbor::to_vec(&order)?)
    }

    /// The state in a watch order, if all have signed it.
    fn verified(&self, order: &[u8]) -> Result<SignedState, Error> {
        let order: Watch = minicbor::decode(order)?;
        let newest = order.newest.ok_or("no state")?;
        let verified = newest.verify(&self.params);
        verified.map_err(|error| format!("{error:?}").into())
    }
}

fn secret_key() -> Result<SecretKey, Error> {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    SecretKey::from_bytes(&bytes).ok_or_else(|| "try again".into())
}

/// One who watches: keeps the newest state, and acknowledges it.
pub struct Watcher<'a> {
    name: &'static str,
    identity: SigningKey,
    side: Subscriber<Memory>,
    relay: Lossy<'a>,
    newest: Option<SignedState>,
}

impl<'a> Watcher<'a> {
    pub fn follow(
        name: &'static str,
        announcement: &[u8],
        channel: &Channel,
        relay: Lossy<'a>,
    ) -> Result<Self, Error> {
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        let device = channel.device().participant();
        let memory = Memory::default();
        let side = Subscriber::follow(
            memory,
            announcement,
            channel.id(),
            device,
            &seed,
            &mut OsRng,
        )?;
        Ok(Self {
            name,
            identity: SigningKey::from_bytes(&seed),
            side,
            relay,
            newest: None,
        })
    }

    pub fn id(&self) -> WatcherId {
        self.side.id()
    }

    /// The key that the device's owner allows.
    pub fn identity(&self) -> [u8; 32] {
        self.identity.verifying_key().to_bytes()
    }

    pub fn subscribe(&mut self) -> Result<(), Error> {
        let subscription = self.side.subscribe(&mut OsRng)?;
        Ok(self.relay.send(&subscription)?)
    }

    /// Takes up what has arrived, and acknowledges what is stored.
    pub fn turn(&mut self, channel: &Channel) -> Result<(), Error> {
        let (mut bytes, mut text) = (buffer(), buffer());
        let mut hears = false;
        while let Some(length) = self.relay.receive(&mut bytes)? {
            let received = self.side.receive(&bytes[..length], &mut text);
            hears |= matches!(
                received,
                Ok(Received::State { .. } | Received::Superseded { .. })
                    // Sent again, so our ack was lost.
                    | Err(ReceiveError::Refused(Refused::Repeated { .. }))
            );
            let received = received.ok();
            let is_epoch = matches!(received, Some(Received::Epoch(_)));
            self.act(received, channel)?;
            if is_epoch {
                let released = self.side.release(&mut text).ok().flatten();
                self.act(released, channel)?;
            }
        }
        if hears && self.side.is_member() == Some(true) && self.newest.is_some() {
            let ack = self.side.ack()?;
            self.relay.send(&ack)?;
        }
        Ok(())
    }

    fn act(&mut self, received: Option<Received<'_>>, channel: &Channel) -> Result<(), Error> {
        match received {
            Some(Received::State {
                version, payload, ..
            }) => {
                let state = channel.verified(payload)?;
                assert_eq!(state.version(), version);
                self.newest = Some(state);
                self.side.stored(version)?;
            }
            Some(Received::Removed(epoch)) => {
                println!("  {} sees that epoch {} is without it", self.name, epoch.0);
            }
            _ => {}
        }
        Ok(())
    }

    /// The version that it would refute with.
    pub fn version(&self) -> Option<u64> {
        self.newest.as_ref().map(|state| state.version().number())
    }

    pub fn has_seen_a_fork(&self) -> bool {
        self.side.fork().is_some()
    }

    pub fn mishaps(&self) -> usize {
        self.relay.mishaps()
    }
}
