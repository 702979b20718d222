//! Which buyer gets the call.
//!
//! ```text
//! number ─ screen ─> campaign ─ decide ─> buyers in order ─ follow ─> the campaign's exit
//!                               judge: one verdict for each buyer
//! ```

pub mod book;
pub mod buyer;
pub mod callers;
pub mod campaign;
pub mod caps;
pub mod decide;
pub mod directory;
pub mod facts;
pub mod hours;
mod judge;
mod memo;
mod questions;
pub mod route;
pub mod rules;
pub mod screen;
pub mod trunk;
pub mod verdict;
pub mod weight;
pub mod window;
pub mod zone;
