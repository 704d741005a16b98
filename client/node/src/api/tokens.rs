//! Our own `Tokens`.

use std::sync::Arc;

use candid::Principal;
use perun_protocol::Amount;
use tonic::{Request, Response, Status};

use super::v1;
use super::v1::tokens_server::Tokens as TokensApi;
use crate::Error;
use crate::access::caller_of;
use crate::currency::Currencies;
use crate::tokens::{NewToken, Scope, TokenInfo, Tokens};

/// Serves `Tokens` of a node.
pub struct TokensService {
    tokens: Tokens,
    currencies: Arc<Currencies>,
}

impl TokensService {
    /// The service of these tokens; their limits are in these currencies.
    pub fn new(tokens: Tokens, currencies: Arc<Currencies>) -> Self {
        Self { tokens, currencies }
    }

    /// Does what may wait for the disk.
    async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tokens) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tokens = self.tokens.clone();
        let done = tokio::task::spawn_blocking(move || work(&tokens)).await;
        done.map_err(Error::internal)?
    }

    fn limit(&self, limit: &v1::SpendLimit) -> Result<(Principal, Amount), Error> {
        let currency = self.currencies.named(&limit.currency)?;
        Ok((currency.ledger, currency.parse(&limit.per_day)?))
    }

    fn show(&self, token: TokenInfo) -> v1::list_tokens_response::Token {
        let amounts = |amounts: &[(Principal, Amount)]| {
            let shown = amounts.iter().map(|(ledger, amount)| {
                match self.currencies.named(&ledger.to_text()) {
                    Ok(currency) => v1::SpendLimit {
                        currency: currency.symbol.clone(),
                        per_day: currency.show(*amount),
                    },
                    // How many decimals it had, only the ledger knew.
                    Err(_) => v1::SpendLimit {
                        currency: ledger.to_text(),
                        per_day: format!("{} units", amount.units()),
                    },
                }
            });
            shown.collect()
        };
        let expiry_s = token.expiry_s.map(i64::try_from);
        v1::list_tokens_response::Token {
            scope: v1::Scope::from(token.scope).into(),
            session: token.session.unwrap_or_default(),
            limits: amounts(&token.limits),
            spent: amounts(&token.spent),
            expiry: expiry_s.map_or(0, |expiry_s| expiry_s.unwrap_or(i64::MAX)),
            revoked: token.is_revoked,
            id: token.id,
            label: token.label,
        }
    }
}

#[tonic::async_trait]
impl TokensApi for TokensService {
    async fn create(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = caller_of(&request)?;
        caller.require(Scope::Admin)?;
        let order = request.into_inner();
        let scope = v1::Scope::try_from(order.scope).map_err(|_| {
            let requirement = "READ, RECEIVE, SPEND or ADMIN";
            Error::invalid("scope", order.scope.to_string(), requirement)
        })?;
        let limits = order.limits.iter().map(|limit| self.limit(limit));
        let new = NewToken {
            label: order.label,
            scope: scope.into(),
            session: Some(order.session).filter(|session| !session.is_empty()),
            limits: limits.collect::<Result<_, _>>()?,
            valid_s: Some(order.valid_s).filter(|valid_s| *valid_s != 0),
        };
        let (id, secret) = self.wait(|tokens| tokens.create(new)).await?;
        tracing::info!(token = id, by = caller.id(), "a token was made");
        Ok(Response::new(v1::CreateTokenResponse {
            id,
            secret: secret.expose().into(),
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        caller_of(&request)?.require(Scope::Admin)?;
        let tokens = self.tokens.list().into_iter();
        let tokens = tokens.map(|token| self.show(token)).collect();
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = caller_of(&request)?;
        caller.require(Scope::Admin)?;
        let v1::RevokeTokenRequest { id } = request.into_inner();
        let revoked = id.clone();
        self.wait(move |tokens| tokens.revoke(&id)).await?;
        tracing::info!(token = revoked, by = caller.id(), "a token was revoked");
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }
}

impl From<v1::Scope> for Scope {
    fn from(scope: v1::Scope) -> Self {
        match scope {
            v1::Scope::Read => Self::Read,
            v1::Scope::Receive => Self::Receive,
            v1::Scope::Spend => Self::Spend,
            v1::Scope::Admin => Self::Admin,
        }
    }
}

impl From<Scope> for v1::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Receive => Self::Receive,
            Scope::Spend => Self::Spend,
            Scope::Admin => Self::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::access::Caller;
    use crate::scratch::Scratch;

    struct World {
        _scratch: Scratch,
        tokens: Tokens,
        service: TokensService,
    }

    impl World {
        fn new() -> Self {
            let scratch = Scratch::new();
            let tokens = Tokens::open(&scratch.path().join("tokens.redb")).unwrap();
            let currencies = Arc::new(Currencies::new("http://127.0.0.1:1"));
            Self {
                service: TokensService::new(tokens.clone(), currencies),
                tokens,
                _scratch: scratch,
            }
        }

        async fn list(&self) -> Vec<v1::list_tokens_response::Token> {
            let request = by_admin(v1::ListTokensRequest {});
            self.service
                .list(request)
                .await
                .unwrap()
                .into_inner()
                .tokens
        }

        async fn create(
            &self,
            order: v1::CreateTokenRequest,
        ) -> Result<v1::CreateTokenResponse, Status> {
            let created = self.service.create(by_admin(order)).await;
            created.map(Response::into_inner)
        }
    }

    fn by<T>(caller: Caller, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(caller);
        request
    }

    fn by_admin<T>(message: T) -> Request<T> {
        by(Caller::unrestricted(), message)
    }

    fn order(scope: v1::Scope) -> v1::CreateTokenRequest {
        v1::CreateTokenRequest {
            label: "shop".into(),
            scope: scope.into(),
            session: "alice".into(),
            limits: Vec::new(),
            valid_s: 3600,
        }
    }

    #[tokio::test]
    async fn a_token_is_made_listed_and_revoked() {
        let world = World::new();
        let made = world.create(order(v1::Scope::Receive)).await.unwrap();
        let caller = world.tokens.authenticate(&made.secret).unwrap();
        caller.require(Scope::Receive).unwrap();
        assert!(caller.require(Scope::Spend).is_err());
        assert!(caller.may_use("bob").is_err());
        let [listed] = world.list().await.try_into().unwrap();
        assert_eq!((&listed.id, &*listed.label), (&made.id, "shop"));
        assert_eq!(listed.scope(), v1::Scope::Receive);
        assert_eq!(listed.session, "alice");
        assert!(listed.expiry > 0 && !listed.revoked);

        let id = made.id;
        let revoke = v1::RevokeTokenRequest { id };
        let revoked = world.service.revoke(by_admin(revoke)).await;
        revoked.unwrap();
        assert!(world.tokens.authenticate(&made.secret).is_err());
        assert!(world.list().await[0].revoked);
    }

    #[tokio::test]
    async fn for_ever_is_zero() {
        let world = World::new();
        let order = v1::CreateTokenRequest {
            valid_s: 0,
            session: String::new(),
            ..order(v1::Scope::Admin)
        };
        world.create(order).await.unwrap();
        assert_eq!(world.list().await[0].expiry, 0);
    }

    #[tokio::test]
    async fn a_limit_of_a_ledger_that_is_not_known_is_shown_in_units() {
        let world = World::new();
        let ledger = Principal::from_slice(&[1]);
        let new = NewToken {
            label: String::new(),
            scope: Scope::Spend,
            session: None,
            limits: vec![(ledger, Amount::new(7))],
            valid_s: None,
        };
        world.tokens.create(new).unwrap();
        let listed = &world.list().await[0];
        assert_eq!(listed.limits[0].currency, ledger.to_text());
        assert_eq!(listed.limits[0].per_day, "7 units");
        assert_eq!(listed.spent[0].per_day, "0 units");
    }

    #[tokio::test]
    async fn what_makes_no_token_is_refused() {
        let world = World::new();
        let code = async |order| world.create(order).await.unwrap_err().code();
        let unknown_scope = v1::CreateTokenRequest {
            scope: 9,
            ..order(v1::Scope::Read)
        };
        assert_eq!(code(unknown_scope).await, Code::InvalidArgument);
        let admin_of_one = order(v1::Scope::Admin);
        assert_eq!(code(admin_of_one).await, Code::InvalidArgument);
        let unknown_currency = v1::CreateTokenRequest {
            limits: vec![v1::SpendLimit {
                currency: "ETH".into(),
                per_day: "1".into(),
            }],
            ..order(v1::Scope::Spend)
        };
        assert_eq!(code(unknown_currency).await, Code::NotFound);
        assert!(world.list().await.is_empty());
    }

    #[tokio::test]
    async fn only_an_administrator_may() {
        let world = World::new();
        let spender = v1::CreateTokenRequest {
            session: String::new(),
            ..order(v1::Scope::Spend)
        };
        let made = world.create(spender.clone()).await.unwrap();
        let caller = || world.tokens.authenticate(&made.secret).unwrap();
        let service = &world.service;
        let created = service.create(by(caller(), spender.clone())).await;
        let listed = service.list(by(caller(), v1::ListTokensRequest {})).await;
        let id = made.id.clone();
        let revoke = v1::RevokeTokenRequest { id };
        let revoked = service.revoke(by(caller(), revoke)).await;
        let codes = [
            created.unwrap_err().code(),
            listed.unwrap_err().code(),
            revoked.unwrap_err().code(),
        ];
        assert_eq!(codes, [Code::PermissionDenied; 3]);
        // Nor somebody of whom nothing is known.
        let nobody = service.create(Request::new(spender)).await;
        assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(world.list().await.len(), 1);
    }
}
