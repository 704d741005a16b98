//! All watches, and for how many there is room.
//!
//! Those that are over stay as long as nobody needs their room, so that a device which asks late
//! learns how its channel ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use perun_protocol::PublicKey;

use super::config::Config;
use super::order::Place;
use super::watch::Watch;

/// All watches.
#[derive(Default)]
pub(super) struct Watches {
    by_place: HashMap<Place, Arc<Watch>>,
    by_device: HashMap<PublicKey, HashSet<Place>>,
}

/// There is no room for another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;

impl Watches {
    pub(super) fn of(&self, place: Place) -> Option<&Arc<Watch>> {
        self.by_place.get(&place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Watch>> {
        self.by_place.values()
    }

    pub(super) fn of_device(&self, device: &PublicKey) -> impl Iterator<Item = &Arc<Watch>> {
        let places = self.by_device.get(device).into_iter().flatten();
        places.filter_map(|place| self.by_place.get(place))
    }

    pub(super) fn insert(&mut self, watch: Arc<Watch>) {
        let places = self.by_device.entry(watch.device).or_default();
        places.insert(watch.place);
        self.by_place.insert(watch.place, watch);
    }

    pub(super) fn remove(&mut self, place: Place) {
        let Some(watch) = self.by_place.remove(&place) else {
            return;
        };
        if let Some(places) = self.by_device.get_mut(&watch.device) {
            places.remove(&place);
            if places.is_empty() {
                self.by_device.remove(&watch.device);
            }
        }
    }

    /// Makes room for one more of a device: which watches have to go for it, all of them over.
    pub(super) fn make_room(
        &mut self,
        device: &PublicKey,
        config: &Config,
    ) -> Result<Vec<Place>, NoRoom> {
        let mut gone = Vec::new();
        let theirs = self.of_device(device).count();
        if theirs >= config.limits.max_channels {
            gone.push(Self::over(self.of_device(device))?);
        } else if self.by_place.len() >= config.max_watches {
            gone.push(Self::over(self.all())?);
        }
        for place in &gone {
            self.remove(*place);
        }
        Ok(gone)
    }

    fn over<'a>(mut watches: impl Iterator<Item = &'a Arc<Watch>>) -> Result<Place, NoRoom> {
        let over = watches.find(|watch| watch.is_over());
        over.map(|watch| watch.place).ok_or(NoRoom)
    }
}
