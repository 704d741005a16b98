//! What a browser or a monitor gets: a page that says what this canister is, and metrics.
//!
//! | path | answer | proven |
//! |---|---|---|
//! | `/` | the page | its body: by the certified tree (response verification, version 1) |
//! | `/metrics` | figures for Prometheus | not: ask the `raw` domain, and believe it as far as one node |
//!
//! Only queries come here; nothing that is asked changes anything.

use candid::{CandidType, Deserialize};
use ic_certification::HashTree;
use perun_protocol::Timestamp;
use serde_bytes::ByteBuf;

use crate::Adjudicator;

/// A longer address is none of ours.
const MAX_URL_BYTES: usize = 512;

/// A request, as the HTTP gateway protocol has it; what else it tells matters to none of our answers.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `HEAD`, ...
    pub method: String,
    /// Path and query.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What was sent.
    pub body: ByteBuf,
    /// The newest version of response verification that the gateway knows.
    pub certificate_version: Option<u16>,
}

/// The answer.
#[derive(CandidType, Clone, Debug, Deserialize)]
pub struct HttpResponse {
    /// The status.
    pub status_code: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: ByteBuf,
}

/// What surrounds a request.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The time.
    pub now: Timestamp,
    /// The subnet's signature on what is certified; none in update calls.
    pub certificate: Option<Vec<u8>>,
    /// How large the stable memory is.
    pub stable_bytes: u64,
    /// How large the heap is.
    pub heap_bytes: u64,
}

impl Adjudicator {
    /// Answers a request. The answer to `HEAD` is that to `GET`: the gateway verifies the body before it
    /// leaves it out.
    pub fn answer_http(&self, request: &HttpRequest, around: &Surroundings) -> HttpResponse {
        if request.url.len() > MAX_URL_BYTES {
            return text(414, "the address is too long");
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            let mut answer = text(405, "only GET and HEAD");
            answer.headers.push(header("allow", "GET, HEAD"));
            return answer;
        }
        let path = request.url.split(['?', '#']).next().unwrap_or_default();
        match path {
            "/" => self.page_answer(around),
            "/metrics" => HttpResponse {
                status_code: 200,
                headers: vec![
                    header("content-type", "text/plain; version=0.0.4; charset=utf-8"),
                    header("cache-control", "no-store"),
                ],
                body: ByteBuf::from(self.metrics(around)),
            },
            _ => text(404, "there are / and /metrics"),
        }
    }

    fn page_answer(&self, around: &Surroundings) -> HttpResponse {
        let mut headers = vec![
            header("content-type", "text/html; charset=utf-8"),
            header(
                "content-security-policy",
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
            header("x-content-type-options", "nosniff"),
        ];
        if let Some(certificate) = &around.certificate {
            let proof = proof(certificate, &self.page_witness());
            headers.push(header("ic-certificate", &proof));
        }
        HttpResponse {
            status_code: 200,
            headers,
            body: ByteBuf::from(self.page.body()),
        }
    }
}

/// The header by which a gateway verifies the body.
fn proof(certificate: &[u8], witness: &HashTree) -> String {
    let Ok(witness) = serde_cbor::to_vec(witness) else {
        unreachable!("a vector takes every byte");
    };
    let (certificate, witness) = (base64(certificate), base64(&witness));
    format!("certificate=:{certificate}:, tree=:{witness}:")
}

fn text(status_code: u16, words: &str) -> HttpResponse {
    HttpResponse {
        status_code,
        headers: vec![header("content-type", "text/plain; charset=utf-8")],
        body: ByteBuf::from(words),
    }
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_padding = digit > three.len();
            out.push(match is_padding {
                true => '=',
                false => char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_standard() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
