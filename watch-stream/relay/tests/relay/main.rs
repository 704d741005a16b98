//! A relay over real TCP: a device and watchers that come and go, restarts, strangers.

mod hostile;
mod lines;
mod retention;
mod story;
mod world;
