//! A watcher that does what it should, unless it is told not to.

use std::collections::HashMap;
use std::rc::Rc;

use perun_link::Credentials;
use perun_protocol::dispute::Rank;
use perun_protocol::remote::{
    DisputeNotice, Funded, RemoteCode, RemoteMessage, RemoteRejection, SignedReceiver, Time,
    UnverifiedView, WatchAck,
};
use perun_protocol::signature::K256;
use perun_protocol::view::{Status, View};
use perun_protocol::wire::Text;
use perun_protocol::{
    Amount, Balances, ChannelId, Params, PartIdx, SecretKey, SignedState, SignedWithdrawalAuth,
    Timestamp, Version,
};

use super::chain::Chain;
use super::host::{HostLink, credentials};

pub struct Watcher {
    pub key: SecretKey,
    pub credentials: Rc<Credentials>,
    pub link: Option<HostLink>,
    watches: HashMap<ChannelId, Watched>,
    /// Nothing is stored or answered.
    pub is_silent: bool,
    /// Answers, and sees nothing of the adjudicator since then.
    pub blind_since: Option<Timestamp>,
    /// Version and signatures of every state that it was given.
    pub given: Vec<SignedState>,
    pub bytes: usize,
    /// How many messages it has got.
    pub heard: usize,
    /// Says no to everything, for this reason.
    pub refuses: Option<RemoteCode>,
    /// Says that every channel is over, and nothing is left.
    pub says_over: bool,
    /// Says that nothing was deposited.
    pub says_empty: bool,
    /// Claims to have this version, and does not show it.
    pub claims: Option<Version>,
}

struct Watched {
    params: Params,
    part: PartIdx,
    auths: Vec<SignedWithdrawalAuth>,
    newest: SignedState,
    is_forced: bool,
}

impl Watcher {
    pub fn new(byte: u8) -> Self {
        let key = SecretKey::from_bytes(&[byte; 32]).unwrap();
        Self {
            credentials: credentials(&key, byte),
            key,
            link: None,
            watches: HashMap::new(),
            is_silent: false,
            blind_since: None,
            given: Vec::new(),
            bytes: 0,
            heard: 0,
            refuses: None,
            says_over: false,
            says_empty: false,
            claims: None,
        }
    }

    pub fn stored(&self, channel: &ChannelId) -> Option<Version> {
        let watched = self.watches.get(channel)?;
        Some(watched.newest.version())
    }

    pub fn forget(&mut self) {
        self.watches.clear();
    }

    pub fn send(&mut self, message: &RemoteMessage) {
        if let Some(link) = &mut self.link {
            link.send(&message.encode());
        }
    }

    pub fn handle(&mut self, bytes: &[u8], chain: &mut Chain, now: Timestamp) {
        self.bytes += bytes.len();
        self.heard += 1;
        if self.is_silent {
            return;
        }
        let message = RemoteMessage::decode(bytes).unwrap();
        if let (Some(code), Some(channel)) = (self.refuses, message.channel()) {
            let rejection = RemoteRejection {
                channel,
                part: PartIdx::new(0),
                about: message.kind(),
                code,
                text: Text::default(),
            };
            return self.send(&RemoteMessage::RemoteRejection(rejection));
        }
        match message {
            RemoteMessage::TimeRequest => self.send(&RemoteMessage::Time(Time { now })),
            RemoteMessage::Fund(fund) => {
                let initial = fund.initial.verify(&fund.params).unwrap();
                chain.fund(&fund.params, fund.part, initial.state().funding());
                self.send(&RemoteMessage::Funded(Funded {
                    channel: fund.channel,
                    part: fund.part,
                }));
            }
            RemoteMessage::Watch(watch) => {
                let channel = watch.channel;
                if let Some(params) = watch.params {
                    let receivers = &watch.auths;
                    let auths =
                        SignedReceiver::verify_all::<K256>(receivers, channel, &params, watch.part);
                    let newest = watch.newest.clone().unwrap().verify(&params).unwrap();
                    self.watches.entry(channel).or_insert(Watched {
                        auths: auths.unwrap(),
                        part: watch.part,
                        params,
                        newest,
                        is_forced: false,
                    });
                }
                let Some(watched) = self.watches.get_mut(&channel) else {
                    let rejection = RemoteRejection {
                        channel,
                        part: watch.part,
                        about: 66,
                        code: RemoteCode::UnknownChannel,
                        text: Text::default(),
                    };
                    return self.send(&RemoteMessage::RemoteRejection(rejection));
                };
                if let Some(newest) = watch.newest {
                    let newest = newest.verify(&watched.params).unwrap();
                    self.given.push(newest.clone());
                    if newest.version() > watched.newest.version() {
                        watched.newest = newest;
                    }
                }
                self.act(chain, now);
                self.answer(&channel, watch.knows, chain, now);
            }
            RemoteMessage::ForceClose(order) => {
                let watched = self.watches.get_mut(&order.channel).unwrap();
                if let Some(newest) = order.newest {
                    watched.newest = newest.verify(&watched.params).unwrap();
                }
                watched.is_forced = true;
                let knows = Some(watched.newest.version());
                self.act(chain, now);
                self.answer(&order.channel, knows, chain, now);
            }
            other => panic!("a device does not say {other:?}"),
        }
    }

    fn answer(
        &mut self,
        channel: &ChannelId,
        knows: Option<Version>,
        chain: &mut Chain,
        now: Timestamp,
    ) {
        let watched = &self.watches[channel];
        let view = match self.blind_since {
            Some(since) => {
                let mut view = chain.view(&watched.params, now);
                view.at = since;
                view
            }
            None => chain.view(&watched.params, now),
        };
        let view = match self.says_over {
            true => View {
                at: now,
                status: Status::Concluded {
                    remainders: Balances::zero(1, 2).unwrap(),
                    in_flight: vec![Amount::ZERO],
                },
            },
            false => view,
        };
        let view = match self.says_empty {
            true => View {
                at: now,
                status: Status::Open {
                    holdings: Balances::zero(1, 2).unwrap(),
                },
            },
            false => view,
        };
        let newest = &watched.newest;
        let newer = (Some(newest.version()) > knows).then(|| newest.clone().into());
        let ack = WatchAck {
            channel: *channel,
            part: watched.part,
            version: self.claims.or(Some(newest.version())),
            now,
            view: Some(UnverifiedView::of(&view, knows)),
            newer,
            kept: vec![],
        };
        self.send(&RemoteMessage::WatchAck(Box::new(ack)));
    }

    /// Does at the adjudicator what is to be done.
    pub fn act(&mut self, chain: &mut Chain, now: Timestamp) {
        if self.is_silent || self.blind_since.is_some() {
            return;
        }
        let mut notices = Vec::new();
        for (channel, watched) in &self.watches {
            let newest = &watched.newest;
            match chain.view(&watched.params, now).status {
                Status::Open { .. } if watched.is_forced || newest.state().is_final() => {
                    chain.dispute(&watched.params, newest, now);
                }
                Status::Registered { rank, timeout, .. } => {
                    if Rank::State(newest.version()) > rank {
                        chain.dispute(&watched.params, newest, now);
                    }
                    notices.push(DisputeNotice {
                        channel: *channel,
                        part: watched.part,
                        registered: rank,
                        held: newest.version(),
                        timeout,
                        now,
                    });
                }
                _ => {}
            }
            chain.withdraw(&watched.params, &watched.auths, now);
        }
        for notice in notices {
            self.send(&RemoteMessage::DisputeNotice(notice));
        }
    }
}
