// Package tcp is the production transport: messages between nodes over TCP with
// mutual TLS 1.3, on one port of a node for all its connections. core/host runs
// it. Plain TCP is there for benchmarks and closed networks, and only if asked
// for by name.
//
//	dialler                                     acceptor
//	   │ TCP, keepalive, no delay ────────────────▶ │ at most PendingMax in handshake
//	   │ ◀── TLS 1.3, both sides by certificate ──▶ │
//	   │ HELLO ───────────────────────────────────▶ │ node = certificate's, version, Acceptor
//	   │ ◀───────────────────────── WELCOME | DENIED│ all of it within Handshake
//	   │ ◀═══════════════ messages ═══════════════▶ │
//
// Sending combines: Send queues, and whoever calls Flush while nobody writes
// becomes the writer for everybody, so that there is no hand-over between
// goroutines at queue depth 1 and one system call for many messages above it.
// The writer never waits for the network: what the socket does not take at
// once is left to a goroutine that lives until the queue is empty.
//
//	Send ─▶ queue ──Flush: nobody writes?──▶ writev ──all taken, queue empty──▶ idle
//	                                           │ socket full, or too long
//	                                           ▼
//	                                   goroutine: waits, writes on ──queue empty──▶ idle
//
// Receiving reads up to 256 KiB at once, verifies each frame and calls the
// Handler on the connection's one goroutine; before it waits for more it says
// BatchEnd.
package tcp
