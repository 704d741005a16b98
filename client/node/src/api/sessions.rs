//! Our own `Sessions`.

use std::pin::Pin;
use std::sync::Arc;

use perun_canister_api::convert;
use perun_client::Ledger;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::v1::sessions_server::Sessions;
use super::{pb, v1};
use crate::access::{Caller, caller_of};
use crate::contacts::show_identity;
use crate::node::Node;
use crate::password::Secret;
use crate::session::Session;
use crate::tokens::Scope;
use crate::{Error, clock, users};

/// Serves `Sessions` of a node.
pub struct SessionsService {
    node: Arc<Node>,
}

impl SessionsService {
    /// The service of this node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn session<T>(
        &self,
        request: &Request<T>,
        scope: Scope,
        id: &str,
    ) -> Result<Arc<Session>, Status> {
        Ok(self.node.session_for(&caller_of(request)?, scope, id)?)
    }
}

#[tonic::async_trait]
impl Sessions for SessionsService {
    async fn create(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        caller_of(&request)?.require(Scope::Admin)?;
        let v1::CreateSessionRequest {
            name,
            password,
            comm_address,
            recovery_words,
            identity_pem,
        } = request.into_inner();
        let optional = |text: String| (!text.is_empty()).then(|| Secret::new(text));
        let order = users::NewUser {
            name,
            password: Secret::new(password),
            comm_address,
            recovery_words: optional(recovery_words),
            identity_pem: optional(identity_pem),
        };
        let folder = self.node.users_folder();
        // Hashing the password takes a second on purpose.
        let creating = tokio::task::spawn_blocking(move || users::create(&folder, &order));
        let created = creating.await.map_err(Error::internal)??;
        Ok(Response::new(v1::CreateSessionResponse {
            recovery_words: created
                .words
                .map_or(String::new(), |words| words.expose().into()),
            off_chain_address: show_identity(&created.public.off_chain),
            on_chain_address: created.public.principal.to_text(),
        }))
    }

    async fn open(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        let caller = caller_of(&request)?;
        caller.require(Scope::Receive)?;
        let v1::OpenSessionRequest { name, password } = request.into_inner();
        let password = (!password.is_empty()).then(|| Secret::new(password));
        let session = self.node.open_named(&caller, &name, password).await?;
        Ok(Response::new(v1::OpenSessionResponse {
            session_id: session.id().to_owned(),
            restored: session.channels(),
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let caller = caller_of(&request)?;
        caller.require(Scope::Read)?;
        Ok(Response::new(v1::ListSessionsResponse {
            sessions: self.list(&caller)?,
        }))
    }

    async fn balances(
        &self,
        request: Request<v1::BalancesRequest>,
    ) -> Result<Response<v1::BalancesResponse>, Status> {
        let id = &request.get_ref().session_id;
        let session = self.session(&request, Scope::Read, id)?;
        let account = session.account();
        let mut balances = Vec::new();
        for currency in session.currencies().all() {
            let ledger = Ledger::new(session.agent().clone(), currency.ledger);
            let balance = ledger.balance(&account).await;
            let balance = balance.map_err(|error| Error::ChainNotReachable {
                url: self.node.settings().chain_url.clone(),
                cause: error.to_string(),
            })?;
            balances.push(v1::balances_response::Balance {
                currency: currency.symbol.clone(),
                ledger: currency.ledger.to_text(),
                amount: currency.show(balance),
                fee: currency.show(currency.fee),
            });
        }
        let owner = convert::principal_to_candid(&account.owner);
        Ok(Response::new(v1::BalancesResponse {
            account: owner.to_text(),
            balances,
        }))
    }

    async fn list_contacts(
        &self,
        request: Request<v1::ListContactsRequest>,
    ) -> Result<Response<v1::ListContactsResponse>, Status> {
        let id = &request.get_ref().session_id;
        let session = self.session(&request, Scope::Read, id)?;
        let contacts = session.contacts().list();
        Ok(Response::new(v1::ListContactsResponse {
            contacts: contacts.iter().map(pb::PeerId::from).collect(),
        }))
    }

    async fn remove_contact(
        &self,
        request: Request<v1::RemoveContactRequest>,
    ) -> Result<Response<v1::RemoveContactResponse>, Status> {
        let v1::RemoveContactRequest { session_id, alias } = request.get_ref();
        let session = self.session(&request, Scope::Receive, session_id)?;
        let alias = alias.clone();
        // It waits for the disk.
        let removing = tokio::task::spawn_blocking(move || session.contacts().remove(&alias));
        removing.await.map_err(Error::internal)??;
        Ok(Response::new(v1::RemoveContactResponse {}))
    }

    async fn card(
        &self,
        request: Request<v1::CardRequest>,
    ) -> Result<Response<v1::CardResponse>, Status> {
        let id = &request.get_ref().session_id;
        let session = self.session(&request, Scope::Read, id)?;
        Ok(Response::new(v1::CardResponse {
            card: Some(session.card(session.name().to_owned())),
        }))
    }

    async fn channels(
        &self,
        request: Request<v1::ChannelsRequest>,
    ) -> Result<Response<v1::ChannelsResponse>, Status> {
        let id = &request.get_ref().session_id;
        let session = self.session(&request, Scope::Read, id)?;
        Ok(Response::new(v1::ChannelsResponse {
            channels: session.channel_statuses(),
        }))
    }

    async fn force_close(
        &self,
        request: Request<v1::ForceCloseRequest>,
    ) -> Result<Response<v1::ForceCloseResponse>, Status> {
        let v1::ForceCloseRequest {
            session_id,
            channel,
            accept_old_copy,
        } = request.get_ref();
        let session = self.session(&request, Scope::Spend, session_id)?;
        let info = session.force_close_channel(channel, *accept_old_copy);
        let info = Some(info.await?);
        Ok(Response::new(v1::ForceCloseResponse { info }))
    }

    type EventsStream = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

    async fn events(
        &self,
        request: Request<v1::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let id = &request.get_ref().session_id;
        let session = self.session(&request, Scope::Read, id)?;
        Ok(Response::new(Box::pin(events(&session))))
    }
}

impl SessionsService {
    fn list(&self, caller: &Caller) -> Result<Vec<v1::list_sessions_response::Session>, Error> {
        let users = self.node.users()?.into_iter();
        let users = users.filter(|user| caller.may_use(&user.name).is_ok());
        let sessions = users.map(|user| {
            let session = user.session.as_ref();
            let channels = session.map_or(0, |session| session.client().channels().len());
            v1::list_sessions_response::Session {
                session_id: session
                    .map(|session| session.id().to_owned())
                    .unwrap_or_default(),
                off_chain_address: user.identity().unwrap_or_default(),
                channels: u32::try_from(channels).unwrap_or(u32::MAX),
                name: user.name,
            }
        });
        Ok(sessions.collect())
    }
}

/// A session's events as they come, until it is closed.
fn events(session: &Session) -> impl Stream<Item = Result<v1::Event, Status>> + Send + 'static {
    let receiver = session.events();
    // The receiver alone: whoever listens does not keep a session open.
    futures::stream::unfold(receiver, |mut receiver| async {
        let event = match receiver.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(count)) => v1::Event {
                at_ms: clock::millis(),
                kind: v1::event::Kind::Missed.into(),
                text: format!("{count} events were not read in time"),
                ..v1::Event::default()
            },
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), receiver))
    })
}
