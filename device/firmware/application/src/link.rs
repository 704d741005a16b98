//! Connections: each link keeps one open, and pumps bytes between its socket and the device.
//!
//! ```text
//!  ┌──> dial or listen ──> serve ──┐      serve:  socket ──receive──> device
//!  └────────── pause <─────────────┘              socket <─transmit── device
//! ```
//!
//! What the bytes mean, who is at the other end and whether to believe it, only the device knows.

use core::fmt;
use core::net::SocketAddrV4;

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net::tcp::{Error, TcpReader, TcpSocket, TcpWriter};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use perun_device::{LinkError, LinkId, Random};
use perun_protocol::PublicKey;

use crate::owner::Owner;
use crate::pause::Pause;
use crate::settings::MAX_DIALLED;
use crate::shared::{Changed, Shared};
use crate::{Settings, figures};

/// How many links a device keeps: what it dials, and [`ANSWERED`].
pub const LINKS: usize = MAX_DIALLED + ANSWERED;

/// How many connections others can open to us at a time. Two, so that a peer which lost its
/// connection can open another before we know.
const ANSWERED: usize = 2;

/// Unsent or unacknowledged bytes for so long, and a socket is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// How long a closed link may take for its last bytes.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a link's socket reads into and writes from.
pub struct Buffers {
    receive: [u8; 1024],
    transmit: [u8; 1024],
}

impl Buffers {
    /// Empty ones, for a static.
    pub const EMPTY: Self = Self {
        receive: [0; 1024],
        transmit: [0; 1024],
    };
}

/// Somebody whom we dial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Remote {
    pub(crate) key: PublicKey,
    pub(crate) address: SocketAddrV4,
}

/// How a link comes to its connections.
pub(crate) enum Way {
    Dial(Remote),
    Answer { port: u16 },
}

impl Way {
    /// The way of the link at `index`: the first ones dial, the others answer.
    pub(crate) fn of(index: usize, settings: &Settings) -> Option<Self> {
        if index < MAX_DIALLED {
            settings.dialled().nth(index).map(Self::Dial)
        } else {
            settings.listen.map(|port| Self::Answer { port })
        }
    }
}

/// What a link works with.
pub(crate) struct Line<'a> {
    pub(crate) stack: Stack<'static>,
    pub(crate) buffers: &'a mut Buffers,
    pub(crate) changed: &'a Changed,
}

impl Line<'_> {
    fn socket(&mut self) -> TcpSocket<'_> {
        let Buffers { receive, transmit } = self.buffers;
        let mut socket = TcpSocket::new(self.stack, receive, transmit);
        // Messages are whole and small; waiting for more to send with them only costs time.
        socket.set_nagle_enabled(false);
        socket
    }
}

/// Runs a link for ever.
pub(crate) async fn keep<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    line: Line<'_>,
    way: Way,
) -> ! {
    match way {
        Way::Dial(remote) => keep_dialling(shared, line, remote).await,
        Way::Answer { port } => keep_answering(shared, line, port).await,
    }
}

async fn keep_dialling<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    mut line: Line<'_>,
    Remote { key, address }: Remote,
) -> ! {
    let mut pause = Pause::new();
    loop {
        line.stack.wait_config_up().await;
        // A peer that has dialled us is there already.
        while shared.look(|owner| owner.device.is_connected(&key)) {
            Timer::after(Pause::new().next()).await;
        }
        let changed = line.changed;
        let mut socket = line.socket();
        socket.set_timeout(Some(SILENCE));
        match socket.connect(address).await {
            Err(error) => log::info!("{address}: no connection, {error:?}"),
            Ok(()) => match shared.call("dialled", |owner| owner.device.dialled(key)) {
                Err(error) => {
                    log::warn!("{address}: {error}");
                    socket.abort();
                }
                Ok(link) => {
                    log::info!("{address}: connected");
                    let ended = serve(shared, changed, &mut socket, link).await;
                    log::info!("{address}: closed, {}", ended.why);
                    if ended.was_proved {
                        pause = Pause::new();
                    }
                }
            },
        }
        drop(socket);
        Timer::after(pause.next()).await;
    }
}

async fn keep_answering<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    mut line: Line<'_>,
    port: u16,
) -> ! {
    loop {
        line.stack.wait_config_up().await;
        let changed = line.changed;
        let mut socket = line.socket();
        if let Err(error) = socket.accept(port).await {
            log::warn!("port {port}: {error:?}");
            Timer::after(SILENCE).await;
            continue;
        }
        socket.set_timeout(Some(SILENCE));
        match shared.call("answered", |owner| owner.device.answered()) {
            Err(error) => {
                log::warn!("port {port}: {error}");
                socket.abort();
            }
            Ok(link) => {
                log::info!("port {port}: somebody connected");
                let ended = serve(shared, changed, &mut socket, link).await;
                log::info!("port {port}: closed, {}", ended.why);
            }
        }
    }
}

/// How a connection came to its end.
struct Ended {
    /// Whether the other side had proved who it is.
    was_proved: bool,
    why: Why,
}

/// Whose doing that was.
enum Why {
    Device(LinkError),
    Network(Error),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Network(error) => write!(f, "{error:?}"),
        }
    }
}

/// Carries bytes both ways until either side has had enough.
async fn serve<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    changed: &Changed,
    socket: &mut TcpSocket<'_>,
    link: LinkId,
) -> Ended {
    let mut was_proved = false;
    figures::opened(link, socket.remote_endpoint());
    let (reader, writer) = socket.split();
    let why = match select(
        receive(shared, reader, link, &mut was_proved),
        transmit(shared, changed, writer, link),
    )
    .await
    {
        Either::First(why) | Either::Second(why) => why,
    };
    shared.call("hung_up", |owner| owner.device.hung_up(link));
    socket.close();
    if !matches!(with_timeout(GOODBYE, socket.flush()).await, Ok(Ok(()))) {
        socket.abort();
    }
    Ended { was_proved, why }
}

async fn receive<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    mut reader: TcpReader<'_>,
    link: LinkId,
    was_proved: &mut bool,
) -> Why {
    loop {
        let received = reader.read_with(|bytes| {
            figures::carried(link, "received", bytes.len());
            let received = shared.call("receive", |owner| owner.device.receive(link, bytes));
            (bytes.len(), received)
        });
        match received.await {
            Ok(Ok(())) => *was_proved |= shared.look(|owner| owner.device.peer(link).is_some()),
            Ok(Err(error)) => return Why::Device(error),
            Err(error) => return Why::Network(error),
        }
    }
}

/// Sends whatever the device has for this link, as fast as the socket takes it.
async fn transmit<F: NorFlash, R: Random>(
    shared: &Shared<F, R>,
    changed: &Changed,
    mut writer: TcpWriter<'_>,
    link: LinkId,
) -> Why {
    loop {
        match shared
            .look(|Owner { device, .. }| (device.is_over(link), device.transmit(link).is_some()))
        {
            (true, _) => return Why::Device(LinkError::Over),
            (false, true) => {}
            (false, false) => {
                changed.wait().await;
                continue;
            }
        }
        let sent = writer.write_with(|room| {
            let count = shared.look(|Owner { device, .. }| {
                let bytes = device.transmit(link).unwrap_or_default();
                let count = bytes.len().min(room.len());
                room[..count].copy_from_slice(&bytes[..count]);
                device.transmitted(link, count);
                count
            });
            figures::carried(link, "sent", count);
            (count, ())
        });
        if let Err(error) = sent.await {
            return Why::Network(error);
        }
    }
}
