//! The machine under a scripted transport: every row of its state table, every split of its input, every short write.

mod bodies;
mod budgets;
mod closing;
mod handler;
mod replies;
mod script;
mod splits;
mod states;
