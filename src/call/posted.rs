//! What others say of a call while it lasts (seed 004, "asynchronously via postback"): it becomes tags, which the next decision knows;
//! what it says of the conversion counts at the end; and its webhooks fire.

use std::time::Instant;

use smallvec::SmallVec;

use crate::call::Engine;
use crate::call::core::Core;
use crate::call::output::Output;
use crate::call::rescue::tripwire;
use crate::call::story::{Delivery, Story};
use crate::hooks::postback::{MOST_POSTS, Post, Posting};
use crate::hooks::trigger::Trigger;
use crate::types::tag::Origin;

impl Engine {
    /// Somebody who may says something of calls.
    pub(super) fn handle_post(&mut self, now: Instant, post: &Post) {
        let mut taken = SmallVec::new();
        let (mut is_full, mut is_barred) = (false, false);
        for key in self.registry.meant(post.about) {
            let Some(call) = self.registry.call(key) else {
                continue;
            };
            tripwire("posted");
            let uuid = call.uuid;
            // One whose record is written is over.
            let story = call
                .record
                .as_mut()
                .and_then(|record| record.story.as_mut());
            match story {
                Some(story) if !reaches(post, story) => is_barred = true,
                Some(story) if story.posts >= MOST_POSTS => is_full = true,
                Some(story) => {
                    story.take_post(now, &mut self.core, &post.posting);
                    taken.push(uuid);
                }
                None => {}
            }
        }
        self.core.output(Output::Posted {
            taken,
            is_full,
            is_barred,
        });
    }
}

fn reaches(post: &Post, story: &Story) -> bool {
    let facts = &story.facts;
    post.pass.reaches(&facts.company, &facts.campaign.id)
}

impl Story {
    fn take_post(&mut self, now: Instant, core: &mut Core, posting: &Posting) {
        self.posts += 1;
        // What was refused is told to whoever says it, by who has read it.
        let _ = self.course.change(
            core.moment(now),
            &mut self.facts.tags,
            self.recall.as_deref(),
            |tags| posting.apply(Origin::Postback, tags),
        );
        self.posted.update(&posting.posted);
        // Its webhooks see what postbacks have said; whether that counts is found out at the end.
        self.show_posted();
        let mut deliveries: Vec<Delivery> = Vec::new();
        for webhook in self.due(core, now, Trigger::Postback) {
            deliveries.extend(self.queue(now, &webhook));
        }
        self.hide_posted();
        if !deliveries.is_empty() {
            core.output(Output::Deliver {
                uuid: self.facts.uuid,
                deliveries,
            });
        }
    }

    fn show_posted(&mut self) {
        let posted = self.posted;
        self.progress.converted = posted.is_conversion();
        self.progress.payout = posted.payout.map(|amount| amount.to_string().into());
        self.progress.revenue = posted.revenue.map(|amount| amount.to_string().into());
    }

    fn hide_posted(&mut self) {
        self.progress.converted = None;
        self.progress.payout = None;
        self.progress.revenue = None;
    }
}
