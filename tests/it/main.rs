//! Integration tests, one binary: each module one subject.

mod conf;
mod corpus;
