//! Facts about the behaviour of a whole server, over HTTP. One binary; a module a subject.
