//! The keys of the network and what it signs with them: certificates and query answers.
//!
//! There is one subnet and it is the root subnet, so its key is the root key and a certificate
//! needs no delegation. Agents learn the key from the status endpoint, exactly as they do with
//! any network that isn't the main one.
//!
//! All keys follow from the replica's seed, so two runs of a test show the same principals and
//! bytes. They protect nothing: whoever knows the seed can sign.

use candid::Principal;
use ic_certification::{Certificate, HashTree, empty, fork, labeled, leaf, pruned};
use ic_transport_types::{NodeSignature, QueryResponse, RequestId};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Precedes the root hash in what the root key signs.
const STATE_ROOT_DOMAIN: &[u8] = b"\x0Dic-state-root";

/// The DER of a BLS12-381 key up to the key itself: algorithm and curve identifiers.
const BLS_DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, // sequence of 130 bytes
    0x30, 0x1d, // sequence of 29 bytes
    0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02,
    0x01, //
    0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, //
    0x03, 0x61, 0x00, // bit string of 97 bytes, none of its bits unused
];

/// The root key and the key of the one node, with the principals that follow from them.
pub(crate) struct SubnetKeys {
    root: ic_verify_bls_signature::PrivateKey,
    root_der: Vec<u8>,
    subnet_id: Principal,
    node: ic_ed25519::PrivateKey,
    node_der: Vec<u8>,
    node_id: Principal,
}

impl SubnetKeys {
    /// Derives all keys from `seed`.
    pub(crate) fn from_seed(seed: &[u8]) -> Self {
        let mut root = derive(seed, b"local-ic root key");
        // The group order has 255 bits and begins with 0x73, so any 254-bit number is a key.
        root[0] &= 0x3f;
        let root = ic_verify_bls_signature::PrivateKey::deserialize(&root)
            .expect("a 254-bit number is below the group order");
        let root_der = [&BLS_DER_PREFIX[..], &root.public_key().serialize()].concat();

        let node = ic_ed25519::PrivateKey::deserialize_raw_32(&derive(seed, b"local-ic node key"));
        let node_der = node.public_key().serialize_rfc8410_der();

        Self {
            subnet_id: Principal::self_authenticating(&root_der),
            node_id: Principal::self_authenticating(&node_der),
            root,
            root_der,
            node,
            node_der,
        }
    }

    /// The key that certificates are checked with, DER (133 bytes).
    pub(crate) fn root_key_der(&self) -> &[u8] {
        &self.root_der
    }

    /// The one subnet. Agents compute the same id from the root key.
    pub(crate) fn subnet_id(&self) -> Principal {
        self.subnet_id
    }

    /// The one node.
    pub(crate) fn node_id(&self) -> Principal {
        self.node_id
    }

    /// The key that query answers are checked with, DER (44 bytes).
    pub(crate) fn node_key_der(&self) -> &[u8] {
        &self.node_der
    }

    /// Signs the root hash of `tree` and encodes both as a certificate (CBOR, self-described).
    pub(crate) fn certify(&self, tree: HashTree) -> Vec<u8> {
        let message = [STATE_ROOT_DOMAIN, &tree.digest()].concat();
        let signature = self.root.sign(&message).serialize().to_vec();
        self_described_cbor(&Certificate {
            tree,
            signature,
            delegation: None,
        })
    }

    /// The certificate a canister sees in a query: its own certified data and the time.
    ///
    /// The rest of the state stands behind hashes, so it says nothing about other canisters,
    /// neither that they exist nor that they don't.
    pub(crate) fn certify_data(&self, canister: Principal, data: &[u8], time_ns: u64) -> Vec<u8> {
        let hidden = || pruned(empty().digest());
        let own = labeled("certified_data", leaf(data));
        let canisters = fork(
            fork(hidden(), labeled(canister.as_slice(), fork(own, hidden()))),
            hidden(),
        );
        self.certify(fork(
            fork(labeled("canister", canisters), hidden()),
            labeled("time", leaf(leb128(time_ns))),
        ))
    }

    /// Adds the node's signature to the answer of query `request_id`, given at `timestamp` (ns).
    pub(crate) fn sign_query(
        &self,
        mut response: QueryResponse,
        request_id: RequestId,
        timestamp: u64,
    ) -> QueryResponse {
        let signature = self
            .node
            .sign_message(&response.signable(request_id, timestamp))
            .to_vec();
        let (QueryResponse::Replied { signatures, .. }
        | QueryResponse::Rejected { signatures, .. }) = &mut response;
        *signatures = vec![NodeSignature {
            timestamp,
            signature,
            identity: self.node_id,
        }];
        response
    }
}

/// 32 bytes for one `purpose`, from the seed.
fn derive(seed: &[u8], purpose: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([purpose.len() as u8]);
    hash.update(purpose);
    hash.update(seed);
    hash.finalize().into()
}

/// CBOR with the tag that says so, as everything on this interface is encoded.
pub(crate) fn self_described_cbor<T: Serialize>(value: &T) -> Vec<u8> {
    let mut serializer = serde_cbor::Serializer::new(Vec::new());
    serializer
        .self_describe()
        .expect("writing to memory does not fail");
    value
        .serialize(&mut serializer)
        .expect("our own answers have no unserialisable part");
    serializer.into_inner()
}

/// Unsigned LEB128, the encoding of numbers in the state tree.
pub(crate) fn leb128(value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    leb128::write::unsigned(&mut bytes, value).expect("writing to memory does not fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_certification::LookupResult;
    use ic_transport_types::ReplyResponse;

    /// What every agent does with a certificate from the root subnet.
    fn verify(certificate: &[u8], root_key_der: &[u8]) -> Result<Certificate, ()> {
        let certificate: Certificate = serde_cbor::from_slice(certificate).map_err(|_| ())?;
        let message = [STATE_ROOT_DOMAIN, &certificate.tree.digest()].concat();
        ic_verify_bls_signature::verify_bls_signature(
            &certificate.signature,
            &message,
            &root_key_der[BLS_DER_PREFIX.len()..],
        )?;
        Ok(certificate)
    }

    #[test]
    fn keys_follow_from_the_seed() {
        let keys = SubnetKeys::from_seed(b"one");
        assert_eq!(keys.root_key_der().len(), 133);
        assert_eq!(keys.node_key_der().len(), 44);
        assert_eq!(
            keys.root_key_der(),
            SubnetKeys::from_seed(b"one").root_key_der()
        );
        assert_ne!(
            keys.root_key_der(),
            SubnetKeys::from_seed(b"two").root_key_der()
        );
        assert_ne!(keys.node_id(), SubnetKeys::from_seed(b"two").node_id());
    }

    #[test]
    fn a_data_certificate_shows_the_data_and_nothing_else() {
        let keys = SubnetKeys::from_seed(b"one");
        let (ours, other) = (
            Principal::from_slice(&[1, 1]),
            Principal::from_slice(&[2, 1]),
        );
        let certificate = keys.certify_data(ours, b"root", 300);
        let tree = verify(&certificate, keys.root_key_der()).unwrap().tree;
        let lookup = |id: Principal, what: &str| {
            tree.lookup_path([b"canister".as_slice(), id.as_slice(), what.as_bytes()])
        };
        assert_eq!(lookup(ours, "certified_data"), LookupResult::Found(b"root"));
        assert_eq!(lookup(ours, "module_hash"), LookupResult::Unknown);
        assert_eq!(lookup(other, "certified_data"), LookupResult::Unknown);
        assert_eq!(
            tree.lookup_path(["time"]),
            LookupResult::Found(&[0xac, 0x02])
        );
        assert_eq!(tree.lookup_path(["subnet"]), LookupResult::Unknown);
    }

    #[test]
    fn another_network_s_certificate_is_not_ours() {
        let keys = SubnetKeys::from_seed(b"one");
        let certificate = keys.certify(labeled("time", leaf(leb128(1))));
        assert!(verify(&certificate, keys.root_key_der()).is_ok());
        let other = SubnetKeys::from_seed(b"two");
        assert!(verify(&certificate, other.root_key_der()).is_err());
    }

    #[test]
    fn a_query_answer_is_signed_for_its_request_and_time() {
        let keys = SubnetKeys::from_seed(b"one");
        let request = RequestId::new(&[5; 32]);
        let reply = ReplyResponse {
            arg: b"42".to_vec(),
        };
        let unsigned = QueryResponse::Replied {
            reply,
            signatures: vec![],
        };
        let response = keys.sign_query(unsigned, request, 77);

        let [signature] = response.signatures() else {
            panic!("one node, one signature")
        };
        assert_eq!(
            (signature.timestamp, signature.identity),
            (77, keys.node_id())
        );
        let key = ic_ed25519::PublicKey::deserialize_rfc8410_der(keys.node_key_der()).unwrap();
        let check = |request: RequestId, time| {
            key.verify_signature(&response.signable(request, time), &signature.signature)
        };
        assert!(check(request, 77).is_ok());
        assert!(check(request, 78).is_err());
        assert!(check(RequestId::new(&[6; 32]), 77).is_err());
    }
}
