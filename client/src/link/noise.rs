//! The handshake over a socket.

use perun_link::{Credentials, Handshake, HandshakeError, Hello, MAX_HANDSHAKE_MESSAGE, Session};
use perun_protocol::PublicKey;
use perun_protocol::signature::Libsecp256k1;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::LinkError;

/// A fresh static key for which `signer` signs.
pub(super) fn credentials(
    signer: &(impl perun_protocol::Signer + ?Sized),
    max_message: u32,
) -> Result<Credentials, LinkError> {
    Ok(Credentials::new(signer, max_message, entropy()?)?)
}

/// Shakes hands; `wanted` is who must answer if we dial.
pub(super) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    credentials: &Credentials,
    stream: &mut S,
    wanted: Option<PublicKey>,
) -> Result<(Session, Hello), LinkError> {
    let mut handshake = Handshake::new(credentials, wanted, entropy()?)?;
    let mut message = Vec::new();
    while !handshake.is_done() {
        message.clear();
        if handshake.is_our_turn() {
            handshake.write(credentials, &mut message)?;
            stream.write_all(&message).await?;
        } else {
            let length = usize::from(stream.read_u16().await?);
            if length > MAX_HANDSHAKE_MESSAGE {
                return Err(HandshakeError::TooLong { length }.into());
            }
            message.resize(length, 0);
            stream.read_exact(&mut message).await?;
            handshake.read::<Libsecp256k1>(credentials, &message)?;
        }
    }
    Ok(handshake.finish()?)
}

fn entropy() -> Result<[u8; 32], LinkError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| LinkError::Io(error.into()))?;
    Ok(entropy)
}
