// Package holder keeps the descriptors of devices in a process of its own, so that
// they outlive the daemon that serves them: kernel and file systems wait meanwhile,
// and what the daemon had not answered is asked again of the next one.
//
//	daemon ── keep, forget ──▶ [ holder ] ── all that it has ──▶ the next daemon
//	            over a unix socket, descriptors beside it
//
// Run is that process: it serves one daemon at a time, the one that connected last. It
// knows by a pidfd when a daemon is really dead, and gives nothing away before: two
// must never read from one descriptor. It ends when its daemon left and it has nothing,
// or when for long none came; then it has what it keeps removed. Keeper is the
// daemon's end of it; it starts the process when there is something to keep. Messages
// are small values in JSON with a version, so that a daemon of another version is
// understood: the holder outlives an upgrade.
package holder
