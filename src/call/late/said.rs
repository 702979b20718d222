//! Which tags postbacks have given a call that is over.

use crate::call::late::Late;
use crate::hooks::postback::Posting;

impl Late {
    /// Whether postbacks have said no more than so many values of tags, with what this one says.
    #[must_use]
    pub fn has_room(&self, posting: &Posting, most: usize) -> bool {
        let new = posting.pairs().filter(|pair| !self.has_said(*pair));
        self.since.tags.len() + new.count() <= most
    }

    /// Takes down what this one says.
    pub(super) fn note_said(&mut self, posting: &Posting) {
        for (key, value) in posting.pairs() {
            if !self.has_said((key, value)) {
                self.since.tags.push((key.into(), value.into()));
            }
        }
    }

    fn has_said(&self, (key, value): (&str, &str)) -> bool {
        let mut said = self.since.tags.iter();
        said.any(|(one, other)| (&**one, &**other) == (key, value))
    }
}
