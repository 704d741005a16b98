//! The floor: signatures and keys that must be checked, measured in a module that is built as the
//! adjudicator is (`benches/floor`).

use candid::Principal;
use local_ic::{Config, Replica, canister_wasm};
use perun_protocol::Signer as _;
use perun_protocol::encoding::{Domain, digest};

use crate::world::key;

/// Instructions that nobody is spared.
pub struct Floor {
    /// To check one signature, the decompression of its key included.
    pub signature: u64,
    /// To see that one key is a point of the curve.
    pub key: u64,
}

pub fn measure() -> Floor {
    let mut ic = Replica::new(Config::default());
    let id = ic.create_canister(Principal::anonymous());
    let wasm = canister_wasm("floor").expect("the floor builds");
    ic.install(id, &wasm, vec![]).expect("the floor installs");
    let mut one_more = |method: &str| {
        let digest = digest(Domain::State, b"any state");
        let costs = (1..=4).map(|number| {
            let key = key(number);
            let mut run = |count: u8| {
                let (public, signature) = (key.public_key(), key.sign(&digest));
                let request = [
                    &[count][..],
                    public.as_bytes(),
                    &digest,
                    signature.as_bytes(),
                ];
                let answer = ic.update(Principal::anonymous(), id, method, request.concat());
                assert_eq!(answer.expect("the floor answers"), [1]);
                let instructions = ic.instructions(id, &format!("update {method}"));
                instructions.expect("it ran")
            };
            run(2) - run(1)
        });
        costs.sum::<u64>() / 4
    };
    Floor {
        signature: one_more("verify"),
        key: one_more("check_key"),
    }
}
