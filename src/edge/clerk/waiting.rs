//! Tags that are to wait for callers.

use std::collections::HashSet;

use tracing::error;

use crate::edge::clerk::{Answer, Work};
use crate::edge::journal;
use crate::hooks::postback::Post;
use crate::store::entry::Stored;
use crate::store::{self, Entry, List, MOST_WAITING, Refused, Unread};
use crate::types::moment::Moment;
use crate::types::number::Number;

/// Callers for whom tags wait at most: some hundreds of megabytes.
const CALLERS: u64 = 1_000_000;

/// Keys and values of tags.
pub(super) type Pairs = HashSet<(Box<str>, Box<str>)>;

impl Work {
    /// Tags wait for a caller's next call, all of them or none.
    pub(super) fn store(
        &mut self,
        caller: Number,
        post: &Post,
        (now, until): (Moment, Moment),
    ) -> Result<Answer, Refused> {
        let waiting = self.shelf.callers_waiting();
        if waiting.is_ok_and(|count| count >= CALLERS) {
            return Ok(Answer::Full);
        }
        let tags = journal::stored_tags(&post.posting);
        let caller = caller.to_string();
        let company = &post.pass.company;
        for realm in store::realms(company, &post.pass.campaigns) {
            match self.waiting(&realm, &caller, now) {
                Ok(mut waiting) => {
                    waiting.extend(tags.iter().map(|tag| (tag.key.into(), tag.value.into())));
                    if waiting.len() > MOST_WAITING {
                        return Ok(Answer::Full);
                    }
                }
                Err(error) => {
                    error!(%error, "tags that wait for a caller cannot be looked up");
                    return Ok(Answer::Unkept);
                }
            }
        }
        for realm in store::realms(company, &post.pass.campaigns) {
            self.lane.append(&Entry::Stored(Stored {
                company: &realm,
                caller: &caller,
                until,
                tags: List::from(&tags[..]),
            }))?;
            let end = self.lane.end();
            let name = (realm.into_owned(), caller.clone());
            let (written, last) = self.stored.entry(name).or_default();
            written.extend(tags.iter().map(|tag| (tag.key.into(), tag.value.into())));
            *last = end;
        }
        Ok(Answer::Taken)
    }

    /// The tags that wait for a caller, and those that are about to.
    fn waiting(&self, realm: &str, caller: &str, now: Moment) -> Result<Pairs, Unread> {
        let waiting = self.shelf.waiting_in(realm, caller, now)?;
        let mut waiting: Pairs = waiting
            .into_iter()
            .map(|tag| (tag.key, tag.value))
            .collect();
        let name = (realm.to_owned(), caller.to_owned());
        if let Some((written, _)) = self.stored.get(&name) {
            waiting.extend(written.iter().cloned());
        }
        Ok(waiting)
    }
}
