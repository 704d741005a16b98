//! The peer of a device: the same machine, on a host.

use std::rc::Rc;

use perun_link::Credentials;
use perun_protocol::channel::{AdjudicatorCall, Channel, Event, Limits, Output, Setup, max_batch};
use perun_protocol::payment::Payment;
use perun_protocol::wire::{Acceptance, Message, Proposal, RejectCode};
use perun_protocol::{
    Account, Amount, AssetIdx, Participant, Principal, SecretKey, Signature, Timestamp, Version,
};

use super::chain::Chain;
use super::host::{HostLink, credentials};

pub struct Peer {
    pub key: Rc<SecretKey>,
    pub credentials: Rc<Credentials>,
    pub link: Option<HostLink>,
    pub machine: Option<Channel<Rc<SecretKey>>>,
    pub proposal: Option<Proposal>,
    pub receiver: Account,
    pub events: Vec<Event>,
    pub rejected: Vec<RejectCode>,
    /// Every signature of the device's on a state that it has seen, with the version.
    pub seen: Vec<(Version, Signature)>,
    pub bytes: usize,
    /// How many acceptances of proposals are lost on the way from here on.
    pub acceptances_lost: usize,
    was_open: bool,
}

impl Peer {
    pub fn new(byte: u8) -> Self {
        let key = Rc::new(SecretKey::from_bytes(&[byte; 32]).unwrap());
        Self {
            credentials: credentials(&key, byte),
            key,
            link: None,
            machine: None,
            proposal: None,
            receiver: Account {
                owner: Principal::from_slice(&[byte; 9]).unwrap(),
                subaccount: [0; 32],
            },
            events: Vec::new(),
            rejected: Vec::new(),
            seen: Vec::new(),
            bytes: 0,
            acceptances_lost: 0,
            was_open: false,
        }
    }

    pub fn limits() -> Limits {
        Limits {
            max_view_age_ns: 10_000_000_000,
            retry_ns: 1_000_000_000,
            silence_ns: 20_000_000_000,
            decide_ns: None,
        }
    }

    pub fn say(&mut self, message: &Message) {
        if matches!(message, Message::Acceptance(_)) && self.acceptances_lost > 0 {
            self.acceptances_lost -= 1;
            return;
        }
        if let Some(link) = &mut self.link {
            link.send(&message.encode());
        }
    }

    /// The link is new, or gone.
    pub fn linked(&mut self, now: Timestamp) {
        let is_open = self.link.as_ref().is_some_and(HostLink::is_open);
        if is_open == self.was_open {
            return;
        }
        self.was_open = is_open;
        if let Some(machine) = &mut self.machine {
            match is_open {
                true => {
                    let hello = self.link.as_ref().unwrap().hello.unwrap();
                    machine.handle_connected(now, max_batch(hello.max_message as usize, 1));
                }
                false => machine.handle_disconnected(),
            }
        }
        if is_open && let Some(proposal) = self.proposal.clone() {
            self.say(&Message::Proposal(Box::new(proposal)));
        }
    }

    pub fn unlinked(&mut self) {
        self.link = None;
        self.was_open = false;
        if let Some(machine) = &mut self.machine {
            machine.handle_disconnected();
        }
    }

    pub fn handle(&mut self, bytes: &[u8], now: Timestamp) {
        self.bytes += bytes.len();
        let message = Message::decode(bytes).unwrap();
        self.note_signatures(&message);
        match message {
            Message::Proposal(proposal) => self.accept(*proposal, now),
            Message::Acceptance(acceptance) => self.begin(&acceptance, now),
            Message::ProposalRejection(rejection) => self.rejected.push(rejection.code),
            message => {
                if let Message::UpdateRejection(rejection) = &message {
                    self.rejected.push(rejection.code);
                }
                if let Some(machine) = &mut self.machine {
                    machine.handle_message(now, message).unwrap();
                }
            }
        }
    }

    fn note_signatures(&mut self, message: &Message) {
        let theirs = match &self.machine {
            Some(machine) => 1 - machine.setup().part.index(),
            None => return,
        };
        match message {
            Message::Update(update) => self.seen.push((update.version, update.signature)),
            Message::UpdateAcceptance(acceptance) => {
                self.seen.push((acceptance.version, acceptance.signature));
            }
            Message::Sync(sync) => {
                let newest = &sync.newest;
                self.seen
                    .push((newest.state.version(), newest.signatures[theirs]));
                if let Some(pending) = &sync.pending {
                    self.seen.push((pending.version, pending.signature));
                }
            }
            _ => {}
        }
    }

    fn setup(&self, proposal: &Proposal, acceptance: &Acceptance, part: u8) -> Setup {
        let (params, initial) = proposal.channel(acceptance).unwrap();
        Setup {
            params,
            part: perun_protocol::PartIdx::new(part),
            initial,
            expires_at: proposal.expires_at,
            fund_by: proposal.terms.fund_by,
            receiver: self.receiver,
            funds_last: false,
        }
    }

    fn accept(&mut self, proposal: Proposal, now: Timestamp) {
        if self.machine.is_some() {
            return;
        }
        let acceptance = Acceptance {
            proposal: proposal.id(),
            part: Proposal::ACCEPTOR,
            participant: Participant::Secp256k1(perun_protocol::Signer::public_key(&*self.key)),
            nonce_share: [0xac; 32],
        };
        let setup = self.setup(&proposal, &acceptance, 1);
        let key = Rc::clone(&self.key);
        let machine = Channel::accept(setup, Self::limits(), key, acceptance);
        self.machine = Some(machine.unwrap());
        self.was_open = false;
        self.linked(now);
    }

    fn begin(&mut self, acceptance: &Acceptance, now: Timestamp) {
        let Some(proposal) = self.proposal.take() else {
            return;
        };
        let setup = self.setup(&proposal, acceptance, 0);
        let machine = Channel::propose(setup, Self::limits(), Rc::clone(&self.key));
        self.machine = Some(machine.unwrap());
        self.was_open = false;
        self.linked(now);
    }

    pub fn pay(&mut self, now: Timestamp, units: u128) {
        let payment = Payment {
            asset: AssetIdx::new(0),
            amount: Amount::new(units),
            memo: None,
        };
        self.machine.as_mut().unwrap().pay(now, &payment).unwrap();
    }

    /// Carries out what the machine wants.
    pub fn act(&mut self, chain: &mut Chain, now: Timestamp) {
        if let Some(machine) = &mut self.machine {
            if machine.poll_timeout().is_some_and(|due| due <= now) {
                machine.handle_timeout(now);
            }
            let params = machine.params().clone();
            machine.handle_view(now, chain.view(&params, now));
        }
        while let Some(machine) = &mut self.machine {
            let Some(output) = machine.poll_output() else {
                return;
            };
            let (params, setup) = (machine.params().clone(), machine.setup().clone());
            match output {
                Output::Send(message) => self.say(&message),
                Output::Notify(event) => self.events.push(event),
                Output::Persist(_) | Output::PersistLater(_) => {}
                Output::Call(call) => match call {
                    AdjudicatorCall::Observe | AdjudicatorCall::Conclude => {}
                    AdjudicatorCall::Fund => {
                        chain.fund(&params, setup.part, setup.initial.funding());
                    }
                    AdjudicatorCall::Dispute(signed) | AdjudicatorCall::ConcludeFinal(signed) => {
                        chain.dispute(&params, &signed, now);
                    }
                    AdjudicatorCall::Withdraw(auths) => chain.withdraw(&params, &auths, now),
                },
            }
        }
    }
}
