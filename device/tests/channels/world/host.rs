//! The other end of a device's stream, on a host: everything that it says can be read.

use std::rc::Rc;

use perun_link::{Credentials, FrameKind, Handshake, Hello, Opener, Sealer, Session};
use perun_protocol::signature::K256;
use perun_protocol::{PublicKey, SecretKey};

pub struct HostLink {
    credentials: Rc<Credentials>,
    handshake: Option<Handshake>,
    arrived: Vec<u8>,
    open: Option<(Session, Sealer, Opener)>,
    pub hello: Option<Hello>,
    pub outgoing: Vec<u8>,
}

pub fn credentials(key: &SecretKey, entropy: u8) -> Rc<Credentials> {
    Rc::new(Credentials::new(key, 64 * 1024, [entropy; 32]).unwrap())
}

impl HostLink {
    pub fn new(credentials: &Rc<Credentials>, wanted: Option<PublicKey>, entropy: u8) -> Self {
        let mut link = Self {
            handshake: Some(Handshake::new(credentials, wanted, [entropy; 32]).unwrap()),
            credentials: Rc::clone(credentials),
            arrived: Vec::new(),
            open: None,
            hello: None,
            outgoing: Vec::new(),
        };
        link.shake();
        link
    }

    fn shake(&mut self) {
        while let Some(handshake) = &mut self.handshake {
            if handshake.is_done() {
                let (session, hello) = self.handshake.take().unwrap().finish().unwrap();
                self.hello = Some(hello);
                let sealer = Sealer::new(hello.max_message as usize);
                self.open = Some((session, sealer, Opener::new(64 * 1024, 1024)));
            } else if handshake.is_our_turn() {
                handshake
                    .write(&self.credentials, &mut self.outgoing)
                    .unwrap();
            } else {
                let Some((length, rest)) = self.arrived.split_first_chunk::<2>() else {
                    return;
                };
                let length = usize::from(u16::from_be_bytes(*length));
                let Some(message) = rest.get(..length) else {
                    return;
                };
                handshake.read::<K256>(&self.credentials, message).unwrap();
                self.arrived.drain(..2 + length);
            }
        }
    }

    /// Bytes arrive; the messages that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.arrived.extend_from_slice(bytes);
        self.shake();
        let Some((session, sealer, opener)) = &mut self.open else {
            return Vec::new();
        };
        let mut messages = Vec::new();
        opener.take_in(&std::mem::take(&mut self.arrived));
        while let Some(length) = opener.whole().unwrap() {
            let (kind, message) = opener.open(session, length).unwrap();
            match kind {
                FrameKind::Message => messages.push(message.to_vec()),
                FrameKind::Ping => {
                    let pong = FrameKind::Pong;
                    sealer.seal(session, pong, &[], &mut self.outgoing).unwrap();
                }
                _ => {}
            }
        }
        messages
    }

    /// Sends a message, once there is a session.
    pub fn send(&mut self, message: &[u8]) {
        if let Some((session, sealer, _)) = &mut self.open {
            let kind = FrameKind::Message;
            sealer
                .seal(session, kind, message, &mut self.outgoing)
                .unwrap();
        }
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}
