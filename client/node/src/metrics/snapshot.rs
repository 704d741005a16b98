//! What is: looked at when somebody asks.

use std::time::Duration;

use perun_client::Margins;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ChannelLabels, Seconds, SessionLabels, seconds};
use crate::api::v1::channel::Phase;
use crate::devices::{Devices, StreamFigures};
use crate::node::Node;

/// What a node is like at some moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    sessions: Gauge,
    channels: Family<ChannelLabels, Gauge>,
    view_age: Family<SessionLabels, Seconds>,
    refutation_left: Family<SessionLabels, Seconds>,
    devices: Gauge,
    streams: Streams,
    served: Served,
}

/// Watch streams of devices.
#[derive(Debug, Default)]
struct Streams {
    followed: Gauge,
    members: Gauge,
    forked: Gauge,
}

/// What is watched for others than sessions.
#[derive(Debug, Default)]
struct Served {
    channels: Family<OwnerLabels, Gauge>,
    view_age: Family<OwnerLabels, Seconds>,
    refutation_left: Family<OwnerLabels, Seconds>,
    disputes: Family<OwnerLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OwnerLabels {
    owner: &'static str,
}

impl Snapshot {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let snapshot = Self {
            sessions: Gauge::default(),
            channels: Family::default(),
            view_age: Family::default(),
            refutation_left: Family::default(),
            devices: Gauge::default(),
            streams: Streams::default(),
            served: Served::default(),
        };
        let help = "Sessions that are open";
        registry.register("sessions", help, snapshot.sessions.clone());
        let help = "Channels that are not over";
        registry.register("channels", help, snapshot.channels.clone());
        let help = "Age of the oldest certified view of a channel";
        let family = snapshot.view_age.clone();
        registry.register_with_unit("watcher_view_age", help, seconds(), family);
        let help = "Least time that is left to refute something; absent if nothing is registered";
        let family = snapshot.refutation_left.clone();
        registry.register_with_unit("watcher_refutation_left", help, seconds(), family);
        let help = "Devices for which channels are watched";
        registry.register("devices", help, snapshot.devices.clone());
        snapshot.streams.register(registry);
        snapshot.served.register(registry);
        snapshot
    }

    /// Looks at a node.
    pub(super) fn take(&mut self, node: &Node) {
        self.channels.clear();
        self.view_age.clear();
        self.refutation_left.clear();
        let sessions = node.open_sessions();
        self.sessions.set(number(sessions.len()));
        for session in sessions {
            let labels = SessionLabels {
                session: session.name().to_owned(),
            };
            for channel in session.channel_statuses() {
                let phase = ChannelLabels {
                    session: labels.session.clone(),
                    phase: phase_name(channel.phase()),
                };
                self.channels.get_or_create(&phase).inc();
                let age = self.view_age.get_or_create_owned(&labels);
                age.set(age.get().max(channel.view_age_s));
                if channel.phase() == Phase::Disputed {
                    let is_first = !self.has_refutation(&labels);
                    let left = self.refutation_left.get_or_create_owned(&labels);
                    let least = match is_first {
                        true => channel.refutation_left_s,
                        false => left.get().min(channel.refutation_left_s),
                    };
                    left.set(least);
                }
            }
        }
        self.served.clear();
        let devices = node.devices();
        self.devices
            .set(devices.map_or(0, |devices| number(devices.served().len())));
        let streams = devices.map(Devices::stream_figures);
        self.streams.set(&streams.unwrap_or_default());
        if let Some(devices) = devices {
            self.served.set("devices", &devices.margins());
        }
        let programs = node.watching().watcher();
        self.served.set("programs", &programs.margins());
    }

    fn has_refutation(&self, labels: &SessionLabels) -> bool {
        self.refutation_left.get(labels).is_some()
    }
}

impl Streams {
    fn register(&self, registry: &mut Registry) {
        let help = "Watch streams of devices that are followed";
        registry.register("device_streams", help, self.followed.clone());
        let help = "Followed streams whose newest keyload is for the node";
        registry.register("device_stream_members", help, self.members.clone());
        let help = "Streams whose device has signed two messages that contradict each other";
        registry.register("device_stream_forks", help, self.forked.clone());
    }

    fn set(&self, figures: &StreamFigures) {
        self.followed.set(number(figures.followed));
        self.members.set(number(figures.members));
        self.forked.set(number(figures.forked));
    }
}

impl Served {
    fn register(&self, registry: &mut Registry) {
        let help = "Channels that are watched for devices, and for users' other programs";
        registry.register("served_channels", help, self.channels.clone());
        let help =
            "Age of the oldest view of a channel that is watched for them; absent if none is";
        let family = self.view_age.clone();
        registry.register_with_unit("served_view_age", help, seconds(), family);
        let help =
            "Least time that is left to refute something for them; absent if nothing is registered";
        let family = self.refutation_left.clone();
        registry.register_with_unit("served_refutation_left", help, seconds(), family);
        let help = "Claims about their channels that were seen registered at the adjudicator";
        registry.register("served_disputes", help, self.disputes.clone());
    }

    /// What is absent must not be what it was. Counters stay.
    fn clear(&self) {
        self.view_age.clear();
        self.refutation_left.clear();
    }

    fn set(&self, owner: &'static str, margins: &Margins) {
        let labels = OwnerLabels { owner };
        let channels = self.channels.get_or_create(&labels);
        channels.set(number(margins.channels));
        let set = |family: &Family<OwnerLabels, Seconds>, length: Option<Duration>| {
            if let Some(length) = length {
                family.get_or_create(&labels).set(length.as_secs_f64());
            }
        };
        set(&self.view_age, margins.view_age);
        set(&self.refutation_left, margins.refutation_left);
        let disputes = self.disputes.get_or_create(&labels);
        disputes.inc_by(margins.disputes.saturating_sub(disputes.get()));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Open => "open",
        Phase::Disputed => "disputed",
        Phase::Settling => "settling",
    }
}
