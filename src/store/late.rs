//! What is said of calls when they are over: what postbacks have said, and which conversions are still open.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::store::code::{coded, from_slice, to_vec};
use crate::store::entry::{Delivery, StoredTag};
use crate::store::kept::{KeptConversion, KeptSaid, KeptTag, Late, LateStage, OpenCall};
use crate::store::list::List;
use crate::store::shelf::{Shelf, Unread};
use crate::store::tables::{
    AGENDA, AWAITED, AwaitedRow, ENDED, EndedRow, OPEN, OpenRow, POSTS, PostsRow, STORED,
    StoredRow, agenda_key, caller_prefix, parse_agenda, time_key,
};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// Values of tags that postbacks give one call at most.
pub const MOST_POSTED: usize = 256;

/// After this time a call that is due and has no end is one that is forgotten.
const LOST: Duration = Duration::from_secs(600);

type Uuid = &'static [u8; 16];
type Bytes = &'static [u8];

/// What postbacks say of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said<'a> {
    /// Whether there is one; `None`: nothing is said.
    pub is_converted: Option<bool>,
    /// What the publisher gets: decimal, `None`: nothing is said.
    pub payout: Option<&'a str>,
    /// What the buyer pays: decimal, `None`: nothing is said.
    pub revenue: Option<&'a str>,
}

coded!(Said<'a> { is_converted, payout, revenue });

/// See [`Entry::Posted`](crate::store::Entry::Posted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When.
    pub at: Moment,
    /// Added to what was said before.
    pub tags: List<'a, StoredTag<'a>>,
    /// Where it says something, that counts from now on.
    pub said: Said<'a>,
    /// What is to be delivered because of it, in order.
    pub deliveries: List<'a, Delivery<'a>>,
}

coded!(Posted<'a> { uuid, at, tags, said, deliveries });

/// See [`Entry::Awaited`](crate::store::Entry::Awaited). It comes before the call's end in the same lane; the one after it replaces it, and a
/// [`Converted`](crate::store::entry::Converted) ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When it ended.
    pub ended: Moment,
    /// Until when.
    pub until: Moment,
    /// The conversion group that it belongs to, and which waits for a postback; `None`: that is found out then.
    pub group: Option<&'a str>,
    /// What postbacks had said when it ended.
    pub said: Said<'a>,
    /// Its record: one line of JSON, without the line feed.
    pub line: &'a str,
}

coded!(Awaited<'a> { uuid, ended, until, group, said, line });

/// The tables of it, while entries are applied to them.
pub(super) struct LateBooks<'t> {
    posts: Table<'t, Uuid, Bytes>,
    awaited: Table<'t, Uuid, Bytes>,
    agenda: Table<'t, Bytes, ()>,
}

impl<'t> LateBooks<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            posts: transaction.open_table(POSTS)?,
            awaited: transaction.open_table(AWAITED)?,
            agenda: transaction.open_table(AGENDA)?,
        })
    }

    /// `Some`: it is the first that is said of this call, at this time.
    pub(super) fn post(&mut self, posted: &Posted<'_>) -> Result<Option<Moment>, redb::Error> {
        let key = posted.uuid.as_bytes();
        let before = self.posts.get(key)?.map(|row| row.value().to_vec());
        let row = before.as_deref().and_then(from_slice::<PostsRow<'_>>);
        let is_first = row.is_none();
        let row = row.unwrap_or_default();
        let mut tags = row.tags.to_vec();
        for tag in posted.tags.iter() {
            // Whoever writes the entry has seen that there is room.
            if tags.len() < MOST_POSTED && !tags.contains(tag) {
                tags.push(*tag);
            }
        }
        let row = to_vec(&PostsRow {
            count: row.count.saturating_add(1),
            tags: tags.into(),
            said: posted.said.after(row.said),
        });
        self.posts.insert(key, &*row)?;
        Ok(is_first.then_some(posted.at))
    }

    pub(super) fn wait(&mut self, awaited: &Awaited<'_>) -> Result<(), redb::Error> {
        self.settle(awaited.uuid)?;
        let row = to_vec(&AwaitedRow {
            ended: awaited.ended,
            until: awaited.until,
            group: awaited.group,
            said: awaited.said,
            line: awaited.line,
        });
        self.awaited.insert(awaited.uuid.as_bytes(), &*row)?;
        let key = agenda_key(awaited.until, awaited.uuid);
        self.agenda.insert(&*key, ())?;
        Ok(())
    }

    /// Nothing of it is open any more.
    pub(super) fn settle(&mut self, uuid: CallUuid) -> Result<(), redb::Error> {
        let row = self.awaited.remove(uuid.as_bytes())?;
        let row = row.map(|row| row.value().to_vec());
        if let Some(row) = row.as_deref().and_then(from_slice::<AwaitedRow<'_>>) {
            self.agenda.remove(&*agenda_key(row.until, uuid))?;
        }
        Ok(())
    }

    /// When it is to be settled what is open of this call; `None`: nothing is.
    pub(super) fn awaited(&self, uuid: &[u8; 16]) -> Result<Option<Moment>, redb::Error> {
        let row = self.awaited.get(uuid)?;
        let row = row
            .as_ref()
            .and_then(|row| from_slice::<AwaitedRow<'_>>(row.value()));
        Ok(row.map(|row| row.until))
    }

    pub(super) fn forget(&mut self, uuid: &[u8; 16]) -> Result<(), redb::Error> {
        self.posts.remove(uuid)?;
        Ok(())
    }
}

impl<'a> Said<'a> {
    /// What is said now, and of what nothing is said now, what was said before.
    fn after(self, before: Self) -> Self {
        Self {
            is_converted: self.is_converted.or(before.is_converted),
            payout: self.payout.or(before.payout),
            revenue: self.revenue.or(before.revenue),
        }
    }
}

/// Under which names tags wait for a caller: those for all calls of a company, or those for calls of some of its campaigns. No id
/// has a slash in it.
pub fn realms<'c>(
    company: &'c str,
    campaigns: &'c [Arc<str>],
) -> impl Iterator<Item = Cow<'c, str>> {
    let all = campaigns.is_empty().then_some(Cow::Borrowed(company));
    let some = campaigns
        .iter()
        .map(move |campaign| realm(company, campaign));
    all.into_iter().chain(some)
}

/// The name under which tags wait for calls of one campaign.
#[must_use]
pub fn realm<'c>(company: &str, campaign: &str) -> Cow<'c, str> {
    Cow::Owned(format!("{company}/{campaign}"))
}

/// What the store knows of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: there is none, or it is forgotten.
    Unknown,
    /// It goes on, or its record is on its way.
    Open(OpenCall),
    /// It is over.
    Over(Box<Late>),
}

impl Shelf {
    /// What is known of a call, for whoever has something to say of it.
    ///
    /// # Errors
    ///
    /// When the tables or the file of its record cannot be read.
    pub fn fate(&self, uuid: CallUuid) -> Result<Fate, Unread> {
        let transaction = self.read()?;
        let key = uuid.as_bytes();
        let row = transaction.open_table(ENDED)?.get(key)?;
        let row = row.map(|row| row.value().to_vec());
        let Some(row) = row else {
            let row = transaction.open_table(OPEN)?.get(key)?;
            let row = row.map(|row| row.value().to_vec());
            let Some(row) = row.as_deref() else {
                return Ok(Fate::Unknown);
            };
            let row: OpenRow<'_> = from_slice(row).ok_or(Unread::Row("open"))?;
            return Ok(Fate::Open(OpenCall::of(&row)));
        };
        let ended: EndedRow<'_> = from_slice(&row).ok_or(Unread::Row("ended"))?;
        if let Some(late) = open(&transaction, uuid)? {
            return Ok(Fate::Over(Box::new(late)));
        }
        let line = self.record(uuid)?;
        let (posts, tags, said) = posts(&transaction, uuid, Said::default())?;
        Ok(Fate::Over(Box::new(Late {
            uuid,
            ended: ended.at,
            stage: LateStage::Settled(ended.conversion.map(KeptConversion::from)),
            line: line.map(Into::into),
            posts,
            tags,
            said,
        })))
    }

    /// Tags that wait for a caller's next call of this campaign.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn waiting(
        &self,
        (company, campaign): (&str, &str),
        caller: &str,
        now: Moment,
    ) -> Result<Vec<KeptTag>, Unread> {
        let mut tags = self.waiting_in(company, caller, now)?;
        tags.extend(self.waiting_in(&realm(company, campaign), caller, now)?);
        Ok(tags)
    }

    /// Tags that wait for a caller under one name (see [`realms`]).
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn waiting_in(
        &self,
        realm: &str,
        caller: &str,
        now: Moment,
    ) -> Result<Vec<KeptTag>, Unread> {
        let stored = self.read()?.open_table(STORED)?;
        let Some(row) = stored.get(&*caller_prefix(realm, caller))? else {
            return Ok(Vec::new());
        };
        let row: StoredRow<'_> = from_slice(row.value()).ok_or(Unread::Row("stored"))?;
        let valid = row.tags.iter().filter(|tag| tag.until > now);
        let kept = valid.map(|tag| KeptTag {
            key: tag.key.into(),
            value: tag.value.into(),
            until: tag.until,
        });
        Ok(kept.collect())
    }

    /// For how many callers tags wait.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn callers_waiting(&self) -> Result<u64, Unread> {
        Ok(self.read()?.open_table(STORED)?.len()?)
    }

    /// How far the journal has come; see [`has`](Self::has).
    #[must_use]
    pub fn mark(&self) -> Vec<u64> {
        let tracks = self.tracks().iter();
        tracks.map(|track| track.published()).collect()
    }

    /// Whether what the journal held at `mark` is in the tables.
    #[must_use]
    pub fn has(&self, mark: &[u64]) -> bool {
        let mut tracks = self.tracks().iter().zip(mark);
        tracks.all(|(track, position)| track.applied() >= *position)
    }

    /// Calls that are over and whose conversion is to be settled by now, so many at most, the oldest first.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn due(&self, now: Moment, most: usize) -> Result<Vec<Late>, Unread> {
        let transaction = self.read()?;
        let end = time_key(now.after(Duration::from_millis(1)));
        let agenda = transaction.open_table(AGENDA)?;
        let ended = transaction.open_table(ENDED)?;
        let mut due = Vec::new();
        for row in agenda.range::<&[u8]>(..&end[..])?.take(most) {
            let (key, _) = row?;
            let uuid = parse_agenda(key.value()).ok_or(Unread::Row("agenda"))?;
            // Its end may still be on its way into the tables.
            let is_over = ended.get(uuid.as_bytes())?.is_some();
            if is_over || key.value() < &time_key(now.before(LOST))[..] {
                due.extend(open(&transaction, uuid)?);
            }
        }
        Ok(due)
    }
}

/// A call whose conversion is open.
fn open(transaction: &ReadTransaction, uuid: CallUuid) -> Result<Option<Late>, Unread> {
    let row = transaction.open_table(AWAITED)?.get(uuid.as_bytes())?;
    let Some(row) = row.map(|row| row.value().to_vec()) else {
        return Ok(None);
    };
    let row: AwaitedRow<'_> = from_slice(&row).ok_or(Unread::Row("awaited"))?;
    let (posts, tags, said) = posts(transaction, uuid, row.said)?;
    Ok(Some(Late {
        uuid,
        ended: row.ended,
        stage: match row.group {
            Some(group) => LateStage::Awaited(group.into()),
            None => LateStage::Undetermined,
        },
        line: Some(row.line.into()),
        posts,
        tags,
        said,
    }))
}

/// Keys and values of tags.
type Pairs = Vec<(Box<str>, Box<str>)>;

type Posts = (u32, Pairs, KeptSaid);

/// What postbacks have said of a call; `before` is what they had said at its end.
fn posts(transaction: &ReadTransaction, uuid: CallUuid, before: Said<'_>) -> Result<Posts, Unread> {
    let row = transaction.open_table(POSTS)?.get(uuid.as_bytes())?;
    let row = row.map(|row| row.value().to_vec());
    let row = match row.as_deref() {
        Some(row) => from_slice::<PostsRow<'_>>(row).ok_or(Unread::Row("posts"))?,
        None => PostsRow::default(),
    };
    let tag = |tag: &StoredTag<'_>| (tag.key.into(), tag.value.into());
    let tags = row.tags.iter().map(tag).collect();
    Ok((row.count, tags, row.said.after(before).into()))
}
