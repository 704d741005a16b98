//! One canister behind an agent: the bytes that go there, and those that come back.

use candid::utils::{ArgumentEncoder, decode_args_with_config};
use candid::{CandidType, DecoderConfig, Principal};
use ic_agent::{Agent, AgentError};
use serde::Deserialize;

use crate::WrongAnswer;

/// An answer has at most 2 MiB; what unfolds to more work than this was made to keep us busy.
const DECODING_QUOTA: usize = 2 * 1024 * 1024 * 50;
/// Fields that a newer interface has added are skipped.
const SKIPPING_QUOTA: usize = 2 * 1024 * 1024;

/// A canister behind an agent.
#[derive(Clone)]
pub(crate) struct Canister {
    pub(crate) agent: Agent,
    pub(crate) id: Principal,
}

/// A call that can be sent again exactly as it was: the same bytes each time.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    argument: Vec<u8>,
    is_read: bool,
}

impl Request {
    /// A call that may change something.
    pub(crate) fn update(method: &'static str, arguments: impl ArgumentEncoder) -> Self {
        Self {
            method,
            argument: candid::encode_args(arguments).expect("requests are plain data"),
            is_read: false,
        }
    }

    /// A question.
    pub(crate) fn read(method: &'static str, arguments: impl ArgumentEncoder) -> Self {
        Self {
            is_read: true,
            ..Self::update(method, arguments)
        }
    }
}

impl Canister {
    /// Sends a request and waits for the bytes of its answer.
    pub(crate) async fn send(&self, request: &Request) -> Result<Vec<u8>, AgentError> {
        if request.is_read {
            self.read(request).await
        } else {
            self.call(request).await
        }
    }

    async fn call(&self, request: &Request) -> Result<Vec<u8>, AgentError> {
        let update = self.agent.update(&self.id, request.method);
        update.with_arg(request.argument.clone()).await
    }

    /// Asks a question by an update call, so that the whole subnet answers and signs: a query is
    /// answered by one node, which could show deposits that are not there.
    async fn read(&self, request: &Request) -> Result<Vec<u8>, AgentError> {
        self.call(request).await
    }

    /// Asks one node. Its answer is worth what it proves.
    pub(crate) async fn query(&self, request: &Request) -> Result<Vec<u8>, AgentError> {
        let query = self.agent.query(&self.id, request.method);
        query.with_arg(request.argument.clone()).call().await
    }
}

/// The one value that an answer consists of.
pub(crate) fn decode<T>(bytes: &[u8]) -> Result<T, WrongAnswer>
where
    T: CandidType + for<'a> Deserialize<'a>,
{
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(DECODING_QUOTA);
    config.set_skipping_quota(SKIPPING_QUOTA);
    match decode_args_with_config(bytes, &config) {
        Ok((answer,)) => Ok(answer),
        Err(error) => Err(WrongAnswer::Candid {
            reason: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_another_type_are_no_panic() {
        let text = candid::encode_one("zero").unwrap();
        assert!(matches!(
            decode::<u64>(&text),
            Err(WrongAnswer::Candid { .. })
        ));
        assert!(matches!(
            decode::<u64>(b""),
            Err(WrongAnswer::Candid { .. })
        ));
        assert!(matches!(
            decode::<u64>(b"DIDL\xff\xff"),
            Err(WrongAnswer::Candid { .. })
        ));
    }

    #[test]
    fn a_request_is_the_same_bytes_each_time() {
        let request = Request::update("deposit", (7_u64, "x"));
        assert_eq!(
            request.argument,
            Request::read("deposit", (7_u64, "x")).argument
        );
    }
}
