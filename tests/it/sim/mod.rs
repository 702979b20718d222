//! The simulator: the engine, a carrier and buyers in virtual time, over a network that loses, doubles and
//! overtakes datagrams. One seed is one course of events, and everything in it can be repeated.
//!
//! ```text
//!   phone (caller) ---+                        +--- phone (buyer)
//!   phone (caller) ---+-- network -- Engine -- network -- phone (buyer)
//!                                      |
//!                                    watch: everything said and heard, and what must hold of it
//! ```
//!
//! Nothing of the engine's own reading or writing is used here: `text` reads and writes SIP by itself.
//!
//! `STROWGER_SIM_SEEDS=400000` runs more of them. To repeat one seed, and see all that went by:
//!
//! ```text
//! STROWGER_SIM_SEED=4711 cargo test --test it sim:: -- --nocapture
//! ```

mod abroad;
mod advertise;
mod asked;
mod campaigns;
mod client;
mod connections;
pub(crate) mod desk;
pub(crate) mod dice;
pub(crate) mod digest;
mod distant;
mod earlier;
mod entered;
mod explained;
mod firewall;
mod gateways;
mod guests;
mod health;
mod last;
pub(crate) mod ledger;
mod leg;
mod limits;
mod lodger;
mod media;
mod named;
mod peers;
mod phone;
mod plan;
pub(crate) mod policy;
mod posted;
mod race;
mod relayed;
mod replayed;
mod rfc;
mod scenario;
mod seams;
pub(crate) mod seeds;
mod server;
mod shared;
mod taken_up;
mod tally;
pub(crate) mod text;
mod transfer;
mod traps;
mod unkept;
mod verdict;
mod waiting;
mod watch;
pub(crate) mod world;
