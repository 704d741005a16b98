//! What bytes are hashed, signed or derived for. All labels are equally long and different, so that no
//! input of one purpose is an input of another.

/// Bytes of a label.
pub(crate) const LENGTH: usize = 24;

/// What Ed25519 keys sign in front of a message's header.
pub(crate) const SIGNATURE: &[u8; LENGTH] = b"perun-watch/1 signature\0";
/// What a watcher's key signs within a subscription.
pub(crate) const SUBSCRIPTION: &[u8; LENGTH] = b"perun-watch/1 subscribe\0";
/// Names of messages.
pub(crate) const MESSAGE_ID: &[u8; LENGTH] = b"perun-watch/1 messageid\0";
/// Names of watchers.
pub(crate) const WATCHER_ID: &[u8; LENGTH] = b"perun-watch/1 watcherid\0";
/// The `info` of HPKE for subscriptions.
pub(crate) const SEAL_KEYS: &[u8; LENGTH] = b"perun-watch/1 seal keys\0";
/// The `info` of HPKE for keyloads.
pub(crate) const SEAL_EPOCH: &[u8; LENGTH] = b"perun-watch/1 seal epch\0";
/// From an epoch's secret: the first key of its chain.
pub(crate) const CHAIN: &[u8; LENGTH] = b"perun-watch/1 chain key\0";
/// From an epoch's secret: the key of its tagged packets.
pub(crate) const TAGGED: &[u8; LENGTH] = b"perun-watch/1 tagged  k\0";
/// From an epoch's secret: what shows that a keyload gave everybody the same.
pub(crate) const CONFIRMATION: &[u8; LENGTH] = b"perun-watch/1 confirmed\0";
/// From a chain key: the next one.
pub(crate) const STEP: &[u8; LENGTH] = b"perun-watch/1 next step\0";
/// From a chain key or the key of tagged packets: the key of one message.
pub(crate) const MESSAGE: &[u8; LENGTH] = b"perun-watch/1 message k\0";
/// From a message's key: the cipher's key, and the key that its nonce comes from.
pub(crate) const CIPHER: &[u8; LENGTH] = b"perun-watch/1 cipher  k\0";
/// From the owner's key: the key of an export.
pub(crate) const EXPORT: &[u8; LENGTH] = b"perun-watch/1 export  k\0";

#[cfg(test)]
mod tests {
    #[test]
    fn labels_differ() {
        let all = [
            super::SIGNATURE,
            super::SUBSCRIPTION,
            super::MESSAGE_ID,
            super::WATCHER_ID,
            super::SEAL_KEYS,
            super::SEAL_EPOCH,
            super::CHAIN,
            super::TAGGED,
            super::CONFIRMATION,
            super::STEP,
            super::MESSAGE,
            super::CIPHER,
            super::EXPORT,
        ];
        for (position, label) in all.iter().enumerate() {
            assert!(!all[..position].contains(label));
        }
    }
}
