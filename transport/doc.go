// Package transport carries messages between nodes: the interface that the
// production network and the simulated one both implement, the frame that a
// message becomes on the wire, and its codec. core/host is its only caller;
// transport/tcp is the production implementation.
//
// It promises: messages of one connection arrive in the order they were sent,
// each whole and verified or not at all; what it reads from a peer is bounded
// before it is believed; and no byte of a payload is copied to be sent.
//
// # Frame
//
// All numbers are little endian.
//
//	 0        4    5    6      7      8          12         16
//	├─ magic ─┼ ver┼kind┼status┼ zero ┼─ fields ─┼─ extlen ─┤
//	│ "LAGN"  │ u8 │ u8 │  u8  │  u8  │   u32    │   u32    │
//	├─────────┴────┼────┴──────┴──────┴──────────┴──────────┤ 16
//	│ payload  u32 │ crc u32  │          request u64         │
//	├──────────────┴──────────┼──────────────────────────────┤ 32
//	│         era u64         │            seq u64           │
//	├─────────────────────────┼──────────────────────────────┤ 48
//	│      committed u64      │          stable u64          │
//	├─────────────────────────┴──────────────────────────────┤ 64
//	│ extension: the groups that fields names, in bit order  │
//	├────────────────────────────────────────────────────────┤ 64 + extlen
//	│ payload: at most one chunk, into a slab of the pool     │
//	└────────────────────────────────────────────────────────┘
//
// The extension holds whatever of a message does not fit the header. Bit i of
// fields says that group i of this table follows; a group whose values are all
// zero is left out, so every message travels whole whatever its kind:
//
//	bit  group            bytes
//	 0   Until            8
//	 1   Accepted         16: accepted, durable
//	 2   Credit           5: credit u32, pressure u8
//	 3   Duration         8: nanoseconds, not negative
//	 4   Position         16: era, seq
//	 5   Range            12: first u64, count u32
//	 6   Record           31 + 4n: position, op u8, fua u8, range, checksums;
//	                      of SNAP and DELSNAP 16 more before those: layer, parent; of RESIZE 8: blocks
//	 7   Chunk            8
//	 8   LastSeq          8
//	 9   Since            8
//	10   Resync           8
//	11   Cursor           8
//	12   Present          4: present u16, zero u16
//	13   Checksums        1 + 4n: count u8, then the checksums without trailing zeroes
//	14   Promise          105: incarnation, boot id 16, flags u8 (1 tainted, 2 complete),
//	                      last accepted 16, durable, stable, sync target 16, known epoch, blocks, grant remaining
//	15   Changes          4 + 16n: count u32, then (chunk, last seq)
//	16   Layer            8
//	17   Layers           4 + 41n: count u32, then (id, parent, closed 16, deleted u8, blocks)
//
// crc is the crc32c of the header with crc zero, the extension, and the payload
// of a REPAIR. The payload of APPEND, TAIL, DATA, PUSH and PULLED is covered by
// the checksums of its blocks instead, which are end to end from coordinator to
// disk: those of Record for APPEND and TAIL, of Range for DATA, and of the
// blocks in Present, each at its place in the chunk, for PUSH and PULLED; blocks
// in Zero too are lost and have none. Other
// kinds have no payload. The Reader verifies all of it.
//
// # Handshake
//
// Every connection begins with two frames whose layout never changes, so that
// nodes of different versions can tell each other why they part:
//
//	dialler                                        acceptor
//	   │ HELLO(version, node, volume, replica, …) ───▶ │ node = certificate's?
//	   │ ◀──── WELCOME(version, node) or DENIED(text)  │ version, replica known?
//
// HELLO is kind 0xf0 with an extension of version u16, node, volume, disk and
// replica 16 each, session u64, number u64, purpose u8; WELCOME 0xf1 with
// version u16 and node 16; DENIED 0xf2 with version u16 and a text of at most
// 512 bytes. The version in them is that of the messages.
package transport
