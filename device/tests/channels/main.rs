//! Stories of a device: a real flash driver's view of the world, real handshakes and signatures, a
//! peer and watchers on the other end of its streams, and a clock moved by hand.

mod cuts;
mod guarding;
mod hostile;
mod limits;
mod paying;
mod rollback;
mod streams;
mod watchers;
mod world;
