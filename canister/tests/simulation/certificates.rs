//! What is certified is what there is: the log's tip, and what is registered or that nothing is.

use ic_certification::{HashTree, LookupResult};
use perun_canister::flow::System as _;
use perun_canister_api::{ChannelRequest, Rank, convert};
use sha2::{Digest as _, Sha256};

use super::books::{Books, Phase, Record};
use super::cast::cast;
use super::stage::Stage;

impl Books {
    pub fn check_certified(&self, stage: &Stage, number: usize) {
        let adjudicator = stage.adjudicator();
        let certified = stage.certified.get();
        let id = cast().channels[number].id;
        let tip = adjudicator.tip_witness();
        assert_eq!(
            tip.digest(),
            certified,
            "what is there is not what is certified"
        );
        assert_eq!(
            leaf(&tip, &[b"last_block_hash"]),
            self.tip.map(|tip| tip.to_vec())
        );
        let index = self.seen.checked_sub(1).map(leb128);
        assert_eq!(leaf(&tip, &[b"last_block_index"]), index);

        let witness = adjudicator.registration_witness(id);
        assert_eq!(witness.digest(), certified);
        let registration = leaf(&witness, &[b"registrations", id.as_bytes()]);
        let request = ChannelRequest {
            channel: convert::channel_to_candid(&id),
        };
        let answer = adjudicator.state(&request, stage.now());
        let (_, answer) = answer.expect("the id is one");
        let standing = match &self.channels[number].phase {
            Phase::Unknown | Phase::Open => {
                assert_eq!((registration, answer.registered), (None, None));
                return;
            }
            Phase::Concluded {
                standing,
                timeout_ns,
                record,
            } => {
                assert_eq!(registration, None);
                let told = answer.registered.as_ref().expect("something is registered");
                match record {
                    // Gaps may have moved it since the log told it.
                    Record::Whole => assert!(*timeout_ns <= told.timeout_ns),
                    // Only the log knows it still.
                    Record::Gone | Record::Back => assert_eq!(*timeout_ns, told.timeout_ns),
                }
                standing
            }
            Phase::Registered { standing, .. } => {
                let bytes = registration.expect("what is registered is certified");
                let (claim, deadline) = bytes.split_at(bytes.len() - 8);
                let expected = match standing {
                    None => vec![0],
                    Some(state) => {
                        let request = &cast().channels[number].states[*state].disputing;
                        let perun_canister_api::Claim::State(signed) = &request.claim else {
                            unreachable!("states are handed in as states");
                        };
                        [[1].as_slice(), &Sha256::digest(signed)].concat()
                    }
                };
                assert_eq!(claim, expected);
                let gaps = leaf(&witness, &[b"clock"]).expect("the clock is certified");
                let timeout_ns = number_of(deadline) + number_of(&gaps);
                let told = answer.registered.as_ref().expect("something is registered");
                // What is told counts the silence since the last message as well.
                assert!(timeout_ns <= told.timeout_ns);
                standing
            }
        };
        let told = answer.registered.expect("something is registered");
        let (is_concluded, is_whole) = match self.channels[number].phase {
            Phase::Concluded { record, .. } => (true, record == Record::Whole),
            _ => (false, true),
        };
        assert_eq!(told.concluded, is_concluded);
        let state = standing.map(|state| &cast().channels[number].states[state]);
        let rank = state.map_or(Rank::Refund, |state| Rank::State(state.version));
        assert_eq!(told.rank, rank);
        let state = state.filter(|_| is_whole);
        let state = state.map(|state| &state.disputing.claim);
        let told = told.signed_state.map(perun_canister_api::Claim::State);
        assert_eq!(told.as_ref(), state);
    }
}

fn leaf(tree: &HashTree, path: &[&[u8]]) -> Option<Vec<u8>> {
    match tree.lookup_path(path) {
        LookupResult::Found(bytes) => Some(bytes.to_vec()),
        LookupResult::Absent => None,
        other => panic!("the witness hides what it is about: {other:?}"),
    }
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("numbers have eight bytes"))
}

fn leb128(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
