//! A transport in memory, with faults.
