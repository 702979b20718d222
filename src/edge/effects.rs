//! Does what the engine's outputs say.

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::call::Engine;
use crate::call::output::{Event, Output};
use crate::call::places::{Claimant, Ticket, Verdict};
use crate::call::policy::Policy;
use crate::call::record::{MediaAt, Record};
use crate::edge::abroad::AbroadDesk;
use crate::edge::diary::Diary;
use crate::edge::exits::{Departure, Exits};
use crate::edge::guard::{Guard, Notice, Standing, Tidings};
use crate::edge::inbox::{Letter, Mailbox, Order};
use crate::edge::ledger::Till;
use crate::edge::media::MediaDesk;
use crate::edge::posts::{Heard, PostLetter, Posts};
use crate::edge::recall::RecallDesk;
use crate::edge::rtpengine;
use crate::edge::rtpengine::RtpengineDesk;
use crate::edge::valve::{Passage, Stage, Valve};
use crate::edge::ways::Ways;
use crate::edge::webhooks::WebhookDesk;
use crate::edge::writers::Records;
use crate::media::ng::ask::Failure;
use crate::net::clock;
use crate::net::resolver::{Asker, Told};
use crate::net::udp::{Batches, Port, Unsendable};
use crate::sip::flow::Flow;
use crate::sip::frame;
use crate::sip::glance::Glance;
use crate::telemetry::log::{Allowance, Narrator};
use crate::telemetry::tally::Tally;
use crate::types::ids::{CallUuid, ShardId};

/// Everything that a shard's outputs act on.
pub(super) struct Effects {
    own: ShardId,
    exits: Exits,
    /// By [`ShardId`], the own one included.
    shards: Vec<Mailbox>,
    records: Option<Records>,
    /// What must outlive the process; `None`: nothing does.
    diary: Option<Diary>,
    /// Calls that have ended in this wake-up, where there is a diary.
    ended: Vec<(Instant, Box<Record>)>,
    till: Till,
    /// Relays media; `None`: nobody does.
    pub(super) media: Option<MediaDesk>,
    /// Asks rtpengine; `None`: there is none.
    rtpengine: Option<RtpengineDesk>,
    /// Sends webhooks.
    webhooks: WebhookDesk,
    /// Knows what is remembered of callers.
    recall: RecallDesk,
    /// What is next with calls that a vendor carries.
    abroad: AbroadDesk,
    /// Who has said something of calls, and waits.
    posts: Posts,
    /// Looks names up; `None`: nobody does.
    asker: Option<Asker>,
    tally: Tally,
    narrator: Narrator,
    guard: Guard,
    valve: Valve,
    failures: Allowance,
}

/// Failed flows per second that the engines hear of at most: each is a letter to every other shard, and
/// strangers can cause them. Timers find the others.
const FAILURES: u32 = 200;

impl Effects {
    pub(super) fn new(
        own: ShardId,
        ways: Ways,
        (records, diary): (Option<Records>, Option<Diary>),
        till: Till,
        guard: Guard,
        valve: Valve,
        tally: Tally,
    ) -> Self {
        let Ways {
            ports,
            lines,
            shards,
            media,
            rtpengine,
            webhooks,
            recall,
            abroad,
            asker,
        } = ways;
        Self {
            own,
            exits: Exits::new(ports, lines),
            shards,
            records,
            diary,
            ended: Vec::new(),
            till,
            media,
            rtpengine,
            webhooks,
            recall,
            abroad,
            posts: Posts::default(),
            asker,
            tally,
            guard,
            valve,
            narrator: Narrator::default(),
            failures: Allowance::default(),
        }
    }

    pub(super) fn ports(&mut self) -> &mut [Port] {
        &mut self.exits.ports
    }

    /// Takes a place of a trunk or a buyer for a call, if there is one.
    pub(super) fn reserve(
        &mut self,
        ticket: Ticket,
        call: CallUuid,
        claimant: &Claimant,
    ) -> Verdict {
        let verdict = self.till.reserve(clock::moment(), ticket, claimant);
        if let (Claimant::Guest(_, pass), Verdict::Granted, Some(diary)) =
            (claimant, &verdict, &mut self.diary)
        {
            diary.spend(*pass);
        }
        self.keep_counted(call);
        verdict
    }

    /// Writes down what has come to count.
    fn keep_counted(&mut self, call: CallUuid) {
        let counted = self.till.take_counted();
        if let Some(diary) = &mut self.diary {
            diary.count(clock::moment(), call, &counted);
        }
    }

    /// Whether what happens to a new call could not be kept; looks whether the disk takes by now what it has not.
    pub(super) fn is_shut(&mut self) -> bool {
        self.diary.as_mut().is_some_and(|diary| !diary.is_open())
    }

    /// What waits to leave, and what cannot.
    pub(super) fn exits(&mut self) -> &mut Exits {
        &mut self.exits
    }

    /// The engine is about to be told what somebody says of calls.
    pub(super) fn begin_post(&mut self, letter: PostLetter) {
        self.posts.begin(letter);
    }

    /// The engine is about to be told of a call that a vendor carries.
    pub(super) fn begin_abroad(&mut self, heard: oneshot::Sender<()>) {
        self.abroad.begin(heard);
    }

    /// Does one thing; messages wait for the [`flush`](Self::flush).
    pub(super) fn perform(&mut self, now: Instant, output: Output) {
        match output {
            Output::Transmit { flow, bytes } => self.exits.push(Departure::Message(flow, bytes)),
            Output::Forward { shard, flow, bytes } => {
                // A number that is no shard's, or our own, was made up by a peer.
                let owner = self.shards.get(usize::from(shard.0));
                let letter = Letter::Datagram { flow, bytes };
                match owner.filter(|_| shard != self.own) {
                    Some(owner) if owner.post(letter) => self.tally.add_forwards(1, 0),
                    _ => self.tally.add_forwards(0, 1),
                }
            }
            // Answered where the engine is at hand.
            Output::Reserve { .. } => {}
            Output::Commit { ticket, call, what } => {
                self.till.commit(ticket, call, what);
                self.keep_counted(call);
            }
            Output::Keep { uuid, tags } => {
                if let Some(diary) = &mut self.diary {
                    diary.keep(uuid, &tags);
                }
            }
            Output::Recall { ticket, question } => self.recall.ask(ticket, question),
            Output::Remember(news) => self.recall.remember(&news),
            Output::Fetch { ticket, request } => self.exits.push(Departure::Ping(ticket, request)),
            Output::Deliver { uuid, deliveries } => match &mut self.diary {
                Some(diary) => diary.queue(clock::moment(), uuid, &deliveries),
                None => self.webhooks.deliver(uuid, deliveries),
            },
            Output::Release(ticket) => self.till.release(ticket),
            Output::Posted {
                taken,
                is_full,
                is_barred,
            } => {
                let heard = Heard {
                    taken,
                    is_full,
                    is_barred,
                    is_unkept: false,
                };
                self.posts.take(heard, self.diary.as_mut());
            }
            Output::Probed {
                buyer,
                gateway,
                is_lost,
            } => {
                for (index, shard) in self.shards.iter().enumerate() {
                    if index != usize::from(self.own.0) {
                        let order = Order::Probed {
                            buyer: buyer.clone(),
                            gateway: gateway.clone(),
                            is_lost,
                        };
                        // One that takes no order does not work any more: it needs no gateways.
                        let _ = shard.order(order);
                    }
                }
            }
            Output::Resolve(wanted) => {
                if let Some(asker) = &self.asker {
                    asker.ask(wanted);
                }
            }
            Output::Event(event) => {
                self.keep(&event);
                if let Some(desk) = &self.media {
                    desk.note_event(&event);
                }
                if let Some(diary) = &mut self.diary {
                    diary.handle_event(clock::moment(), &event);
                    if let Event::Started { uuid, .. } = &event {
                        self.exits.note_new(*uuid);
                    }
                }
                self.tally.handle_event(&event);
                if let Event::Refused { flow, .. } | Event::Malformed { flow, .. } = &event {
                    let is_stranger = self.guard.is_stranger(now, flow.remote.ip());
                    self.narrator.handle_refusal(now, &event, is_stranger);
                } else {
                    self.narrator.handle_event(now, &event);
                }
                if let Some(tidings) = self.guard.handle_event(now, &event) {
                    self.spread(now, tidings);
                }
            }
            Output::Media { id, plan } => {
                if let Some(desk) = &self.media {
                    desk.connect(id, *plan);
                }
            }
            Output::AskMedia(ask) => match &self.rtpengine {
                Some(desk) => desk.ask(*ask),
                None => {
                    if let Some(own) = self.shards.get(usize::from(self.own.0)) {
                        rtpengine::refuse(own, ask.ticket, Failure::Nowhere);
                    }
                }
            },
            Output::Abroad(uuid, step) => self.abroad.take(uuid, step),
            Output::Record(mut record) => {
                record.counted = self.till.take_converted(record.uuid);
                if self.diary.is_some() {
                    // Its beginning is in the journal before its end is.
                    self.ended.push((now, record));
                } else {
                    self.finish(now, record);
                }
            }
        }
    }

    /// Ends a call's media and writes its record, with what was heard if somebody listened.
    fn finish(&mut self, now: Instant, mut record: Box<Record>) {
        let records = self.records.clone();
        if let Some(story) = &mut record.story
            && self.diary.is_none()
            && !story.deliveries.is_empty()
        {
            let deliveries = mem::take(&mut story.deliveries);
            self.webhooks.deliver(record.uuid, deliveries);
        }
        match (record.media.take(), &self.media, &self.rtpengine) {
            (Some(MediaAt::Relay(id)), Some(desk), _) => desk.end(id, record, records),
            (Some(MediaAt::Rtpengine(lodging)), _, Some(desk)) => {
                desk.end(*lodging, record, records);
            }
            (Some(_) | None, _, _) => {
                if let Some(records) = records
                    && let Err(record) = records.post(record)
                {
                    self.narrator.handle_lost_record(now, &record);
                }
            }
        }
    }

    /// Ends a connection whose peer is not heard any more.
    pub(super) fn hang_up(&self, flow: Flow) {
        if let Some(lines) = &self.exits.lines {
            lines.end(flow);
        }
    }

    /// A call came by this connection: it stays, whoever the peer is.
    fn keep(&self, event: &Event) {
        if let Event::Started { flow, .. } = event
            && flow.transport.is_reliable()
            && let Some(lines) = &self.exits.lines
        {
            lines.keep(*flow);
        }
    }

    /// Takes note of a batch that was received on the port at `index`.
    pub(super) fn observe(&mut self, now: Instant, index: usize, wait: Option<Duration>) {
        self.valve.observe(now, index, wait);
        match self.valve.poll_change() {
            Some(Stage::Shedding { .. }) => self.narrator.handle_overload(now, true),
            Some(Stage::Calm) => self.narrator.handle_overload(now, false),
            Some(Stage::Strained) | None => {}
        }
    }

    /// What is to become of a datagram that has come from `remote` and waited for `wait` at most.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        remote: IpAddr,
        bytes: &[u8],
        wait: Option<Duration>,
        engine: &Engine,
    ) -> Passage {
        let (standing, tidings) = self.guard.judge(now, remote, bytes);
        if let Some(tidings) = tidings {
            self.spread(now, tidings);
        }
        let is_open = self.valve.is_open(wait);
        let (payer, shut) = match standing {
            Standing::Welcome(_) | Standing::Stranger if is_open => return Passage::Read,
            Standing::Welcome(payer) => (Some(payer), None),
            Standing::Stranger => (None, None),
            Standing::Shut(shut) => (None, Some(shut)),
        };
        let Some(message) = frame::datagram(bytes) else {
            // A keep-alive: there is nothing to be done about it.
            return Passage::Read;
        };
        let glance = Glance::at(message);
        let passage = match shut {
            Some(shut)
                if !self
                    .guard
                    .makes_exception(now, remote, shut, &glance, engine) =>
            {
                Passage::Shut(shut.label())
            }
            Some(_) | None if payer.is_none() && engine.awaits(&glance) => Passage::Read,
            Some(_) | None => self.valve.judge(payer, &glance, wait),
        };
        if let Passage::Drop(why) | Passage::Shut(why) = passage {
            self.tally.add_unread(why, 1);
        }
        passage
    }

    /// Goes by another policy from now on.
    pub(super) fn set_policy(&mut self, policy: Arc<Policy>) {
        self.valve.set_rules(policy.overload);
        self.guard.set_policy(policy);
    }

    /// DNS says where a name is.
    pub(super) fn handle_told(&mut self, now: Instant, told: &Told) {
        self.guard.handle_told(now, told);
    }

    /// The longest wait since it was last asked.
    pub(super) fn take_worst_wait(&mut self) -> Duration {
        self.valve.take_worst()
    }

    /// How many senders are banned.
    pub(super) fn banned(&self, now: Instant) -> usize {
        self.guard.banned(now)
    }

    /// Takes in what the guard of another shard tells.
    pub(super) fn handle_notice(&mut self, now: Instant, from: ShardId, notice: Notice) {
        if let Some(tidings) = self.guard.handle_notice(now, from, notice) {
            self.spread(now, tidings);
        }
    }

    /// Counts a ban, and tells the other shards what they are to know. One whose inbox is full hears of it when it has an offence
    /// to tell.
    fn spread(&mut self, now: Instant, tidings: Tidings) {
        let (whom, notice) = match tidings {
            Tidings::Banned { ban, why } => {
                self.tally.add_ban();
                self.narrator.handle_ban(now, &ban, why);
                (None, Notice::Banned(ban))
            }
            Tidings::Tell(shard, notice) => (Some(shard), notice),
            Tidings::TellAll(notice) => (None, notice),
        };
        for (shard, mailbox) in (0..=u8::MAX).map(ShardId).zip(&self.shards) {
            if shard != self.own && whom.is_none_or(|whom| whom == shard) {
                mailbox.post(Letter::Guard(self.own, notice));
            }
        }
    }

    /// Sends what waits, one batch per port.
    pub(super) fn flush(&mut self, batches: &mut Batches) {
        let is_kept = self.diary.as_mut().is_none_or(Diary::commit);
        self.posts.settle(is_kept);
        let webhooks = &self.webhooks;
        self.exits
            .depart(is_kept, |ticket, request| webhooks.ping(ticket, request));
        self.abroad.settle(is_kept);
        for (now, record) in mem::take(&mut self.ended) {
            self.finish(now, record);
        }
        let Exits { ports, report, .. } = &mut self.exits;
        for port in ports {
            port.flush(batches, report);
        }
    }

    /// Takes what ICMP said to the port at `index`; `true`: there may be more.
    pub(super) fn take_errors(&mut self, index: usize) -> bool {
        let Exits { ports, report, .. } = &mut self.exits;
        match ports.get_mut(index) {
            Some(port) => port.take_errors(report),
            None => false,
        }
    }

    /// The next flow that failed. The other shards are told too: the kernel hands an ICMP error to
    /// any of the sockets that share the port.
    pub(super) fn poll_failed(&mut self, now: Instant) -> Option<Flow> {
        let flow = self.exits.report.failed.pop()?;
        if !self.failures.is_left(now, FAILURES) {
            self.exits.report.failed.clear();
            return None;
        }
        for (index, shard) in self.shards.iter().enumerate() {
            if index != usize::from(self.own.0) {
                shard.post(Letter::TransportFailed(flow));
            }
        }
        Some(flow)
    }

    /// The next request of ours that cannot be sent, whatever else can be along its flow.
    pub(super) fn poll_unsendable(&mut self, now: Instant) -> Option<Bytes> {
        let Unsendable { flow, bytes, error } = self.exits.report.unsendable.pop()?;
        self.narrator
            .handle_unsendable(now, flow.remote, bytes.len(), &error);
        Some(bytes)
    }

    /// Makes this wake-up's counts visible.
    pub(super) fn publish(&mut self, received: u64) {
        let report = &mut self.exits.report;
        self.tally.add_received(received);
        self.tally.add_sent(mem::take(&mut report.sent));
        let (blocked, refused) = (
            mem::take(&mut report.blocked),
            mem::take(&mut report.refused),
        );
        if blocked + refused > 0 {
            self.tally.add_send_drops(blocked, refused);
        }
        self.tally.publish();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::{File, OpenOptions};
    use std::net::{SocketAddr, UdpSocket};
    use std::path::Path;
    use std::sync::mpsc::sync_channel;

    use mio::{Poll, Token};
    use tempfile::TempDir;
    use tokio::sync::oneshot;

    use super::*;
    use crate::call::output::Origin;
    use crate::call::policy::Overload;
    use crate::config;
    use crate::config::Texts;
    use crate::edge::inbox::{Inbox, inbox};
    use crate::edge::ledger::Ledger;
    use crate::hooks::keys::Pass;
    use crate::hooks::postback::{About, Post, Posting};
    use crate::net::clock;
    use crate::routing::buyer::Buyer;
    use crate::routing::caps::{CapOn, Most, Quota};
    use crate::routing::rules::Rules;
    use crate::routing::zone::Zone;
    use crate::sip::flow::{ListenerId, PeerId, Transport};
    use crate::store::{Options, Store};
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::record::sample;
    use crate::types::moment::Moment;

    #[test]
    fn what_another_shard_owns_is_handed_to_it_and_to_nobody_else() {
        let mut bench = Bench::new();

        // Shard 0 is the bench's own; there is no shard 2.
        for shard in [1, 0, 2] {
            let output = Output::Forward {
                shard: ShardId(shard),
                flow: flow(Transport::Udp, "192.0.2.1:5060".parse().unwrap()),
                bytes: Bytes::from_static(b"OPTIONS"),
            };
            bench.effects.perform(clock::now(), output);
        }

        let letter = bench.other.next_letter();
        assert!(matches!(letter, Some(Letter::Datagram { bytes, .. }) if bytes == "OPTIONS"));
        assert!(bench.other.next_letter().is_none());
        assert!(bench.own.next_letter().is_none());
        bench.effects.publish(0);
        bench.shows("strowger_forwards_total{result=\"handed\"} 1");
        bench.shows("strowger_forwards_total{result=\"dropped\"} 2");
    }

    #[test]
    fn messages_of_one_wake_up_leave_with_the_flush() {
        let mut bench = Bench::new();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let flow = flow(Transport::Udp, peer.local_addr().unwrap());
        for text in ["one", "two"] {
            let bytes = Bytes::from_static(text.as_bytes());
            bench
                .effects
                .perform(clock::now(), Output::Transmit { flow, bytes });
        }

        peer.set_nonblocking(true).unwrap();
        assert!(peer.recv(&mut [0; 9]).is_err());
        bench.effects.flush(&mut Batches::new());
        bench.effects.publish(0);

        assert_eq!(peer.recv(&mut [0; 9]).unwrap(), 3);
        assert_eq!(peer.recv(&mut [0; 9]).unwrap(), 3);
        bench.shows("strowger_datagrams_sent_total 2");
    }

    #[test]
    fn a_way_that_we_do_not_have_fails_here_and_is_told_to_the_others() {
        let mut bench = Bench::new();
        let flow = flow(Transport::Tcp, "192.0.2.1:5060".parse().unwrap());
        let bytes = Bytes::from_static(b"INVITE");
        let now = clock::now();

        bench.effects.perform(now, Output::Transmit { flow, bytes });
        assert_eq!(bench.effects.poll_failed(now), None, "it waits");
        bench.effects.flush(&mut Batches::new());

        assert_eq!(bench.effects.poll_failed(now), Some(flow));
        assert_eq!(bench.effects.poll_failed(now), None);
        let letter = bench.other.next_letter();
        assert!(matches!(letter, Some(Letter::TransportFailed(told)) if told == flow));
        bench.effects.publish(0);
        bench.shows("strowger_send_drops_total{why=\"refused\"} 1");
    }

    #[test]
    fn while_the_journal_cannot_be_written_nobody_hears_of_new_calls_and_the_others_go_on() {
        let mut bench = Bench::new();
        let folder = tempfile::tempdir().unwrap();
        let (options, at) = (Options::default(), Moment::from_millis(0));
        let mut store = Store::open(folder.path(), 1, options, at).unwrap();
        bench.effects.diary = store.lanes.pop().map(Diary::new);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = bench.swap_file(Arc::new(full));
        let (new, old) = (Peer::new(), Peer::new());
        let lost = Flow {
            transport: Transport::Tcp,
            ..old.flow
        };
        let uuid = CallUuid::from_bytes([7; 16]);

        // One input begins a call, the other one is about another call.
        bench.effects.exits.begin_turn();
        bench.says(new.flow, "SIP/2.0 100 Trying");
        bench.effects.perform(
            clock::now(),
            Output::Event(Event::Started {
                uuid,
                trunk: "one".into(),
                flow: new.flow,
                dialled: None,
                call_id: b"one".as_slice().into(),
                origin: Origin {
                    generation: 1,
                    user: None,
                    company: None,
                    campaign: None,
                    afid: None,
                    sid: None,
                    caller: None,
                },
            }),
        );
        bench.says(new.flow, "INVITE sip:one");
        bench.says(lost, "INVITE sip:two");
        bench.effects.exits.begin_turn();
        bench.says(old.flow, "BYE sip:one");
        assert!(!bench.effects.is_shut(), "nobody knows yet");
        bench.effects.flush(&mut Batches::new());

        assert_eq!(new.heard(), [""; 0]);
        assert_eq!(old.heard(), ["BYE sip:one"]);
        assert_eq!(bench.effects.poll_failed(clock::now()), None);
        assert_eq!(bench.effects.exits.poll_unkept(), Some(uuid));
        assert_eq!(bench.effects.exits.poll_unkept(), None);
        let unsent = [(); 3].map(|()| bench.effects.exits.poll_unsent());
        assert_eq!(unsent[0].as_deref(), Some(b"INVITE sip:two".as_slice()));
        assert_eq!(unsent[1].as_deref(), Some(b"INVITE sip:one".as_slice()));
        assert_eq!(unsent[2], None);
        assert!(bench.effects.is_shut());

        // It is refused, and is no new call any more.
        bench.effects.exits.begin_turn();
        bench.says(new.flow, "SIP/2.0 503 Service Unavailable");
        bench.effects.flush(&mut Batches::new());
        assert_eq!(new.heard(), ["SIP/2.0 503 Service Unavailable"]);
        assert_eq!(bench.effects.exits.poll_unkept(), None);

        let length = |folder: &TempDir| {
            let journal = fs::read_dir(folder.path().join("journal")).unwrap();
            let lengths = journal.map(|file| file.unwrap().metadata().unwrap().len());
            lengths.sum::<u64>()
        };
        let before = length(&folder);
        bench.swap_file(file);
        assert!(!bench.effects.is_shut(), "it is tried again");
        assert!(length(&folder) > before, "what waited is written");
    }

    #[test]
    fn a_postback_that_finds_no_room_in_the_journal_is_not_said_to_be_taken() {
        let mut bench = Bench::new();
        let folder = tempfile::tempdir().unwrap();
        let (options, at) = (Options::default(), Moment::from_millis(0));
        let mut store = Store::open(folder.path(), 1, options, at).unwrap();
        bench.effects.diary = store.lanes.pop().map(Diary::new);
        let mut batches = Batches::new();
        assert!(!bench.post("fits").is_unkept);
        // What is taken down is more than may wait, and the disk takes it all the same.
        let long = "x".repeat(900_000);
        let answers: Vec<_> = (0..12).map(|_| bench.begin_post(&long)).collect();
        bench.effects.flush(&mut batches);
        let heard: Vec<Heard> = answers
            .into_iter()
            .map(|mut one| one.try_recv().unwrap())
            .collect();

        assert!(
            heard
                .iter()
                .all(|heard| heard.is_unkept && heard.taken.is_empty())
        );
        assert!(!bench.post("fits again").is_unkept);
    }

    /// A call that was cut off converts at the next start: what was counted without its end would count twice.
    #[test]
    fn what_a_conversion_counts_against_is_written_down_with_the_end_of_the_call() {
        let mut bench = Bench::new();
        let folder = tempfile::tempdir().unwrap();
        let (options, at) = (Options::default(), Moment::from_millis(0));
        let mut store = Store::open(folder.path(), 1, options, at).unwrap();
        bench.effects.diary = store.lanes.pop().map(Diary::new);
        let (sender, receiver) = sync_channel(1);
        bench.effects.records = Some(Records::to(sender, Arc::clone(&bench.metrics)));
        let mut record = sample().1;
        let (call, ticket) = (record.uuid, Ticket::of_test(1));
        let quota = Quota {
            most: Most {
                total: Some(5),
                ..Most::default()
            },
            on: CapOn::Conversion,
            zone: Zone::utc(),
        };
        let buyer = Buyer {
            rules: Rules {
                quota: Some(Arc::new(quota)),
                ..Rules::default()
            },
            ..Buyer::new("one", Vec::new())
        };
        let buyer = Claimant::Buyer(Arc::new(buyer), None);
        let verdict = bench.effects.reserve(ticket, call, &buyer);
        assert_eq!(verdict, Verdict::Granted);
        let what = CapOn::Conversion;
        let converted = Output::Commit { ticket, call, what };
        bench.effects.perform(clock::now(), converted);
        bench.effects.flush(&mut Batches::new());
        store.keeper.turn(at).unwrap();
        assert_eq!(store.shelf.windows().unwrap(), []);

        record.media = None;
        let ended = Output::Record(Box::new(record));
        bench.effects.perform(clock::now(), ended);
        bench.effects.flush(&mut Batches::new());

        let record = receiver.try_recv().unwrap();
        assert_eq!(record.counted.len(), 1, "{:?}", record.counted);
    }

    #[test]
    fn a_flood_of_failures_is_not_told() {
        let mut bench = Bench::new();
        let (now, mut batches) = (clock::now(), Batches::new());
        let mut told = 0;
        for port in 1..=300 {
            let flow = flow(Transport::Tcp, SocketAddr::from(([192, 0, 2, 1], port)));
            let bytes = Bytes::from_static(b"INVITE");
            bench.effects.perform(now, Output::Transmit { flow, bytes });
            bench.effects.flush(&mut batches);
            told += usize::from(bench.effects.poll_failed(now).is_some());
        }

        assert_eq!(told, 200);
    }

    #[test]
    fn a_request_that_is_too_long_is_told_and_its_flow_stays() {
        let mut bench = Bench::new();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let flow = flow(Transport::Udp, peer.local_addr().unwrap());
        let bytes = Bytes::from(vec![b'x'; 65_508]);
        let (now, sent) = (clock::now(), bytes.clone());
        bench.effects.perform(now, Output::Transmit { flow, bytes });

        bench.effects.flush(&mut Batches::new());

        assert_eq!(bench.effects.poll_unsendable(now), Some(sent));
        assert_eq!(bench.effects.poll_unsendable(now), None);
        assert_eq!(bench.effects.poll_failed(now), None);
        assert!(bench.other.next_letter().is_none());
        bench.effects.publish(0);
        bench.shows("strowger_send_drops_total{why=\"refused\"} 1");
    }

    /// Shard 0 of two, with one port.
    struct Bench {
        effects: Effects,
        own: Inbox,
        other: Inbox,
        metrics: Arc<Metrics>,
        _poll: Poll,
    }

    impl Bench {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            let (own, own_inbox) = inbox(poll.registry(), Token(0)).unwrap();
            let (other, other_inbox) = inbox(Poll::new().unwrap().registry(), Token(1)).unwrap();
            let metrics = Arc::new(Metrics::new());
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let ports = vec![Port::new(socket, ListenerId(0), true)];
            let tally = Tally::new(Arc::clone(&metrics));
            let policy = Arc::new(minimal());
            let guard = Guard::new(clock::now(), [7; 16], (ShardId(0), 2), policy);
            let valve = Valve::new(Overload::default(), clock::now(), 1);
            Self {
                effects: Effects::new(
                    ShardId(0),
                    Ways {
                        ports,
                        lines: None,
                        shards: vec![own.clone(), other],
                        media: None,
                        rtpengine: None,
                        webhooks: WebhookDesk::to_nobody(own.clone()),
                        recall: RecallDesk::alone(own),
                        abroad: AbroadDesk::new(Arc::default()),
                        asker: None,
                    },
                    (None, None),
                    Arc::new(Ledger::default()).till(),
                    guard,
                    valve,
                    tally,
                ),
                own: own_inbox,
                other: other_inbox,
                metrics,
                _poll: poll,
            }
        }

        /// Has the journal written into another file.
        fn swap_file(&mut self, file: Arc<File>) -> Arc<File> {
            let diary = self.effects.diary.as_mut();
            diary.unwrap().lane().swap_file(file)
        }

        /// Somebody says something of a call that this shard has, and waits.
        fn begin_post(&mut self, text: &str) -> oneshot::Receiver<Heard> {
            let uuid = CallUuid::from_bytes([7; 16]);
            let (answer, answered) = oneshot::channel();
            self.effects.begin_post(PostLetter {
                post: Arc::new(Post {
                    about: About::Call(uuid),
                    pass: Pass::of_call("acme".into()),
                    posting: Posting::of_tags(&[("key".into(), text.into())]),
                }),
                answer,
            });
            let taken = [uuid].into_iter().collect();
            let posted = Output::Posted {
                taken,
                is_full: false,
                is_barred: false,
            };
            self.effects.perform(clock::now(), posted);
            answered
        }

        fn post(&mut self, text: &str) -> Heard {
            let mut answered = self.begin_post(text);
            self.effects.flush(&mut Batches::new());
            answered.try_recv().unwrap()
        }

        fn says(&mut self, flow: Flow, text: &'static str) {
            let bytes = Bytes::from_static(text.as_bytes());
            self.effects
                .perform(clock::now(), Output::Transmit { flow, bytes });
        }

        fn shows(&self, line: &str) {
            let text = self.metrics.render();
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    /// Somebody who listens.
    struct Peer {
        socket: UdpSocket,
        flow: Flow,
    }

    impl Peer {
        fn new() -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let flow = flow(Transport::Udp, socket.local_addr().unwrap());
            Self { socket, flow }
        }

        fn heard(&self) -> Vec<String> {
            let mut buffer = [0; 99];
            let texts = std::iter::from_fn(|| {
                let length = self.socket.recv(&mut buffer).ok()?;
                Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
            });
            texts.collect()
        }
    }

    fn minimal() -> Policy {
        let source = Texts::of("minimal.toml", include_str!("../../conf/minimal.toml"));
        let settings = config::load(Path::new("minimal.toml"), &source, 1);
        settings.map(|settings| settings.policy).unwrap()
    }

    fn flow(transport: Transport, remote: SocketAddr) -> Flow {
        Flow {
            transport,
            listener: ListenerId(0),
            remote,
            peer: PeerId::NOBODY,
        }
    }
}
