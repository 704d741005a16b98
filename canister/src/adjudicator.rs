//! The adjudicator: its name, its set-up, its clock. What it does with channels stands in the
//! modules named after it: deposit, claim (dispute and conclude), withdraw, settle, answers.

use candid::Principal;
use ic_stable_structures::DefaultMemoryImpl;
use perun_canister_api::{InitArgs, UpgradeArgs};
use perun_protocol::{ChannelId, Timestamp};

use crate::certified::Kept;
use crate::channel::Channel;
use crate::clock::Uptime;
use crate::config::{Config, ConfigError};
use crate::event::{Change, Event};
use crate::page::Page;
use crate::store::{StableBytes, Store};

const INSTALLED: &str = "the installation has written a set-up";

/// The rules over everything in stable memory.
pub struct Adjudicator {
    me: Principal,
    pub(crate) store: Store,
    pub(crate) page: Page,
    pub(crate) kept: Kept,
}

impl Adjudicator {
    /// A first installation as canister `me` on empty `memory`.
    pub fn install(
        memory: DefaultMemoryImpl,
        me: Principal,
        args: InitArgs,
    ) -> Result<Self, ConfigError> {
        let config = Config::new(args, me)?;
        let page = Page::new(me, &config);
        let mut store = Store::open(memory);
        store.set_config(config);
        Ok(Self {
            me,
            store,
            page,
            kept: Kept::default(),
        })
    }

    /// Goes on with what an earlier version left in `memory`.
    pub fn upgrade(
        memory: DefaultMemoryImpl,
        me: Principal,
        args: Option<UpgradeArgs>,
    ) -> Result<Self, ConfigError> {
        let mut store = Store::open(memory);
        let mut config = store.config().expect(INSTALLED).clone();
        if let Some(args) = args {
            config = config.widened(args, me)?;
        }
        // Whatever it is: its format tells the next version what lies here.
        store.set_config(config.clone());
        Ok(Self {
            me,
            page: Page::new(me, &config),
            store,
            kept: Kept::default(),
        })
    }

    /// The canister that this is.
    pub fn me(&self) -> Principal {
        self.me
    }

    /// The same as the protocol names it.
    pub(crate) fn name(&self) -> perun_protocol::Principal {
        perun_protocol::Principal::from_slice(self.me.as_slice())
            .expect("a canister has an id that is not empty")
    }

    /// The set-up.
    pub fn config(&self) -> &Config {
        self.store.config().expect(INSTALLED)
    }

    /// A sign of life at `now`, to be given before anything is decided: a long silence while a
    /// window was open moves its timeout.
    pub fn observe(&mut self, now: Timestamp) {
        let tick_ns = self.config().tick_ns();
        let clock = self.store.clock();
        let seen = clock.observe(now, tick_ns, self.store.has_open_window());
        self.store.set_clock(seen);
        self.store.close_elapsed_windows(seen.uptime(now));
        self.finish_one(now);
    }

    /// How much stable memory is taken.
    pub fn stable_bytes(&self) -> StableBytes {
        self.store.stable_bytes()
    }

    /// Whether a registered claim can still be refuted: then the timer must tick.
    pub fn has_open_window(&self) -> bool {
        self.store.has_open_window()
    }

    /// The length of all gaps so far.
    pub fn gaps_ns(&self) -> u64 {
        self.store.clock().gaps_ns
    }

    /// The uptime at `now`, which was observed.
    pub(crate) fn uptime(&self, now: Timestamp) -> Uptime {
        self.store.clock().uptime(now)
    }

    /// A ledger's fee as last seen.
    pub fn fee(&self, ledger: Principal) -> Option<u128> {
        self.store.fee(ledger)
    }

    /// Remembers a ledger's fee.
    pub fn set_fee(&mut self, ledger: Principal, fee: u128) {
        if self.store.fee(ledger) != Some(fee) {
            self.store.set_fee(ledger, fee);
        }
    }

    /// Writes down what happened to a channel and what it has become, and certifies what is
    /// registered for it.
    pub(crate) fn record(
        &mut self,
        at: Timestamp,
        id: ChannelId,
        mut channel: Channel,
        change: Change,
    ) {
        // Money that comes and goes changes nothing of what is registered.
        let is_claim = match change {
            Change::Registered { .. } | Change::Refuted { .. } | Change::Concluded { .. } => true,
            Change::Deposited { .. } | Change::Withdrawn { .. } => false,
        };
        let event = Event {
            at,
            channel: id,
            change,
        };
        channel.last_event = Some(self.store.log.append(&event, channel.last_event));
        if is_claim {
            self.certify_registration(id, &channel);
        }
        self.store.set_channel(id, channel);
    }
}
