// Package nbd serves volumes to block clients of any kind: virtual machines,
// backup and conversion programs, benches, and the kernel's own client.
//
//	qemu, nbdcopy, fio, nbd-client …
//	       │ NBD: a unix socket, or TCP with TLS
//	   Server ── haggling ──▶ Export
//	       │ one reader a connection     ▲ finished requests gather; whoever finds
//	       ▼                             │ nobody sending sends them all at once
//	   device.Backend ── Done ───────────┘
//
// A request is started by the goroutine that read it, and nothing is allocated
// for it. Replies go out on the goroutine that finished the request, as far as
// the socket takes them without waiting; the rest is left to the connection's
// writer, so that a client which does not read holds up nobody but itself.
//
// It owns its connections and promises that a client can harm only its own: what
// it may have under way is bounded in number and bytes, its haggling in time, and
// what it does not read in time ends its connection. An export that is closed has
// no connection any more and calls its backend never again, but for requests that
// were started before. The use cases of a node call it, through cmd/lagan; the
// bytes are those of plugin/device/nbd/wire.
package nbd
