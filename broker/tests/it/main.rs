//! The broker as a program: real processes, real sockets, one test binary.
