//! What outlives the process: calls and their records, counts of caps, deliveries, tags that wait for a caller; soft phones,
//! credentials and numbers.
//!
//! ```text
//!   shard 0 ── Lane: append, commit ──> journal/00000-…  ─┐
//!   shard 1 ── Lane: append, commit ──> journal/00001-…  ─┼─> Keeper ──┬──> store.redb        one commit: the tables,
//!   others  ── Lane: append, commit ──> journal/00002-…  ─┘            │                      and how far each lane is in them
//!                                                                      └──> calls.jsonl       cut back to what the tables know
//!   anybody ── Shelf <── store.redb
//! ```
//!
//! # What is promised
//!
//! * **When [`Lane::commit`] has returned**, its entries outlive the process (`kill -9`): they are with the kernel. They are
//!   on the disk some 10 ms later ([`Shelf::sync`]), and outlive a loss of power from then on. So a shard commits before the messages of
//!   a wake-up leave: what the world has seen is written down.
//! * **Each entry is applied once.** Its effects and the position of its lane are one commit of the tables. After a crash the
//!   keeper goes on from that position.
//! * **Each call that was admitted gets one record.** Those that a crash has cut off are in [`Left::calls`]: whoever
//!   starts the edge ends them ([`Entry::Ended`]). A second end of a call is counted, and has no effect.
//! * **Each record is one line, once,** in the file of records: the tables know its length, and it is cut back to that.
//! * **Each delivery is made at least once,** or given up after the last of its attempts and kept for people to look at
//!   ([`Shelf::dead`]). Those of one call go one after another.
//! * **A disk that is full or fails** stops new calls ([`Lane::is_open`]), and no call that is under way: what they have to say
//!   waits in memory, up to a bound, and is written when the disk takes it. Whoever has a lane says nothing of a call to the
//!   world whose beginning it could not commit.
//!
//! # The order of entries
//!
//! Those of one lane are applied in their order. Lanes are applied as they come, so what belongs to a call may come in any
//! order by different lanes: an end before its admission is taken as that call's end.
//!
//! # What it knows nothing of
//!
//! Time (it comes as an argument), threads (whoever has a [`Keeper`] runs it), HTTP, and what tags, caps and webhooks mean.

mod accounts;
mod apply;
mod audit;
mod code;
pub mod entry;
mod follower;
mod frame;
mod keeper;
mod kept;
mod known;
mod lane;
mod late;
mod list;
mod open;
mod outbox;
mod records;
mod seal;
mod shared;
mod shelf;
mod tables;
mod track;
mod waiting;

pub use self::accounts::{KeptBinding, KeptConnection, KeptLine};
pub use self::apply::MOST_WAITING;
pub use self::audit::Audit;
pub use self::entry::Entry;
pub use self::follower::Damage;
pub use self::keeper::{Keeper, Options, Stuck, Turn};
pub use self::kept::{
    Caller, Earlier, KeptConversion, KeptSaid, KeptTag, Late, LateStage, Note, OpenCall, Parcel,
    Window,
};
pub use self::lane::{Lane, Refused};
pub use self::late::{Fate, MOST_POSTED, realm, realms};
pub use self::list::List;
pub use self::open::{Left, Lock, Store, Unusable};
pub use self::outbox::next_attempt;
pub use self::records::Rotation;
pub use self::seal::{Keyring, SealFault};
pub use self::shelf::{Figures, Shelf, Unread};

#[cfg(test)]
mod tests;
