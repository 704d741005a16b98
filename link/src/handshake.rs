//! The handshake, message after message.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use perun_protocol::PublicKey;
use perun_protocol::signature::{Signer, Verifier};
use snow::params::{
    BaseChoice, CipherChoice, DHChoice, HandshakeChoice, HandshakeModifierList, HandshakePattern,
    HashChoice, NoiseParams,
};
use snow::{Builder, HandshakeState};

use crate::resolver::Resolver;
use crate::{Hello, HelloError, Session, hello};

const NAME: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
/// Both sides must mean the same protocol.
const PROLOGUE: &[u8] = b"perun-icp/link/1";
/// The longest message of a handshake, in bytes without its length.
pub const MAX_HANDSHAKE_MESSAGE: usize = 1024;
/// Messages of a handshake.
const ROUNDS: u8 = 3;

/// Our half of every handshake.
pub struct Credentials {
    private: Vec<u8>,
    hello: Vec<u8>,
    identity: PublicKey,
}

/// Why there is no handshake.
#[non_exhaustive]
#[derive(Debug)]
pub enum HandshakeError {
    /// A message is longer than any of a handshake.
    TooLong {
        /// Its length, in bytes.
        length: usize,
    },
    /// It is no handshake of ours, or somebody has changed it.
    Noise(snow::Error),
    /// The peer cannot prove who it is.
    Hello(HelloError),
    /// Somebody else answers.
    WrongPeer {
        /// Who was wanted.
        wanted: PublicKey,
        /// Who answers.
        found: PublicKey,
    },
    /// It is ourselves.
    Ourselves,
    /// A message comes out of turn.
    OutOfTurn,
}

/// A handshake under way.
pub struct Handshake {
    state: HandshakeState,
    /// Messages so far.
    round: u8,
    /// Who must answer if we have dialled.
    wanted: Option<PublicKey>,
    peer: Option<Hello>,
}

impl Credentials {
    /// A static key made of `entropy` (32 fresh random bytes), for which `signer` signs. It can serve
    /// any number of handshakes.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`]: never seen.
    pub fn new(
        signer: &(impl Signer + ?Sized),
        max_message: u32,
        entropy: [u8; 32],
    ) -> Result<Self, HandshakeError> {
        let keys = builder(entropy).generate_keypair();
        let keys = keys.map_err(HandshakeError::Noise)?;
        Ok(Self {
            hello: hello::encode(signer, &keys.public, max_message),
            private: keys.private,
            identity: signer.public_key(),
        })
    }

    /// Who we are.
    pub fn identity(&self) -> PublicKey {
        self.identity
    }
}

impl Handshake {
    /// Begins: as dialler if `wanted` says who must answer, else as the one who was dialled.
    /// `entropy` are 32 fresh random bytes.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`]: never seen.
    pub fn new(
        credentials: &Credentials,
        wanted: Option<PublicKey>,
        entropy: [u8; 32],
    ) -> Result<Self, HandshakeError> {
        let builder = builder(entropy).local_private_key(&credentials.private);
        let builder = builder.and_then(|builder| builder.prologue(PROLOGUE));
        let state = builder.and_then(|builder| match wanted {
            Some(_) => builder.build_initiator(),
            None => builder.build_responder(),
        });
        Ok(Self {
            state: state.map_err(HandshakeError::Noise)?,
            round: 0,
            wanted,
            peer: None,
        })
    }

    /// Whether the next message is ours.
    pub fn is_our_turn(&self) -> bool {
        !self.is_done() && self.state.is_my_turn()
    }

    /// Whether all messages have passed.
    pub fn is_done(&self) -> bool {
        self.round == ROUNDS
    }

    /// Appends our next message to `out`, its length (16 bits, big-endian) before it.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`] if it is the peer's turn.
    pub fn write(
        &mut self,
        credentials: &Credentials,
        out: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        if !self.is_our_turn() {
            return Err(HandshakeError::OutOfTurn);
        }
        // The first message is not encrypted yet, and says nothing.
        let payload = match self.round {
            0 => &[][..],
            _ => &credentials.hello,
        };
        let begin = out.len() + 2;
        out.resize(begin + MAX_HANDSHAKE_MESSAGE, 0);
        let written = self.state.write_message(payload, &mut out[begin..]);
        let length = written.map_err(HandshakeError::Noise)?;
        out.truncate(begin + length);
        out[begin - 2..begin].copy_from_slice(&(length as u16).to_be_bytes());
        self.round += 1;
        Ok(())
    }

    /// Reads the peer's next message, which stood behind its length.
    ///
    /// # Errors
    /// [`HandshakeError`]; the handshake is over then.
    pub fn read<V: Verifier>(
        &mut self,
        credentials: &Credentials,
        message: &[u8],
    ) -> Result<(), HandshakeError> {
        if self.is_done() || self.state.is_my_turn() {
            return Err(HandshakeError::OutOfTurn);
        }
        let length = message.len();
        if length > MAX_HANDSHAKE_MESSAGE {
            return Err(HandshakeError::TooLong { length });
        }
        let mut payload = vec![0; length];
        let read = self.state.read_message(message, &mut payload);
        payload.truncate(read.map_err(HandshakeError::Noise)?);
        if self.round > 0 {
            let static_key = self.state.get_remote_static().unwrap_or_default();
            let hello = hello::decode::<V>(&payload, static_key);
            let hello = hello.map_err(HandshakeError::Hello)?;
            self.check(credentials, &hello)?;
            self.peer = Some(hello);
        }
        self.round += 1;
        Ok(())
    }

    fn check(&self, credentials: &Credentials, hello: &Hello) -> Result<(), HandshakeError> {
        let found = hello.identity;
        if found == credentials.identity {
            return Err(HandshakeError::Ourselves);
        }
        match self.wanted {
            Some(wanted) if wanted != found => Err(HandshakeError::WrongPeer { wanted, found }),
            _ => Ok(()),
        }
    }

    /// The keys, and who the peer is, once all messages have passed.
    ///
    /// # Errors
    /// [`HandshakeError::OutOfTurn`] before.
    pub fn finish(self) -> Result<(Session, Hello), HandshakeError> {
        let Some(peer) = self.peer.filter(|_| self.round == ROUNDS) else {
            return Err(HandshakeError::OutOfTurn);
        };
        let session = self.state.into_stateless_transport_mode();
        Ok((session.map_err(HandshakeError::Noise)?, peer))
    }
}

fn builder(entropy: [u8; 32]) -> Builder<'static> {
    let pattern = HandshakeChoice {
        pattern: HandshakePattern::XX,
        modifiers: HandshakeModifierList { list: vec![] },
    };
    let params = NoiseParams::new(
        NAME.into(),
        BaseChoice::Noise,
        pattern,
        DHChoice::Curve25519,
        CipherChoice::ChaChaPoly,
        HashChoice::SHA256,
    );
    Builder::with_resolver(params, alloc::boxed::Box::new(Resolver { entropy }))
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length } => write!(
                f,
                "a message of {length} bytes, at most {MAX_HANDSHAKE_MESSAGE} are taken"
            ),
            Self::Noise(error) => error.fmt(f),
            Self::Hello(error) => error.fmt(f),
            Self::WrongPeer { wanted, found } => {
                write!(f, "{found:?} answers at the address of {wanted:?}")
            }
            Self::Ourselves => write!(f, "it is ourselves who answer at the peer's address"),
            Self::OutOfTurn => write!(f, "a message out of turn"),
        }
    }
}

impl core::error::Error for HandshakeError {}

#[cfg(test)]
mod tests {
    use perun_protocol::SecretKey;
    use perun_protocol::signature::K256;

    use super::*;

    fn credentials(byte: u8) -> Credentials {
        let key = SecretKey::from_bytes(&[byte; 32]).unwrap();
        Credentials::new(&key, 1000 + u32::from(byte), [byte; 32]).unwrap()
    }

    /// One message from one side to the other.
    fn pass(
        from: (&mut Handshake, &Credentials),
        to: (&mut Handshake, &Credentials),
        spoil: impl Fn(&mut Vec<u8>),
    ) -> Result<(), HandshakeError> {
        let mut out = Vec::new();
        from.0.write(from.1, &mut out)?;
        let mut message = out[2..].to_vec();
        assert_eq!(
            usize::from(u16::from_be_bytes([out[0], out[1]])),
            message.len()
        );
        spoil(&mut message);
        to.0.read::<K256>(to.1, &message)
    }

    fn shake(
        [dials, answers]: [&Credentials; 2],
        wanted: PublicKey,
        spoilt: Option<u8>,
    ) -> Result<[Hello; 2], HandshakeError> {
        let mut dialler = Handshake::new(dials, Some(wanted), [1; 32])?;
        let mut answerer = Handshake::new(answers, None, [2; 32])?;
        for round in 0..ROUNDS {
            let spoil = |message: &mut Vec<u8>| {
                if spoilt == Some(round) {
                    *message.last_mut().unwrap() ^= 1;
                }
            };
            let (dialler, answerer) = ((&mut dialler, dials), (&mut answerer, answers));
            match round {
                1 => pass(answerer, dialler, spoil)?,
                _ => pass(dialler, answerer, spoil)?,
            }
        }
        Ok([dialler.finish()?.1, answerer.finish()?.1])
    }

    #[test]
    fn both_learn_who_the_other_is() {
        let [one, other] = [credentials(1), credentials(2)];
        let [seen_by_one, seen_by_other] = shake([&one, &other], other.identity(), None).unwrap();
        assert_eq!(seen_by_one.identity, other.identity());
        assert_eq!(seen_by_other.identity, one.identity());
        assert_eq!(
            [seen_by_one, seen_by_other].map(|hello| hello.max_message),
            [1002, 1001]
        );
    }

    #[test]
    fn nobody_else_answers_and_nobody_meddles() {
        let [one, other, third] = [credentials(1), credentials(2), credentials(3)];
        let wrong = shake([&one, &third], other.identity(), None);
        assert!(matches!(wrong, Err(HandshakeError::WrongPeer { .. })));
        let ourselves = shake([&one, &one], one.identity(), None);
        assert!(matches!(ourselves, Err(HandshakeError::Ourselves)));
        for round in 0..ROUNDS {
            let spoilt = shake([&one, &other], other.identity(), Some(round));
            assert!(spoilt.is_err(), "message {round}");
        }
    }

    #[test]
    fn messages_out_of_turn_are_refused() {
        let one = credentials(1);
        let mut answerer = Handshake::new(&one, None, [2; 32]).unwrap();
        let mut out = Vec::new();
        assert!(matches!(
            answerer.write(&one, &mut out),
            Err(HandshakeError::OutOfTurn)
        ));
        assert!(answerer.read::<K256>(&one, &[0; 5]).is_err());
        let long = answerer.read::<K256>(&one, &[0; MAX_HANDSHAKE_MESSAGE + 1]);
        assert!(matches!(long, Err(HandshakeError::TooLong { .. })));
        assert!(answerer.finish().is_err());
    }
}
