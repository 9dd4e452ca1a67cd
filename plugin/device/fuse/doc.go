// Package fuse shows a volume as a block device: a FUSE file system of a single
// file, and a loop device on that file.
//
//	file system, container
//	       │ bio
//	   /dev/loopN      direct I/O, 4096-byte sectors, cleared with its last user
//	       │ FUSE_READ, FUSE_WRITE, FUSE_FSYNC, FUSE_FALLOCATE
//	   <dir>/<volume>  the one file, its own mount
//	       │ /dev/fuse
//	   readers ──▶ device.Backend ──▶ reply
//
// The server is written against the raw protocol, not a library: a payload is
// read straight into memory that a disk takes by direct I/O, a reply is one
// writev by whoever completes the request, and a later version can hand the
// descriptor of /dev/fuse to its successor.
//
// The package owns the mounts of type fuse.lagan below the directory it is
// given, the loop devices on them, and nothing else: several daemons with
// directories of their own share a machine. Nobody but the use cases of a node
// calls it. It promises that Abort and Cleanup get rid of a device whoever
// hangs, and that no thread of the serving process waits for the device's I/O:
// such a thread would keep a killed process from ending, and with it the
// connection that it waits for.
package fuse
