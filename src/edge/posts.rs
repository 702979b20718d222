//! What others say of calls, on its way to the shards and back: the one that has the call takes it, writes it down, and says so.
//!
//! ```text
//!   http ── letter ──> every shard ── Posted ──> engine ── taken ──> journal, committed ──> answer
//! ```

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::edge::diary::Diary;
use crate::hooks::postback::Post;
use crate::net::clock;
use crate::types::ids::CallUuid;

/// One question to one shard.
pub(super) struct PostLetter {
    pub(super) post: Arc<Post>,
    /// Dropped without a word: the shard is gone.
    pub(super) answer: oneshot::Sender<Heard>,
}

/// What a shard says to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Its calls that it is taken for.
    pub(super) taken: SmallVec<[CallUuid; 1]>,
    /// A call of its that is meant has had too much of it.
    pub(super) is_full: bool,
    /// A call of its that is meant is out of reach.
    pub(super) is_barred: bool,
    /// What was taken could not be written down, or nothing can: it counts for nobody who is not told that it does.
    pub(super) is_unkept: bool,
}

impl PostLetter {
    /// Says that nothing can be written down; the engine has not heard of it.
    pub(super) fn refuse(self) {
        // Whoever asked may have stopped waiting.
        let _ = self.answer.send(Heard::UNKEPT);
    }
}

impl Heard {
    const UNKEPT: Self = Self {
        taken: SmallVec::new_const(),
        is_full: false,
        is_barred: false,
        is_unkept: true,
    };
}

/// A shard's questions that are not answered yet.
#[derive(Default)]
pub(super) struct Posts {
    /// The one that the engine has.
    current: Option<PostLetter>,
    /// Those that wait until what was taken is written down.
    taken: Vec<(oneshot::Sender<Heard>, Heard)>,
}

impl Posts {
    /// The engine is about to be told.
    pub(super) fn begin(&mut self, letter: PostLetter) {
        self.current = Some(letter);
    }

    /// The engine's answer: what was taken is written down.
    pub(super) fn take(&mut self, heard: Heard, diary: Option<&mut Diary>) {
        let Some(PostLetter { post, answer }) = self.current.take() else {
            return;
        };
        if let Some(diary) = diary {
            diary.post(clock::moment(), &heard.taken, &post.posting);
        }
        self.taken.push((answer, heard));
    }

    /// What was taken is written down, or could not be.
    pub(super) fn settle(&mut self, is_kept: bool) {
        for (answer, heard) in self.taken.drain(..) {
            let is_told = is_kept || heard.taken.is_empty();
            // Whoever asked may have stopped waiting.
            let _ = answer.send(if is_told { heard } else { Heard::UNKEPT });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::keys::Pass;
    use crate::hooks::postback::{About, Posting};

    #[test]
    fn nobody_is_told_before_it_is_written_down() {
        let mut posts = Posts::default();
        let mut kept = ask(&mut posts, true);
        assert!(kept.try_recv().is_err(), "not yet");
        posts.settle(true);
        assert_eq!(kept.try_recv().map(|heard| heard.taken.len()), Ok(1));

        let mut lost = ask(&mut posts, true);
        let mut not_here = ask(&mut posts, false);
        posts.settle(false);
        assert_eq!(lost.try_recv(), Ok(Heard::UNKEPT));
        assert_eq!(not_here.try_recv(), Ok(Heard::default()));
    }

    /// What the shard says that is asked.
    fn ask(posts: &mut Posts, has_the_call: bool) -> oneshot::Receiver<Heard> {
        let uuid = CallUuid::from_bytes([7; 16]);
        let (answer, answered) = oneshot::channel();
        posts.begin(PostLetter {
            post: Arc::new(Post {
                about: About::Call(uuid),
                pass: Pass::of_call("acme".into()),
                posting: Posting::default(),
            }),
            answer,
        });
        let taken = has_the_call.then_some(uuid).into_iter().collect();
        let heard = Heard {
            taken,
            ..Heard::default()
        };
        posts.take(heard, None);
        answered
    }
}
