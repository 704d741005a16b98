//! Which parts of the state a requester may see.
//!
//! | path | who |
//! |---|---|
//! | `/time`, `/subnet/…`, `/canister_ranges/…`, `/api_boundary_nodes/…` | everybody |
//! | `/canister/<id>/{controllers, module_hash}` | everybody, at that canister's URL |
//! | `/canister/<id>/metadata/<name>` | likewise, and for a private section only controllers |
//! | `/request_status/<id>…` | the sender of that request, one request at a time |
//!
//! Any other path is refused, among them certified data (canisters hand that out themselves, with
//! their answers) and whole subtrees that would list all canisters or requests.

use std::fmt;

use candid::Principal;
use hyper::StatusCode;

use crate::auth::Authenticated;
use crate::http::{Effective, Refusal};
use crate::state_tree::Path;

/// The most paths of one request.
const MAX_PATHS: usize = 1_000;

/// What must be known of the state to judge a path.
pub(crate) trait Facts {
    /// Whether `canister`'s section `name` exists and is for controllers only.
    fn is_private_metadata(&self, canister: &Principal, name: &[u8]) -> bool;
    /// Whether `principal` controls `canister`.
    fn is_controller(&self, canister: &Principal, principal: &Principal) -> bool;
    /// Sender and receiving canister of a request, if the network knows it.
    fn request(&self, id: &[u8; 32]) -> Option<(Principal, Principal)>;
}

/// Checks `paths` and returns the request whose status is asked for, if one is.
pub(crate) fn check(
    paths: &[Path],
    effective: Effective,
    requester: &Authenticated,
    facts: &impl Facts,
) -> Result<Option<[u8; 32]>, PathError> {
    if paths.len() > MAX_PATHS {
        return Err(PathError::TooMany { count: paths.len() });
    }
    let mut asked = None;
    for path in paths {
        let labels: Vec<&[u8]> = path.iter().map(|label| label.as_bytes()).collect();
        match labels[..] {
            [b"time"] | [b"subnet" | b"canister_ranges" | b"api_boundary_nodes", ..] => {}
            [b"canister", id, b"controllers" | b"module_hash"] => {
                check_canister(id, effective)?;
            }
            [b"canister", id, b"metadata", name] => {
                let canister = check_canister(id, effective)?;
                if facts.is_private_metadata(&canister, name)
                    && !facts.is_controller(&canister, requester.content.sender())
                {
                    let name = String::from_utf8_lossy(name).into_owned();
                    return Err(PathError::PrivateMetadata { canister, name });
                }
            }
            [b"request_status", id] | [b"request_status", id, _] => {
                let id = id
                    .try_into()
                    .map_err(|_| PathError::NoRequestId { len: id.len() })?;
                if asked.is_some_and(|asked| asked != id) {
                    return Err(PathError::SeveralRequests);
                }
                asked = Some(id);
                check_request(&id, requester, facts)?;
            }
            _ => {
                return Err(PathError::NoSuchPath {
                    path: display(&labels),
                });
            }
        }
    }
    Ok(asked)
}

fn check_canister(id: &[u8], effective: Effective) -> Result<Principal, PathError> {
    let invalid = || PathError::NoSuchPath {
        path: display(&[b"canister", id]),
    };
    let named = Principal::try_from_slice(id).map_err(|_| invalid())?;
    match effective {
        Effective::Canister(canister) if canister == named => Ok(named),
        Effective::Canister(canister) => Err(PathError::OtherCanister { canister, named }),
        Effective::Subnet(_) => Err(PathError::CanisterOfSubnet { named }),
    }
}

fn check_request(
    id: &[u8; 32],
    requester: &Authenticated,
    facts: &impl Facts,
) -> Result<(), PathError> {
    // Nothing is known of an unknown request, so its absence is nobody's secret.
    let Some((sender, receiver)) = facts.request(id) else {
        return Ok(());
    };
    if sender != *requester.content.sender() {
        return Err(PathError::ForeignRequest);
    }
    if !requester.may_target(&receiver) {
        return Err(PathError::NotATarget { receiver });
    }
    Ok(())
}

fn display(labels: &[&[u8]]) -> String {
    // As much as a reader needs to recognise what he sent.
    labels
        .iter()
        .take(6)
        .map(|label| {
            let shown = &label[..label.len().min(40)];
            format!("/{}", String::from_utf8_lossy(shown).escape_debug())
        })
        .collect()
}

/// Why a path is not shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PathError {
    TooMany {
        count: usize,
    },
    NoSuchPath {
        path: String,
    },
    OtherCanister {
        canister: Principal,
        named: Principal,
    },
    CanisterOfSubnet {
        named: Principal,
    },
    PrivateMetadata {
        canister: Principal,
        name: String,
    },
    NoRequestId {
        len: usize,
    },
    SeveralRequests,
    ForeignRequest,
    NotATarget {
        receiver: Principal,
    },
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        let status = match error {
            PathError::NoSuchPath { .. } => StatusCode::NOT_FOUND,
            PathError::PrivateMetadata { .. }
            | PathError::ForeignRequest
            | PathError::NotATarget { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { count } => {
                write!(f, "{count} paths, at most {MAX_PATHS} are allowed")
            }
            Self::NoSuchPath { path } => {
                write!(f, "the state has no readable path '{path}'")
            }
            Self::OtherCanister { canister, named } => {
                write!(
                    f,
                    "a path names canister {named}, but the URL is for {canister}"
                )
            }
            Self::CanisterOfSubnet { named } => {
                write!(
                    f,
                    "paths of canister {named} are read at its own URL, not the subnet's"
                )
            }
            Self::PrivateMetadata { canister, name } => {
                write!(
                    f,
                    "the section '{name}' of canister {canister} is for its controllers only"
                )
            }
            Self::NoRequestId { len } => {
                write!(f, "a request id has 32 bytes, not {len}")
            }
            Self::SeveralRequests => f.write_str("only one request can be asked about at a time"),
            Self::ForeignRequest => {
                f.write_str("the status of a request is shown to its sender only")
            }
            Self::NotATarget { receiver } => write!(
                f,
                "the request went to canister {receiver}, which is not among the targets of the delegations"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ic_certification::Label;
    use ic_transport_types::EnvelopeContent;

    use super::*;

    fn principal(n: u8) -> Principal {
        Principal::from_slice(&[n, 1, 1])
    }

    const ALICE: u8 = 10;
    const BOB: u8 = 11;

    /// Canister 1 is Alice's and has a private section; request 7 is Alice's too.
    struct World;

    impl Facts for World {
        fn is_private_metadata(&self, canister: &Principal, name: &[u8]) -> bool {
            *canister == principal(1) && name == b"secret"
        }

        fn is_controller(&self, canister: &Principal, who: &Principal) -> bool {
            *canister == principal(1) && *who == principal(ALICE)
        }

        fn request(&self, id: &[u8; 32]) -> Option<(Principal, Principal)> {
            (*id == [7; 32]).then(|| (principal(ALICE), principal(1)))
        }
    }

    fn requester(who: u8) -> Authenticated {
        let content = EnvelopeContent::ReadState {
            ingress_expiry: 0,
            sender: principal(who),
            paths: vec![],
        };
        Authenticated {
            request_id: content.to_request_id(),
            content,
            targets: None,
        }
    }

    fn ask(who: u8, paths: &[&[&[u8]]]) -> Result<Option<[u8; 32]>, PathError> {
        ask_at(Effective::Canister(principal(1)), &requester(who), paths)
    }

    fn ask_at(
        effective: Effective,
        requester: &Authenticated,
        paths: &[&[&[u8]]],
    ) -> Result<Option<[u8; 32]>, PathError> {
        let paths: Vec<Path> = paths
            .iter()
            .map(|labels| {
                labels
                    .iter()
                    .map(|label| Label::from_bytes(label))
                    .collect()
            })
            .collect();
        check(&paths, effective, requester, &World)
    }

    #[test]
    fn public_paths_are_open_to_everybody() {
        let canister = principal(1);
        let id = canister.as_slice();
        let public: [&[&[u8]]; 7] = [
            &[b"time"],
            &[b"subnet"],
            &[b"subnet", b"x", b"public_key"],
            &[b"canister_ranges", b"x"],
            &[b"canister", id, b"controllers"],
            &[b"canister", id, b"module_hash"],
            &[b"canister", id, b"metadata", b"candid:service"],
        ];
        assert_eq!(ask(BOB, &public), Ok(None));
        assert_eq!(ask(BOB, &[]), Ok(None));
    }

    #[test]
    fn private_metadata_is_shown_to_controllers() {
        let canister = principal(1);
        let path: &[&[u8]] = &[b"canister", canister.as_slice(), b"metadata", b"secret"];
        assert_eq!(ask(ALICE, &[path]), Ok(None));
        let name = "secret".into();
        assert_eq!(
            ask(BOB, &[path]),
            Err(PathError::PrivateMetadata { canister, name })
        );
    }

    #[test]
    fn a_status_is_shown_to_the_sender_of_the_request() {
        let path: &[&[u8]] = &[b"request_status", &[7; 32]];
        let deeper: &[&[u8]] = &[b"request_status", &[7; 32], b"reply"];
        assert_eq!(ask(ALICE, &[path, deeper]), Ok(Some([7; 32])));
        assert_eq!(ask(BOB, &[path]), Err(PathError::ForeignRequest));
        // Unknown requests are nobody's.
        assert_eq!(
            ask(BOB, &[&[b"request_status", &[8; 32]]]),
            Ok(Some([8; 32]))
        );
    }

    #[test]
    fn delegations_for_other_canisters_do_not_open_a_status() {
        let mut alice = requester(ALICE);
        alice.targets = Some(BTreeSet::from([principal(2)]));
        let path: &[&[u8]] = &[b"request_status", &[7; 32]];
        assert_eq!(
            ask_at(Effective::Canister(principal(1)), &alice, &[path]),
            Err(PathError::NotATarget {
                receiver: principal(1)
            })
        );
    }

    #[test]
    fn only_one_request_at_a_time() {
        let paths: [&[&[u8]]; 2] = [
            &[b"request_status", &[7; 32]],
            &[b"request_status", &[8; 32]],
        ];
        assert_eq!(ask(ALICE, &paths), Err(PathError::SeveralRequests));
        let short: &[&[u8]] = &[b"request_status", &[7; 31]];
        assert_eq!(
            ask(ALICE, &[short]),
            Err(PathError::NoRequestId { len: 31 })
        );
    }

    #[test]
    fn canisters_are_read_at_their_own_url() {
        let (canister, named) = (principal(1), principal(2));
        let path: &[&[u8]] = &[b"canister", named.as_slice(), b"module_hash"];
        assert_eq!(
            ask(ALICE, &[path]),
            Err(PathError::OtherCanister { canister, named })
        );
        assert_eq!(
            ask_at(Effective::Subnet(principal(9)), &requester(ALICE), &[path]),
            Err(PathError::CanisterOfSubnet { named })
        );
    }

    #[test]
    fn whatever_else_is_refused() {
        let canister = principal(1);
        let id = canister.as_slice();
        let refused: [&[&[u8]]; 9] = [
            &[],
            &[b"canister"],
            &[b"canister", id],
            &[b"canister", id, b"certified_data"],
            &[b"canister", id, b"metadata"],
            &[b"canister", &[1; 40], b"controllers"],
            &[b"request_status"],
            &[b"request_status", &[7; 32], b"reply", b"x"],
            &[b"\xff\xfe"],
        ];
        for path in refused {
            let error = ask(ALICE, &[path]).unwrap_err();
            assert!(
                matches!(error, PathError::NoSuchPath { .. }),
                "{path:?}: {error}"
            );
        }
        let time: &[&[u8]] = &[b"time"];
        let many = vec![time; MAX_PATHS + 1];
        assert_eq!(ask(ALICE, &many), Err(PathError::TooMany { count: 1_001 }));
    }
}
