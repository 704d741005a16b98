//! Everything that reads bytes of a stranger or of a damaged store: it never panics, and what it
//! accepts has these bytes and no others.

use std::fmt::Debug;

use perun_protocol::channel::{Channel, RestoreError, Setup, decode_payments, pending_version};
use perun_protocol::encoding::Canonical;
use perun_protocol::payment::Batch;
use perun_protocol::wire::Message;
use perun_protocol::{
    Account, Amount, AssetIdx, Params, Principal, RefundClaim, State, UnverifiedSignedState,
    WithdrawalAuth,
};

use crate::world::{
    ALICE, BOB, LIMITS, MAX_BATCH, Plan, Quick, SECOND, START, Stamp, Stamps, Store,
};

/// A message, or not.
pub fn message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else {
        return;
    };
    let _ = message.channel();
    // Of what is not known only the type is kept.
    if !matches!(message, Message::Unknown { .. }) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

/// A batch of payments, or not.
pub fn batch(bytes: &[u8]) {
    if let Some((_, stored)) = decode_payments(bytes) {
        assert_eq!(stored.as_bytes(), &bytes[1..]);
    }
    let Ok(batch) = Batch::decode(bytes.to_vec()) else {
        return;
    };
    assert_eq!(batch.as_bytes(), bytes);
    let mut again = Batch::new();
    for payment in &batch {
        again.push(&payment, Batch::MAX_LENGTH).unwrap();
    }
    assert_eq!(again, batch);
    for asset in (0..9).map(AssetIdx::new) {
        let paid = batch.iter().filter(|payment| payment.asset == asset);
        let total = Amount::checked_sum(paid.map(|payment| payment.amount));
        assert_eq!(total, Some(batch.total(asset)));
    }
}

/// A value with one canonical encoding, or not. The first byte says of which kind.
pub fn value(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 7 {
        0 => canonical::<UnverifiedSignedState>(bytes),
        1 => canonical::<State>(bytes),
        2 => canonical::<Params>(bytes),
        3 => canonical::<WithdrawalAuth>(bytes),
        4 => canonical::<RefundClaim>(bytes),
        5 => canonical::<Account>(bytes),
        _ => canonical::<Principal>(bytes),
    }
}

fn canonical<T: Canonical + Debug>(bytes: &[u8]) {
    if let Ok(value) = T::decode(bytes) {
        assert_eq!(value.encode(), bytes, "{value:?}");
        assert!(bytes.len() <= T::MAX_ENCODED_LENGTH);
    }
}

/// A set-up or a snapshot, damaged: the first byte says which, then each three bytes change one (two
/// say where, one what). What is restored all the same is used for a while.
pub fn stored(bytes: &[u8]) {
    let Some((kind, changes)) = bytes.split_first() else {
        return;
    };
    let stores = STORES.with(Clone::clone);
    let store = &stores[usize::from(*kind) % stores.len()];
    let snapshot = changed(store.snapshot(), changes);
    let setup = Setup::decode(store.setup()).expect("it is not damaged");
    let _ = pending_version(&snapshot);
    let payments = pending_version(&snapshot).and_then(|version| store.payments(version));
    if let Ok(channel) = restore(setup, &snapshot, payments) {
        use_for_a_while(channel);
    }
    // The same damage to the set-up, and to the payments.
    if let Some(setup) = Setup::decode(&changed(store.setup(), changes)) {
        assert_eq!(Setup::decode(&setup.encode()), Some(setup.clone()));
        if let Ok(channel) = restore(setup, store.snapshot(), None) {
            use_for_a_while(channel);
        }
    }
    let setup = Setup::decode(store.setup()).expect("it is not damaged");
    let payments = payments.map(|payments| changed(payments, changes));
    let _ = restore(setup.clone(), store.snapshot(), payments.as_deref());
    // And bytes that never were a snapshot.
    let _ = Setup::decode(changes);
    let _ = restore(setup, changes, None);
}

fn restore(
    setup: Setup,
    snapshot: &[u8],
    payments: Option<&[u8]>,
) -> Result<Channel<Stamp, Stamps>, RestoreError> {
    let signer = Stamp::of(setup.part.index().min(1));
    Channel::restore(setup, LIMITS, signer, snapshot, payments)
}

fn changed(bytes: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[place] = change[2];
    }
    bytes
}

fn use_for_a_while(mut channel: Channel<Stamp, Stamps>) {
    let mut now = START;
    for _ in 0..3 {
        channel.handle_connected(now, MAX_BATCH);
        now = now.saturating_add_nanos(SECOND);
        channel.handle_timeout(now);
        let _ = channel.poll_timeout();
        let _ = (channel.balance(), channel.secured());
        while channel.poll_output().is_some() {}
        channel.handle_disconnected();
    }
}

thread_local! {
    /// Stores of a channel at different times of its life.
    static STORES: std::rc::Rc<Vec<Store>> = std::rc::Rc::new(stores());
}

fn stores() -> Vec<Store> {
    let mut stores = vec![];
    let plan = Plan::of([50, 50]).asking(BOB);
    let mut pair = Quick::agreed_with(&plan, [ALICE, BOB].map(Stamp::of));
    pair.carry_out_all(BOB);
    stores.push(pair.copy_of(BOB));
    pair.connect();
    pair.drive();
    stores.push(pair.copy_of(ALICE));
    // A proposal under way, one that was refused, and the one that follows.
    pair.pay(ALICE, 3);
    pair.drive();
    stores.push(pair.copy_of(ALICE));
    pair.wait(11 * SECOND);
    stores.push(pair.copy_of(ALICE));
    stores.push(pair.copy_of(BOB));
    pair.pay(BOB, 2);
    pair.drive();
    stores.push(pair.copy_of(BOB));
    pair.force_close(BOB);
    pair.drive();
    stores.push(pair.copy_of(BOB));
    stores
}
