//! Integration tests, one binary: each module one subject.

mod corpus;
mod replay;
