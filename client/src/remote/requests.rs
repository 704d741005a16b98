//! What devices ask for: checked here, completely, before anything is done.

use std::sync::Arc;

use perun_canister_api::convert;
use perun_protocol::remote::{
    ForceClose, RemoteCode, RemoteMessage, SignedReceiver, Time, Watch as WatchRequest,
};
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::{Params, PublicKey, SignedState, SignedWithdrawalAuth, UnverifiedSignedState};

use super::Shared;
use super::order::{Order, Place, identity};
use super::watch::{Asked, Change, Watch};

/// Why a request is refused, and what there is to say about it.
pub(super) type Refused = (RemoteCode, &'static str);

const WRONG_PART: Refused = (RemoteCode::BadRequest, "you are not this participant");
const WRONG_CHANNEL: Refused = (RemoteCode::BadRequest, "the params are another channel's");
const WRONG_ADJUDICATOR: Refused = (
    RemoteCode::BadRequest,
    "another adjudicator settles this channel",
);
const WRONG_STATE: Refused = (
    RemoteCode::BadRequest,
    "the state is not this channel's, or not signed by all",
);
const ANOTHER_STATE: Refused = (
    RemoteCode::BadRequest,
    "another state of this version is held",
);
const WRONG_AUTHS: Refused = (
    RemoteCode::BadRequest,
    "one good authorisation for each asset is needed, to anybody but the adjudicator",
);

impl Shared {
    /// A device's message. Nothing here waits for anything.
    pub(super) fn handle(self: &Arc<Self>, peer: &PublicKey, message: RemoteMessage) {
        let about = message.kind();
        let (place, handled) = match message {
            RemoteMessage::Watch(request) => {
                let place = Place {
                    channel: request.channel,
                    part: request.part,
                };
                (place, self.handle_watch(peer, place, about, *request))
            }
            RemoteMessage::ForceClose(request) => {
                let place = Place {
                    channel: request.channel,
                    part: request.part,
                };
                (place, self.handle_force(peer, place, about, *request))
            }
            RemoteMessage::Fund(request) => {
                let place = Place {
                    channel: request.channel,
                    part: request.part,
                };
                (place, self.handle_fund(peer, place, *request))
            }
            RemoteMessage::TimeRequest => return self.tell_time(peer),
            // What only nodes say, and what only newer software knows.
            RemoteMessage::Funded(_)
            | RemoteMessage::WatchAck(_)
            | RemoteMessage::DisputeNotice(_)
            | RemoteMessage::RemoteRejection(_)
            | RemoteMessage::Time(_)
            | RemoteMessage::Unknown { .. } => return,
        };
        if let Err((code, text)) = handled {
            self.reject(peer, place, about, code, text);
        }
    }

    /// Whether somebody is served. Whether anything can be stored for him is asked where something
    /// is to be.
    pub(super) fn admit(&self, peer: &PublicKey) -> Result<(), Refused> {
        match self.config.serves(peer) {
            true => Ok(()),
            false => Err((RemoteCode::NotServed, "")),
        }
    }

    /// The time is about no channel, so there is no refusing it: whoever is not served gets none.
    fn tell_time(&self, peer: &PublicKey) {
        if self.config.serves(peer) {
            let now = self.now();
            self.send(peer, &RemoteMessage::Time(Time { now }));
        }
    }

    fn handle_watch(
        self: &Arc<Self>,
        peer: &PublicKey,
        place: Place,
        about: u16,
        request: WatchRequest,
    ) -> Result<(), Refused> {
        self.admit(peer)?;
        let handed_in = request.newest.as_ref();
        let handed_in = handed_in.map(|newest| newest.state.version());
        let knows = request.knows.max(handed_in);
        let asked = Asked { about, knows };
        if let Some(watch) = self.watch_of(peer, place) {
            return watch.handle(request, asked);
        }
        let (Some(params), Some(newest)) = (request.params, request.newest) else {
            return Err((RemoteCode::UnknownChannel, ""));
        };
        self.records.check()?;
        self.check_place(peer, place, &params)?;
        let auths = verify_auths(&request.auths, &params, place)?;
        let newest = verify_state(newest, &params)?;
        let order = Order {
            params,
            part: place.part,
            auths,
            newest,
            is_forced: false,
            given_at: self.now(),
        };
        let watch = self.add_watch(order)?;
        tracing::info!("channel {:.8} is watched for {peer:?}", place.channel);
        watch.begin(asked)
    }

    /// Checks that the params are the channel's, that the channel is settled where we look, and that
    /// the sender is the participant that it speaks for: it has proved that it has the key.
    pub(super) fn check_place(
        &self,
        peer: &PublicKey,
        place: Place,
        params: &Params,
    ) -> Result<(), Refused> {
        if params.id() != place.channel {
            return Err(WRONG_CHANNEL);
        }
        let adjudicator = convert::principal(self.chain.adjudicator().id());
        if Some(params.adjudicator()) != adjudicator {
            return Err(WRONG_ADJUDICATOR);
        }
        if identity(params, place.part) != Some(*peer) {
            return Err(WRONG_PART);
        }
        Ok(())
    }

    fn handle_force(
        &self,
        peer: &PublicKey,
        place: Place,
        about: u16,
        request: ForceClose,
    ) -> Result<(), Refused> {
        self.admit(peer)?;
        let watch = self.watch_of(peer, place);
        let watch = watch.ok_or((RemoteCode::UnknownChannel, ""))?;
        let newest = watch.verify_newest(request.newest)?;
        let knows = newest.as_ref().map(SignedState::version);
        // One that is older than what is held changes nothing: the newest is registered.
        let change = Change {
            newest,
            auths: None,
            is_forced: true,
        };
        tracing::info!("channel {:.8} is to be closed", place.channel);
        watch.change(change, Asked { about, knows })
    }
}

impl Watch {
    fn handle(self: &Arc<Self>, request: WatchRequest, asked: Asked) -> Result<(), Refused> {
        if request.params.is_some_and(|params| params != self.params) {
            return Err(WRONG_CHANNEL);
        }
        let auths = match request.auths.as_slice() {
            [] => None,
            auths => Some(verify_auths(auths, &self.params, self.place)?),
        };
        let newest = self.verify_newest(request.newest)?;
        let held = self.newest();
        if let Some(newest) = &newest {
            if newest.version() < held.version() {
                return Err((RemoteCode::Outdated, ""));
            }
            if newest.version() == held.version() && newest.state() != held.state() {
                return Err(ANOTHER_STATE);
            }
        }
        let change = Change {
            newest,
            auths,
            is_forced: false,
        };
        self.change(change, asked)
    }

    fn verify_newest(
        &self,
        newest: Option<UnverifiedSignedState>,
    ) -> Result<Option<SignedState>, Refused> {
        newest
            .map(|newest| verify_state(newest, &self.params))
            .transpose()
    }
}

pub(super) fn verify_state(
    state: UnverifiedSignedState,
    params: &Params,
) -> Result<SignedState, Refused> {
    let verified = state.verify_for::<Libsecp256k1>(params.id(), params);
    verified.map_err(|_| WRONG_STATE)
}

fn verify_auths(
    receivers: &[SignedReceiver],
    params: &Params,
    place: Place,
) -> Result<Vec<SignedWithdrawalAuth>, Refused> {
    let to_adjudicator =
        |receiver: &SignedReceiver| receiver.receiver.owner == params.adjudicator();
    if receivers.iter().any(to_adjudicator) {
        return Err(WRONG_AUTHS);
    }
    let (id, part) = (place.channel, place.part);
    SignedReceiver::verify_all::<Libsecp256k1>(receivers, id, params, part).ok_or(WRONG_AUTHS)
}
