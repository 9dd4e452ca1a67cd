// Package etcd is the metadata store of a cluster: it runs a member of an etcd
// cluster inside the node (Member), or uses one that others run, and gives the
// node one client for both (Store).
//
//	core ──Txn──▶ Store.Do ────▶ one etcd transaction ──▶ Applied | Refused | Unknown
//	core ◀─Update─ Store.Watch ◀─ list at a revision, then every change after it
//	               Store        ── keeps the node's lease alive; leased keys come back with it
//
// What it promises:
//
//   - Every try has a deadline. A read is tried again, on the next endpoint,
//     until the caller's context ends.
//   - A write is sent again only when it is certain that it was never applied:
//     it did not leave this process, or a server refused it before proposing it.
//     Every other failure of a write is reported as Unknown and never hidden.
//   - A watch delivers first the whole content at a revision, then the changes
//     in revision order, none missing and none twice, across broken connections,
//     changes of leader and members that stop. When the store has forgotten the
//     revisions in between, it delivers the whole content again.
//   - A store that went back in time (a backup was restored) is noticed: see Position.
//
// No safety rests on a lease: it says who is heard from, nothing else.
//
// The body of a node (core/host) drives it and cmd composes it. This is the only
// package that knows etcd. An external etcd must be 3.5.8 or newer: older ones
// announce progress of a watch ahead of its changes.
package etcd
