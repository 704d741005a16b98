//! One connection in memory: two queues of frames, each with the time at which it arrives.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use perun_protocol::PublicKey;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{MemoryConfig, Network};
use crate::link::{
    Connection, Frame, FrameKind, Hello, LinkError, MessageReceiver, MessageSender, SendError,
    Traffic,
};

/// A connection between two, of whom 0 has dialled.
pub(super) struct Wire {
    network: Network,
    sides: [(PublicKey, MemoryConfig); 2],
    traffic: [Traffic; 2],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is on its way to each side.
    to: [Queue; 2],
    /// Who has ended the connection.
    ended_by: Option<usize>,
    is_cut: bool,
}

#[derive(Default)]
struct Queue {
    frames: BinaryHeap<Reverse<Flying>>,
    bytes: usize,
    /// Frames so far.
    count: u64,
    /// When the latest arrives that keeps the order.
    latest: Option<Instant>,
    receiver: Option<Waker>,
}

/// A frame on its way. The order is that of arrival.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Flying {
    arrives_at: Instant,
    number: u64,
    kind: u8,
    message: Vec<u8>,
}

impl Wire {
    pub(super) fn new(network: Network, sides: [(PublicKey, MemoryConfig); 2]) -> Arc<Self> {
        Arc::new(Self {
            network,
            sides,
            traffic: Default::default(),
            state: Mutex::default(),
        })
    }

    /// What `side` has of it.
    pub(super) fn connection(self: &Arc<Self>, side: usize, peer: Hello) -> Connection {
        let wire = Arc::clone(self);
        let receiver = Receiver {
            wire,
            side,
            message: Vec::new(),
            sleep: None,
        };
        Connection {
            peer: peer.identity,
            hello: peer,
            sender: Arc::new(Sender {
                wire: Arc::clone(self),
                side,
            }),
            receiver: Box::new(receiver),
        }
    }

    pub(super) fn is_between(&self, one: &PublicKey, other: &PublicKey) -> bool {
        let [(first, _), (second, _)] = &self.sides;
        (first, second) == (one, other) || (first, second) == (other, one)
    }

    /// Breaks it; whether it was whole.
    pub(super) fn cut(&self) -> bool {
        let mut state = self.state();
        let was_whole = !state.is_cut && state.ended_by.is_none();
        state.is_cut = true;
        for queue in &mut state.to {
            queue.frames.clear();
            queue.bytes = 0;
        }
        wake(state);
        was_whole
    }

    fn end(&self, side: usize) {
        let mut state = self.state();
        state.ended_by.get_or_insert(side);
        // Nobody takes any more what is on its way to this side.
        state.to[side].frames.clear();
        state.to[side].bytes = 0;
        wake(state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let receivers = state.to.each_mut().map(|queue| queue.receiver.take());
    drop(state);
    receivers.into_iter().flatten().for_each(Waker::wake);
}

impl Queue {
    fn push(&mut self, arrives_at: Instant, kind: FrameKind, message: &[u8]) {
        self.count += 1;
        self.bytes += length(message);
        self.frames.push(Reverse(Flying {
            arrives_at,
            number: self.count,
            kind: kind.byte(),
            message: message.to_vec(),
        }));
    }

    fn next_arrives_at(&self) -> Option<Instant> {
        self.frames.peek().map(|Reverse(frame)| frame.arrives_at)
    }
}

/// One side's sending half.
struct Sender {
    wire: Arc<Wire>,
    side: usize,
}

impl MessageSender for Sender {
    fn send(&self, kind: FrameKind, message: &[u8]) -> Result<(), SendError> {
        let Self { wire, side } = self;
        let (from, config) = wire.sides[*side];
        let (to, theirs) = wire.sides[1 - side];
        let limit = theirs.max_message as usize;
        if message.len() > limit {
            let length = message.len();
            return Err(SendError::TooLong { length, limit });
        }
        {
            let state = wire.state();
            if state.is_cut || state.ended_by.is_some() {
                return Err(SendError::NotConnected);
            }
            let queued = state.to[1 - side].bytes;
            if queued > config.max_queued {
                return Err(SendError::Full { queued });
            }
        }
        wire.traffic[*side].count_sent(length(message));
        let fate = wire.network.fate(from, to);
        if fate.is_cut {
            wire.network.cut_where(|other| std::ptr::eq(other, &**wire));
            return Ok(());
        }
        let now = Instant::now();
        let mut state = wire.state();
        let queue = &mut state.to[1 - side];
        if let Some(delay) = fate.arrives {
            let mut arrives_at = now + delay;
            if !fate.is_held_up {
                arrives_at = queue.latest.map_or(arrives_at, |at| at.max(arrives_at));
                queue.latest = Some(arrives_at);
            }
            queue.push(arrives_at, kind, message);
        }
        if let Some(delay) = fate.arrives_again {
            queue.push(now + delay, kind, message);
        }
        let receiver = queue.receiver.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        Ok(())
    }

    fn close(&self) {
        self.wire.end(self.side);
    }

    fn traffic(&self) -> &Traffic {
        &self.wire.traffic[self.side]
    }
}

/// Bytes that a frame would take on a wire that does not encrypt: the kind and the message.
fn length(message: &[u8]) -> usize {
    1 + message.len()
}

/// One side's receiving half.
struct Receiver {
    wire: Arc<Wire>,
    side: usize,
    message: Vec<u8>,
    /// Until the next frame arrives.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl MessageReceiver for Receiver {
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<'_>>, LinkError>> {
        let side = self.side;
        loop {
            let mut state = self.wire.state();
            if state.is_cut {
                let cut = io::Error::from(io::ErrorKind::ConnectionReset);
                return Poll::Ready(Err(cut.into()));
            }
            let ended_by = state.ended_by;
            let queue = &mut state.to[side];
            let Some(arrives_at) = queue.next_arrives_at() else {
                if ended_by.is_some() {
                    return Poll::Ready(Ok(None));
                }
                queue.receiver = Some(context.waker().clone());
                return Poll::Pending;
            };
            if arrives_at <= Instant::now() {
                let Reverse(frame) = queue.frames.pop().expect("it was just seen");
                queue.bytes -= length(&frame.message);
                drop(state);
                self.message = frame.message;
                let traffic = &self.wire.traffic[side];
                traffic.count_received_bytes(length(&self.message));
                traffic.count_received_frame();
                let kind = FrameKind::from_byte(frame.kind);
                return Poll::Ready(Ok(Some((kind, &self.message))));
            }
            // Another may be sent meanwhile and arrive earlier.
            queue.receiver = Some(context.waker().clone());
            drop(state);
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(sleep_until(arrives_at)));
            if sleep.deadline() != arrives_at {
                sleep.as_mut().reset(arrives_at);
            }
            std::task::ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.wire.end(self.side);
    }
}
