use std::fs;

use perun_protocol::signature::{SecretKey, Signer as _};

use super::*;
use crate::api::pb;
use crate::scratch::Scratch;

fn identity(seed: u8) -> PublicKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap().public_key()
}

fn peer(alias: &str, seed: u8) -> Peer {
    Peer {
        alias: alias.to_owned(),
        identity: identity(seed),
        address: "127.0.0.1:5752".to_owned(),
    }
}

#[test]
fn contacts_are_there_after_a_restart() {
    let folder = Scratch::new();
    let path = folder.path().join("contacts.yaml");
    let contacts = Contacts::open(&path).unwrap();
    assert_eq!(contacts.list(), []);
    let (alice, bob) = (peer("alice", 1), peer("bob", 2));
    contacts.add(bob.clone()).unwrap();
    contacts.add(alice.clone()).unwrap();
    for contacts in [contacts, Contacts::open(&path).unwrap()] {
        assert_eq!(contacts.list(), [alice.clone(), bob.clone()]);
        assert_eq!(contacts.get("bob").unwrap(), bob);
        assert_eq!(contacts.by_identity(&alice.identity), Some(alice.clone()));
        assert_eq!(contacts.by_identity(&identity(3)), None);
    }
}

#[test]
fn a_contact_is_added_once() {
    let folder = Scratch::new();
    let contacts = Contacts::open(&folder.path().join("contacts.yaml")).unwrap();
    contacts.add(peer("bob", 2)).unwrap();
    let exists = Error::exists(Resource::PeerId, "bob");
    for again in [peer("bob", 2), peer("bob", 3), peer("robert", 2)] {
        assert_eq!(contacts.add(again), Err(exists.clone()));
    }
    assert_eq!(contacts.list(), [peer("bob", 2)]);
}

#[test]
fn a_contact_that_is_removed_is_gone() {
    let folder = Scratch::new();
    let path = folder.path().join("contacts.yaml");
    let contacts = Contacts::open(&path).unwrap();
    contacts.add(peer("bob", 2)).unwrap();
    let missing = Error::not_found(Resource::PeerId, "carol");
    assert_eq!(contacts.remove("carol"), Err(missing));
    assert_eq!(contacts.remove("bob").unwrap(), peer("bob", 2));
    let missing = Error::not_found(Resource::PeerId, "bob");
    assert_eq!(contacts.get("bob"), Err(missing));
    assert_eq!(contacts.by_identity(&identity(2)), None);
    assert_eq!(Contacts::open(&path).unwrap().list(), []);
    contacts.add(peer("robert", 2)).unwrap();
}

#[test]
fn what_is_no_contact_is_refused_by_its_part() {
    let folder = Scratch::new();
    let contacts = Contacts::open(&folder.path().join("contacts.yaml")).unwrap();
    let refused = |alias: &str, address: &str| {
        let peer = Peer {
            address: address.to_owned(),
            ..peer(alias, 1)
        };
        match contacts.add(peer) {
            Err(Error::InvalidArgument { name, .. }) => name,
            other => panic!("{alias:?} {address:?}: {other:?}"),
        }
    };
    let long = "a".repeat(65);
    for alias in [
        "",
        SELF,
        &long,
        "-a",
        "a b",
        "a\n",
        "a\u{200b}",
        "a\u{202e}",
        "\"a",
        "a'",
        "a\\",
        "a$b",
        "a*",
    ] {
        assert_eq!(refused(alias, "localhost:1"), "peerAlias");
    }
    for address in [
        "",
        "localhost",
        ":1",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:+1",
        "::1:1",
        "[::1:1",
        "[nonsense]:1",
        "a b:1",
        "user@host:1",
        "http://host:1",
    ] {
        assert_eq!(refused("bob", address), "commAddress");
    }
    for (number, (alias, address)) in [
        ("a", "localhost:1"),
        (&*"é".repeat(64), "[::1]:65535"),
        ("bob@home", "node-1.example.com:5750"),
        ("0", "127.0.0.1:5750"),
    ]
    .into_iter()
    .enumerate()
    {
        let identity = identity(number as u8 + 1);
        let (alias, address) = (alias.to_owned(), address.to_owned());
        let added = contacts.add(Peer {
            alias,
            identity,
            address,
        });
        assert_eq!(added, Ok(()));
    }
}

#[test]
fn identities_are_read_in_any_case_with_or_without_prefix() {
    let text = show_identity(&identity(1));
    for text in [
        text.clone(),
        text.to_uppercase(),
        format!("0x{text}"),
        format!("0X{}", text.to_uppercase()),
    ] {
        assert_eq!(read_identity(&text), Some(identity(1)));
    }
    for text in [
        &text[2..],
        "",
        "0x",
        &format!("04{}", &text[2..]),
        &format!("{text}0"),
    ] {
        assert_eq!(read_identity(text), None, "{text:?}");
    }
}

#[test]
fn a_contact_survives_the_api() {
    let bob = peer("bob", 2);
    let message = pb::PeerId::from(&bob);
    assert_eq!(message.comm_type, "tcp");
    assert_eq!(Peer::try_from(&message), Ok(bob));
    let changed = |change: fn(&mut pb::PeerId)| {
        let mut message = message.clone();
        change(&mut message);
        match Peer::try_from(&message) {
            Err(Error::InvalidArgument { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(changed(|peer| peer.comm_type = "udp".into()), "commType");
    assert_eq!(changed(|peer| peer.alias = SELF.into()), "peerAlias");
    assert_eq!(changed(|peer| peer.comm_address.clear()), "commAddress");
    let no_key = |peer: &mut pb::PeerId| peer.off_chain_address = "02".into();
    assert_eq!(changed(no_key), "offChainAddress");
    // x = 5 is on no curve point.
    let off_curve = |peer: &mut pb::PeerId| peer.off_chain_address = format!("02{:064x}", 5);
    assert_eq!(changed(off_curve), "offChainAddress");
}

const GOOD: &str = "
# people edit this
bob:
  alias: bob
  comm_address: 127.0.0.1:5752
  comm_type: tcp
  offchain_address: 0x02C6047F9441ED7D6D3045406E95C07CD85C778E4B8CEF3CA7ABAC09B95C709EE5
carol:
  comm_address: localhost:5753
  offchain_address: 02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9
";

#[test]
fn perun_nodes_file_is_read() {
    let folder = Scratch::new();
    let path = folder.path().join("contacts.yaml");
    fs::write(&path, GOOD).unwrap();
    let contacts = Contacts::open(&path).unwrap();
    let aliases: Vec<_> = contacts.list().into_iter().map(|peer| peer.alias).collect();
    assert_eq!(aliases, ["bob", "carol"]);
    fs::write(&path, "# nobody yet\n").unwrap();
    assert_eq!(Contacts::open(&path).unwrap().list(), []);
}

#[test]
fn a_broken_file_is_refused_with_its_line() {
    let folder = Scratch::new();
    let path = folder.path().join("contacts.yaml");
    let changed = [
        ("alias: bob", "alias: robert", 4),
        ("127.0.0.1:5752", "127.0.0.1", 5),
        ("comm_type: tcp", "comm_type: udp", 6),
        ("comm_type: tcp", "comm_typ: tcp", 6),
        ("0x02C6", "0x12C6", 7),
        ("02f9308a", "02f9308b", 10),
        ("carol:", "self:", 9),
        ("carol:", "bob:", 8),
        ("carol:", "carol: [", 8),
        (
            "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
            "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
            9,
        ),
    ];
    for (from, to, line) in changed {
        fs::write(&path, GOOD.replacen(from, to, 1)).unwrap();
        match Contacts::open(&path) {
            Err(Error::InvalidConfig { reason, .. }) => {
                let place = format!("line {line}: ");
                assert!(reason.starts_with(&place), "{from} -> {to}: {reason}");
            }
            other => panic!("{from} -> {to}: {other:?}"),
        }
    }
}

#[test]
fn what_people_edit_meanwhile_is_kept() {
    let folder = Scratch::new();
    let path = folder.path().join("contacts.yaml");
    let contacts = Contacts::open(&path).unwrap();
    fs::write(&path, GOOD).unwrap();
    contacts.add(peer("dave", 9)).unwrap();
    let names = |contacts: &Contacts| contacts.list().len();
    assert_eq!(
        (names(&contacts), names(&Contacts::open(&path).unwrap())),
        (3, 3)
    );
    fs::write(&path, "bob: [").unwrap();
    let refused = contacts.add(peer("erin", 8));
    assert!(
        matches!(refused, Err(Error::InvalidConfig { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "bob: [");
    assert_eq!(names(&contacts), 3);
}

#[test]
fn a_thousand_contacts_can_be_kept() {
    let folder = Scratch::new();
    let path = folder.path().join("contacts.yaml");
    let mut book = Book::default();
    for number in 1..=1000u16 {
        let mut secret = [1; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        book.insert(Peer {
            alias: format!("peer{number}"),
            identity: SecretKey::from_bytes(&secret).unwrap().public_key(),
            address: "localhost:1".into(),
        });
    }
    fs::write(&path, book.to_yaml()).unwrap();
    assert_eq!(Book::read(&path).unwrap(), book);
}
