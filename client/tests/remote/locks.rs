//! Nothing is sent under a lock: whoever sends may wait for somebody who asks the service.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use perun_client::remote::{Outlet, RemoteService};
use perun_client::store::MemoryStore;
use perun_protocol::remote::{RemoteCode, RemoteMessage};
use perun_protocol::{PublicKey, Signer as _};

use crate::device::*;
use crate::node::config;
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];

/// Asks the service from another thread whenever it sends, and waits for that.
struct Asker(Arc<Asking>);

#[derive(Default)]
struct Asking {
    service: OnceLock<RemoteService>,
    is_asking: AtomicBool,
    sent: Mutex<Vec<RemoteMessage>>,
    stuck: AtomicUsize,
}

impl Outlet for Asker {
    fn send(&self, device: &PublicKey, message: &[u8]) {
        let message = RemoteMessage::decode(message).unwrap();
        let Self(asking) = self;
        asking.sent.lock().unwrap().push(message);
        // What is sent for the question itself asks nothing.
        if asking.service.get().is_none() || asking.is_asking.swap(true, Ordering::SeqCst) {
            return;
        }
        let (done, answers) = mpsc::channel();
        let (asking_too, device) = (Arc::clone(asking), *device);
        thread::spawn(move || {
            let service = asking_too.service.get().unwrap();
            assert!(service.knows(&device));
            service.handle_connected(&device);
            service.watched();
            let _ = done.send(());
        });
        if answers.recv_timeout(Duration::from_secs(2)).is_err() {
            asking.stuck.fetch_add(1, Ordering::SeqCst);
        }
        asking.is_asking.store(false, Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_sent_under_a_lock() {
    story(async {
        let world = World::new().await;
        let channel = world.funded(1, STATE).await;
        let store = Arc::new(MemoryStore::held());
        let outlet = Arc::new(Asking::default());
        let service = RemoteService::start_within(
            config(&world),
            world.chain_for(2).await,
            store.clone(),
            Arc::new(Asker(Arc::clone(&outlet))),
        );
        let service = service.await.unwrap();
        let service = outlet.service.get_or_init(|| service);
        let device = channel.keys[1].public_key();
        let newest = channel.signed(4, [700, 800], STATE);
        let order = first_watch(&channel, SECOND, &newest, account(177));
        // More requests than may wait for the disk.
        for _ in 0..70 {
            service.handle(&device, watch(order.clone()));
        }
        let is_sent = |is_meant: &dyn Fn(&RemoteMessage) -> bool| {
            let sent = outlet.sent.lock().unwrap();
            sent.iter().any(is_meant)
        };
        until("a refusal", || {
            is_sent(&|message| match message {
                RemoteMessage::RemoteRejection(rejection) => rejection.code == RemoteCode::Busy,
                _ => false,
            })
        })
        .await;
        store.release();
        let last = channel.last(5, [600, 900], STATE);
        service.handle(&device, watch(next_watch(&channel, SECOND, Some(&last))));
        until("the end", || service.watched() == 0).await;
        let paid = world.balance(&account(177)).await;
        assert_eq!(paid, 900 - FEE);
        assert_eq!(outlet.stuck.load(Ordering::SeqCst), 0);
    });
}
