//! What things cost, in lines of the log that begin with `figures:`. Without the feature `figures`
//! nothing here does anything.
//!
//! ```text
//! figures: sign took 2561240 ns            at the start: one signature, one check of one
//! figures: verify took 2786520 ns
//! figures: LinkId(0) is 10.0.0.1:1338      who is at the other end of a link
//! figures: LinkId(0) received 79 B         bytes of its stream, Noise and lengths included
//! figures: receive took 3012560 ns         a call into the device
//! figures: LinkId(0) sent 126 B
//! figures: flash 41 writes, 0 erases, 17220 B written        at a press on `Status`
//! ```

use core::fmt;

use embassy_time::Instant;
use perun_device::LinkId;
use perun_device::store::Wear;
use perun_protocol::signature::{Digest, K256, Verifier as _};
use perun_protocol::{SecretKey, Signer as _};

/// Whether anything is logged.
const ON: bool = cfg!(feature = "figures");

/// How often the cryptography is timed; verifying takes longer for some numbers than for others.
const SAMPLES: usize = 15;

/// Runs `act` and logs how long that took.
pub(crate) fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    if !ON {
        return act();
    }
    let (outcome, ns) = measured(act);
    log::info!("figures: {what} took {ns} ns");
    outcome
}

/// Logs what a payment cannot do without: the median of a few signatures, and of their checks.
///
/// The key is one like the device's own, which the device keeps to itself.
///
/// Called once, from where calls into the device need more of the stack than this: it must not be
/// what the deepest stack is that of.
#[inline(never)]
pub(crate) fn cryptography() {
    if !ON {
        return;
    }
    let key = SecretKey::from_bytes(&[7; 32]).expect("below the order");
    let public = key.public_key();
    let mut took = [[0; SAMPLES]; 2];
    let [signing, checking] = &mut took;
    for (number, (signing, checking)) in (0..).zip(signing.iter_mut().zip(checking)) {
        let digest: Digest = [number; 32];
        let (signature, ns) = measured(|| key.sign(&digest));
        *signing = ns;
        let (is_good, ns) = measured(|| K256::verify(&public, &digest, &signature));
        *checking = ns;
        assert!(is_good, "a signature that was just made");
    }
    for (what, mut ns) in ["sign", "verify"].into_iter().zip(took) {
        ns.sort_unstable();
        log::info!("figures: {what} took {} ns", ns[SAMPLES / 2]);
    }
}

/// Logs who is at the other end of a link.
pub(crate) fn opened(link: LinkId, remote: Option<impl fmt::Display>) {
    if let (true, Some(remote)) = (ON, remote) {
        log::info!("figures: {link:?} is {remote}");
    }
}

/// Logs that bytes came from a link, or went to it.
pub(crate) fn carried(link: LinkId, how: &str, bytes: usize) {
    if ON && bytes > 0 {
        log::info!("figures: {link:?} {how} {bytes} B");
    }
}

/// Logs what was done to the flash since the start.
pub(crate) fn worn(wear: Wear) {
    let Wear {
        erases,
        written_bytes,
        writes,
    } = wear;
    if ON {
        log::info!("figures: flash {writes} writes, {erases} erases, {written_bytes} B written");
    }
}

fn measured<T>(act: impl FnOnce() -> T) -> (T, u64) {
    let begin = Instant::now();
    let outcome = act();
    (outcome, begin.elapsed().as_nanos())
}
