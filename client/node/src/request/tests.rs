use bech32::Fe32;
use bech32::Fe32IterExt as _;
use bech32::primitives::iter::ByteIterExt as _;
use perun_protocol::SecretKey;
use proptest::prelude::*;

use super::*;

fn payee() -> SecretKey {
    SecretKey::from_bytes(&[7; 32]).unwrap()
}

fn request() -> PaymentRequest {
    PaymentRequest {
        payee: payee().public_key(),
        ledger: Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1]),
        amount: Some(Amount::new(150_000_000)),
        memo: "two coffees ☕".to_owned(),
        expires_at_s: 1_800_000_000,
        nonce: [9; 16],
    }
}

/// The text of these bytes, whatever they are, with a good signature.
fn signed(mut bytes: Vec<u8>) -> String {
    let signature = payee().sign(&digest(Domain::RequestText, &bytes));
    signature.encode_to(&mut bytes);
    to_text(&bytes)
}

fn refusal(text: &str) -> String {
    match PaymentRequest::read(text) {
        Err(Error::InvalidArgument {
            name: "text",
            requirement,
            ..
        }) => requirement,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_request_is_this_text() {
    // Others write and read these, too: a change of the format gets another version.
    let text = request().sign(&payee()).unwrap();
    assert_eq!(text, TEXT);
    assert_eq!(hex::encode(request().digest()), DIGEST);
}

const TEXT: &str = "perunreq1qypf38qtwm94vwt3lhymauc7cpkr2c8nyjwka609mq79wcj4jms97mc2qqqqqqqqqqqqyqg\
    pqyqqqqqqqqqqqqqqqqqqqz8s6xqqqqqqqp45n5sqpyysjzgfpyysjzgfpyysjzgfpyqq7arhdusxxmm\
    xvejk2uequ2vf2myz7554zyxkyr7snd8jqz43m0jvjzs9vjlyhps5j4x59tnpkkm5tfp7h2u43uzmdcw\
    0m647xapxq35w30pv3whqexduq3278jhkkwwqu74pnf";
const DIGEST: &str = "5be13245592122585e462122d63b6677a9eeb2a87b7edcbf83bb2a33e0087a90";

#[test]
fn a_request_is_read_in_either_case_but_not_in_both() {
    let text = request().sign(&payee()).unwrap();
    assert_eq!(PaymentRequest::read(&text), Ok(request()));
    let upper = text.to_uppercase();
    assert_eq!(PaymentRequest::read(&upper), Ok(request()));
    let mixed = format!("{}{}", &text[..20], &upper[20..]);
    refusal(&mixed);
}

#[test]
fn requests_for_the_same_differ() {
    let PaymentRequest {
        payee,
        ledger,
        amount,
        memo,
        expires_at_s,
        ..
    } = request();
    let new = || PaymentRequest::new(payee, ledger, amount, &memo, expires_at_s).unwrap();
    let [one, other] = [new(), new()];
    assert_ne!(one.digest(), other.digest());
    let nonce = request().nonce;
    assert_eq!(PaymentRequest { nonce, ..one }, request());
    let refused = PaymentRequest::new(payee, ledger, Some(Amount::ZERO), &memo, expires_at_s);
    assert!(matches!(
        refused,
        Err(Error::InvalidArgument { name: "amount", .. })
    ));
}

#[test]
fn the_longest_request_fits() {
    let request = PaymentRequest {
        ledger: Principal::from_slice(&[3; 29]),
        amount: Some(Amount::MAX),
        memo: "é".repeat(128),
        expires_at_s: i64::MAX,
        ..request()
    };
    let text = request.sign(&payee()).unwrap();
    assert!(text.len() <= MAX_TEXT_LENGTH, "{}", text.len());
    assert_eq!(PaymentRequest::read(&text), Ok(request));
}

#[test]
fn what_cannot_be_asked_for_is_not_signed() {
    let refused = |change: fn(&mut PaymentRequest)| {
        let mut request = request();
        change(&mut request);
        match request.sign(&payee()) {
            Err(Error::InvalidArgument { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        refused(|request| request.amount = Some(Amount::ZERO)),
        "amount"
    );
    assert_eq!(refused(|request| request.memo = "a".repeat(257)), "memo");
    for memo in [
        "\n",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{9b}",
        "\u{202e}",
        "\u{2067}",
        "\u{2028}",
    ] {
        let request = PaymentRequest {
            memo: memo.to_owned(),
            ..request()
        };
        assert!(request.sign(&payee()).is_err(), "{memo:?}");
        // Nor is it read from somebody who signs it nevertheless.
        assert!(refusal(&signed(request.encode())).contains("control"));
    }
    let management =
        |request: &mut PaymentRequest| request.ledger = Principal::management_canister();
    assert_eq!(refused(management), "token");
    let other = SecretKey::from_bytes(&[8; 32]).unwrap();
    assert!(matches!(
        request().sign(&other),
        Err(Error::Internal { .. })
    ));
}

#[test]
fn bad_requests_are_refused_though_they_are_signed() {
    let bytes = request().encode();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        refusal(&signed(bytes))
    };
    assert_eq!(
        with(&|bytes| bytes[0] = 2),
        "it has format 2, this program knows 1"
    );
    assert_eq!(
        with(&|bytes| bytes[1] = 4),
        "its payee, ledger or memo is none"
    );
    // Longer than any principal; the memo has invalid UTF-8.
    with(&|bytes| bytes[34] = 30);
    with(&|bytes| *bytes.last_mut().unwrap() = 0xff);
    assert_eq!(with(&|bytes| bytes[45] = 2), "2 is no amount tag");
    assert_eq!(with(&|bytes| bytes.push(0)), "1 bytes follow the value");
    with(&|bytes| bytes.truncate(bytes.len() - 1));
    let with_amount_zero = |bytes: &mut Vec<u8>| bytes[46..62].fill(0);
    assert!(with(&with_amount_zero).contains("nothing"));
    // Another payee's, signed by ours.
    let other = PaymentRequest {
        payee: SecretKey::from_bytes(&[8; 32]).unwrap().public_key(),
        ..request()
    };
    assert_eq!(
        refusal(&signed(other.encode())),
        "it is not signed by its payee"
    );
    // Signed as something else.
    let mut bytes = bytes.clone();
    payee()
        .sign(&digest(Domain::Request, &bytes))
        .encode_to(&mut bytes);
    assert_eq!(refusal(&to_text(&bytes)), "it is not signed by its payee");
}

#[test]
fn other_texts_are_refused() {
    let text = request().sign(&payee()).unwrap();
    for other in [
        "",
        "1",
        "perunreq",
        "perunreq1",
        "perunreq1qqqqqq",
        &format!(" {text}"),
        &format!("{text}\n"),
    ] {
        refusal(other);
    }
    let bytes: Vec<u8> = from_text(&text).unwrap();
    let other_kind = bech32::encode::<bech32::Bech32>(HRP, &bytes).unwrap();
    refusal(&other_kind);
    let other_prefix = bech32::encode::<Bech32m>(Hrp::parse("lnbc").unwrap(), &bytes).unwrap();
    assert_eq!(refusal(&other_prefix), "a request begins with perunreq1");
    assert!(refusal(&"q".repeat(1_000_000)).contains("1023"));
}

#[test]
fn a_request_has_one_text() {
    let text = request().sign(&payee()).unwrap();
    let bytes: Vec<u8> = from_text(&text).unwrap();
    let letters: Vec<Fe32> = bytes.iter().copied().bytes_to_fes().collect();
    assert_ne!(bytes.len() * 8 % 5, 0, "the last letter is not filled");
    let with = |letters: Vec<Fe32>| {
        let letters = letters.into_iter();
        letters
            .with_checksum::<Bech32m>(&HRP)
            .chars()
            .collect::<String>()
    };
    assert_eq!(with(letters.clone()), text);
    let mut other = letters.clone();
    let last = other.last_mut().unwrap();
    *last = Fe32::try_from(last.to_u8() ^ 1).unwrap();
    assert!(refusal(&with(other)).contains("last letter"));
    // A whole letter more.
    let mut longer = letters;
    longer.push(Fe32::Q);
    refusal(&with(longer));
}

proptest! {
    #[test]
    fn what_is_signed_is_read(
        ledger in proptest::collection::vec(any::<u8>(), 1..=29),
        units: Option<u128>,
        memo in "\\PC{0,60}",
        expires_at_s: i64,
        nonce: [u8; 16],
    ) {
        let amount = units.filter(|&units| units != 0).map(Amount::new);
        let ledger = Principal::from_slice(&ledger);
        let request = PaymentRequest { ledger, amount, memo, expires_at_s, nonce, ..request() };
        prop_assume!(request.check().is_ok());
        let text = request.sign(&payee()).unwrap();
        prop_assert_eq!(PaymentRequest::read(&text), Ok(request));
    }

    #[test]
    fn a_text_that_was_changed_is_none(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..=127), 1..8),
    ) {
        let text = request().sign(&payee()).unwrap();
        let mut changed = text.clone().into_bytes();
        for (place, letter) in changes {
            let length = changed.len();
            changed[place.index(length)] = letter;
        }
        let changed = String::from_utf8(changed).unwrap();
        prop_assume!(changed != text);
        prop_assert!(PaymentRequest::read(&changed).is_err());
    }

    #[test]
    fn bytes_that_were_changed_are_none(place: proptest::sample::Index, flip in 1u8..) {
        let mut bytes = from_text(&request().sign(&payee()).unwrap()).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(PaymentRequest::read(&to_text(&bytes)).is_err());
    }

    #[test]
    fn a_text_that_was_cut_or_extended_is_none(cut: proptest::sample::Index, more in "[a-z0-9]{1,9}") {
        let text = request().sign(&payee()).unwrap();
        let cut = PaymentRequest::read(&text[..cut.index(text.len())]);
        prop_assert!(cut.is_err());
        let extended = text + &more;
        prop_assert!(PaymentRequest::read(&extended).is_err());
    }

    #[test]
    fn no_text_panics(text: String, bytes: Vec<u8>) {
        let _ = PaymentRequest::read(&text);
        let _ = PaymentRequest::read(&format!("perunreq1{text}"));
        if let Ok(text) = bech32::encode::<Bech32m>(HRP, &bytes) {
            let _ = PaymentRequest::read(&text);
        }
        let _ = PaymentRequest::decode(&bytes);
    }
}
