//! rtpengine as the shards see it: questions go to the client, answers come back as letters, and a call's record
//! passes through it, for its figures.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::call::record::{Lodging, Record};
use crate::edge::inbox::{Letter, Mailbox};
use crate::edge::writers::Records;
use crate::media::ng::ask::{Ask, Failure, Terms, Ticket, Told};
use crate::media::ng::{Reply, Request, Scope};
use crate::media::plan::SessionId;
use crate::net::rtpengine::{Asker, Audience, Client};
use crate::telemetry::rtpengine::RtpengineCounts;

/// The client, and the records that wait for it.
pub(super) struct Rtpengines {
    client: Client,
    waiting: Arc<Waiting>,
}

/// Records of calls whose figures are under way. Each belongs to a question, so there are never more than the client
/// takes.
#[derive(Default)]
struct Waiting(Mutex<HashMap<SessionId, (Box<Record>, Records)>>);

impl Rtpengines {
    /// Starts the client.
    pub(super) fn start(
        terms: Terms,
        counts: RtpengineCounts,
        mailboxes: Vec<Mailbox>,
    ) -> io::Result<Self> {
        let waiting = Arc::<Waiting>::default();
        let ears = Ears {
            mailboxes,
            waiting: Arc::clone(&waiting),
            counts,
        };
        let client = Client::start(terms, ears)?;
        Ok(Self { client, waiting })
    }

    /// For one shard.
    pub(super) fn desk(&self, mailbox: Mailbox) -> RtpengineDesk {
        RtpengineDesk {
            asker: self.client.asker(),
            waiting: Arc::clone(&self.waiting),
            mailbox,
        }
    }

    /// Goes by other terms from now on; `false`: it is too busy, and the old ones stay.
    pub(super) fn set_terms(&self, terms: Terms) -> bool {
        self.client.asker().set_terms(terms).is_ok()
    }

    /// Ends it as soon as all is answered: then all records are handed on. No shard may be left that asks.
    pub(super) fn stop(self) {
        self.client.stop();
    }
}

/// rtpengine, as one shard uses it.
pub(super) struct RtpengineDesk {
    asker: Asker,
    waiting: Arc<Waiting>,
    /// The shard's own.
    mailbox: Mailbox,
}

impl RtpengineDesk {
    /// Asks. Where there is no room for the question the shard learns it by letter, for it is at work now.
    pub(super) fn ask(&self, ask: Ask) {
        let ticket = ask.ticket;
        if self.asker.ask(ask).is_err() {
            refuse(&self.mailbox, ticket, Failure::Busy);
        }
    }

    /// Ends a call's media. Its record goes on with what was heard.
    pub(super) fn end(&self, lodging: Lodging, record: Box<Record>, records: Option<Records>) {
        let Lodging {
            session,
            place,
            names,
        } = lodging;
        if let Some(records) = records {
            self.waiting.lock().insert(session, (record, records));
        }
        let ask = Ask {
            ticket: Ticket {
                session,
                round: OF_RECORD,
            },
            place: Some(place),
            request: Request::Delete(names, Scope::Call),
        };
        if self.asker.ask(ask).is_err() {
            self.waiting.release(session, None);
        }
    }
}

/// Tells a shard that a question was not taken.
pub(super) fn refuse(mailbox: &Mailbox, ticket: Ticket, why: Failure) {
    mailbox.post(Letter::MediaTold(Box::new(Told {
        ticket,
        place: None,
        names: None,
        result: Err(why),
    })));
}

/// The round of the question that a record waits for; those of the engine are counted from 1.
const OF_RECORD: u32 = u32::MAX;

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, (Box<Record>, Records)>> {
        // Nothing is done under it that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record on.
    fn release(&self, session: SessionId, reply: Option<Reply>) {
        let Some((mut record, records)) = self.lock().remove(&session) else {
            return;
        };
        if let Some(Reply::Deleted(figures)) = reply {
            record.figures = figures;
        }
        // The loss is counted there.
        let _ = records.post(record);
    }
}

/// Where the client's answers go.
struct Ears {
    mailboxes: Vec<Mailbox>,
    waiting: Arc<Waiting>,
    counts: RtpengineCounts,
}

impl Audience for Ears {
    fn tell(&self, told: Told) {
        let Ticket { session, round } = told.ticket;
        match round {
            OF_RECORD => self.waiting.release(session, told.result.ok()),
            // Nobody waits.
            0 => {}
            _ => {
                if let Some(mailbox) = self.mailboxes.get(usize::from(session.shard().0)) {
                    // One that has no room finds out by its own clock.
                    mailbox.post(Letter::MediaTold(Box::new(told)));
                }
            }
        }
    }

    fn count(&self, command: &'static str, result: &'static str, took: Duration) {
        self.counts.count(command, result, took);
    }

    fn count_resent(&self) {
        self.counts.count_resent();
    }

    fn note_health(&self, _: SocketAddr, _: bool) {}

    fn note_standing(&self, up: usize, lost: usize) {
        self.counts.set_standing(up, lost);
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::mpsc::sync_channel;

    use mio::{Poll, Token};

    use super::*;
    use crate::edge::inbox::inbox;
    use crate::media::ng::ask::Rtpengine;
    use crate::media::ng::{self, Names};
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::record::sample;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_goes_to_the_shard_that_asked_and_is_counted() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = inbox(poll.registry(), Token(7)).unwrap();
        let metrics = Metrics::new();
        let rtpengines = start(&server, &metrics, mailbox.clone());
        let ticket = Ticket {
            session: SessionId(5),
            round: 3,
        };

        let ask = Ask {
            ticket,
            place: None,
            request: Request::Query(names()),
        };
        let desk = rtpengines.desk(mailbox);
        desk.ask(ask);
        reply(&server, "query", "d6:result5:errore");

        drop(desk);
        rtpengines.stop();
        let letter = std::iter::from_fn(|| inbox.next_letter()).next();
        assert!(matches!(letter, Some(Letter::MediaTold(told)) if told.ticket == ticket));
        let text = metrics.render();
        for line in [
            "strowger_rtpengines{state=\"up\"} 1",
            "strowger_rtpengines{state=\"lost\"} 0",
            "strowger_rtpengine_requests_total{result=\"refused\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_question_that_finds_no_room_is_answered_all_the_same() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = inbox(poll.registry(), Token(7)).unwrap();
        let ticket = Ticket {
            session: SessionId(5),
            round: 3,
        };

        refuse(&mailbox, ticket, Failure::Busy);

        let letter = inbox.next_letter();
        assert!(
            matches!(letter, Some(Letter::MediaTold(told)) if told.result == Err(Failure::Busy))
        );
    }

    #[test]
    fn records_that_wait_are_handed_on_before_the_end() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = server.local_addr().unwrap();
        let poll = Poll::new().unwrap();
        let (mailbox, _inbox) = inbox(poll.registry(), Token(7)).unwrap();
        let metrics = Arc::new(Metrics::new());
        let rtpengines = start(&server, &metrics, mailbox.clone());
        let (sender, written) = sync_channel(9);
        let records = Records::to(sender, Arc::clone(&metrics));
        let desk = rtpengines.desk(mailbox);
        for session in [SessionId(1), SessionId(2)] {
            let lodging = Lodging {
                session,
                place,
                names: names(),
            };
            desk.end(lodging, Box::new(sample().1), Some(records.clone()));
        }
        let known = "d6:result2:ok4:tagsd6:callerd6:mediasleeee";
        reply(&server, "delete", known);
        // The other gets no answer.

        drop(desk);
        rtpengines.stop();

        let figures = [written.try_recv(), written.try_recv()];
        let figures = figures.map(|record| record.unwrap().figures.is_some());
        assert_eq!(figures.iter().filter(|known| **known).count(), 1);
    }

    fn start(server: &UdpSocket, metrics: &Metrics, mailbox: Mailbox) -> Rtpengines {
        server.set_read_timeout(Some(LIMIT)).unwrap();
        let terms = Terms {
            rtpengines: vec![Rtpengine {
                address: server.local_addr().unwrap(),
                weight: 1,
            }],
            ..Terms::default()
        };
        Rtpengines::start(terms, RtpengineCounts::new(metrics), vec![mailbox]).unwrap()
    }

    fn names() -> Names {
        Names {
            call: "c".into(),
            caller: "caller".into(),
            buyer: "b".into(),
        }
    }

    fn reply(server: &UdpSocket, command: &str, body: &str) {
        let key = format!("7:command{}:{command}", command.len());
        let mut buf = [0; 4096];
        loop {
            let (length, from) = server.recv_from(&mut buf).unwrap();
            let (cookie, request) = ng::split_cookie(&buf[..length]).unwrap();
            if memchr::memmem::find(request, key.as_bytes()).is_some() {
                let reply = [cookie, b" ", body.as_bytes()].concat();
                server.send_to(&reply, from).unwrap();
                return;
            }
        }
    }
}
