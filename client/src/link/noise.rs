//! Noise XX over a byte stream (The Noise Protocol Framework, revision 34): who the other side is,
//! and keys that nobody else has.
//!
//! ```text
//! dialler  -> e                          answerer
//!          <- e, ee, s, es, Hello
//!          -> s, se, Hello
//! ```
//!
//! The static keys live as long as the transport. The identity has signed for its own in the
//! [`Hello`], and the handshake proves that the other side has it.

use perun_protocol::PublicKey;
use snow::{Builder, HandshakeState, StatelessTransportState};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Hello, LinkError, hello};

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
/// Both sides must mean the same protocol.
const PROLOGUE: &[u8] = b"perun-icp/link/1";
/// The longest message of a handshake.
const MAX_HANDSHAKE: usize = 1024;

/// Our half of every handshake.
pub(super) struct Credentials {
    private: Vec<u8>,
    hello: Vec<u8>,
    identity: PublicKey,
}

impl Credentials {
    /// A fresh static key for which `signer` signs.
    pub(super) fn new(
        signer: &(impl perun_protocol::Signer + ?Sized),
        max_message: u32,
    ) -> Result<Self, LinkError> {
        let pattern = PATTERN.parse().map_err(|error| refused(&error))?;
        let keys = Builder::new(pattern).generate_keypair();
        let keys = keys.map_err(|error| refused(&error))?;
        Ok(Self {
            hello: hello::encode(signer, &keys.public, max_message),
            private: keys.private,
            identity: signer.public_key(),
        })
    }

    pub(super) fn identity(&self) -> PublicKey {
        self.identity
    }

    fn state(&self, dials: bool) -> Result<HandshakeState, LinkError> {
        let build = || {
            let builder = Builder::new(PATTERN.parse()?)
                .local_private_key(&self.private)?
                .prologue(PROLOGUE)?;
            match dials {
                true => builder.build_initiator(),
                false => builder.build_responder(),
            }
        };
        build().map_err(|error| refused(&error))
    }

    /// Shakes hands; `wanted` is who must answer if we dial.
    pub(super) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        wanted: Option<PublicKey>,
    ) -> Result<(StatelessTransportState, Hello), LinkError> {
        let mut state = self.state(wanted.is_some())?;
        let mut peer = None;
        for round in 0..3 {
            if state.is_my_turn() {
                // The first message is not encrypted yet, and says nothing.
                let payload = if round == 0 { &[][..] } else { &self.hello };
                write(stream, &mut state, payload).await?;
            } else {
                let payload = read(stream, &mut state).await?;
                if round > 0 {
                    let static_key = state.get_remote_static().unwrap_or_default();
                    let hello = hello::decode(&payload, static_key);
                    let hello = hello.map_err(|reason| LinkError::Handshake { reason })?;
                    self.check(&hello, wanted)?;
                    peer = Some(hello);
                }
            }
        }
        let state = state.into_stateless_transport_mode();
        let state = state.map_err(|error| refused(&error))?;
        let hello = peer.ok_or(LinkError::Closed)?;
        Ok((state, hello))
    }

    fn check(&self, hello: &Hello, wanted: Option<PublicKey>) -> Result<(), LinkError> {
        if hello.identity == self.identity {
            return Err(LinkError::Ourselves);
        }
        match wanted {
            Some(wanted) if wanted != hello.identity => Err(LinkError::WrongPeer {
                wanted: Box::new(wanted),
                found: Box::new(hello.identity),
            }),
            _ => Ok(()),
        }
    }
}

async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    state: &mut HandshakeState,
    payload: &[u8],
) -> Result<(), LinkError> {
    let mut message = [0; MAX_HANDSHAKE];
    let length = state.write_message(payload, &mut message[2..]);
    let length = length.map_err(|error| refused(&error))?;
    message[..2].copy_from_slice(&(length as u16).to_be_bytes());
    stream.write_all(&message[..2 + length]).await?;
    Ok(())
}

async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    state: &mut HandshakeState,
) -> Result<Vec<u8>, LinkError> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_HANDSHAKE {
        return Err(LinkError::TooLong {
            length: length as u64,
            limit: MAX_HANDSHAKE as u64,
        });
    }
    let mut message = [0; MAX_HANDSHAKE];
    stream.read_exact(&mut message[..length]).await?;
    let mut payload = vec![0; MAX_HANDSHAKE];
    let read = state.read_message(&message[..length], &mut payload);
    payload.truncate(read.map_err(|error| refused(&error))?);
    Ok(payload)
}

fn refused(error: &snow::Error) -> LinkError {
    LinkError::Handshake {
        reason: error.to_string(),
    }
}
