//! The FHIR RESTful API over HTTP: routes, negotiation, tokens, headers, answers.
//!
//! A request goes through one function, `serve::serve`: limits, the route ([`routes::ROUTES`]), the form of the answer, the token,
//! then the handler of the route's action, which calls one interaction and turns its outcome into an answer. There are no
//! layers around it, so that a read costs little more than HTTP itself; CORS is a layer and there only when it is set.
//!
//! Every refusal is an OperationOutcome. What a client sends is never a 5xx.
//!
//! A tenant other than the token's is answered as one that is not there (404), whether it is or not: a token tells its
//! holder nothing about other tenants. `metadata` and `.well-known/smart-configuration` need no token and say the same for
//! every well-formed tenant id, for the same reason.
//!
//! Deliberately absent: what interactions do, stores, listening, TLS.

mod address;
mod answer;
mod audit;
mod body;
mod call;
mod error;
mod handlers;
mod measures;
mod negotiation;
mod prefer;
mod quota;
pub mod routes;
mod serve;
mod state;
mod tenancy;

pub use quota::NodeQuotas;
pub use serve::router;
pub use state::{ApiState, Settings};
