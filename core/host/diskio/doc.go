// Package diskio performs the disk operations that a machine asks for, on a raw
// block device or one preallocated file. It owns the descriptor and the
// goroutines that wait for the kernel; it promises that every operation
// completes once, and that a sync covers the writes that had completed when it
// was submitted. core/host gives each disk's shard a Queue.
//
//	Submit ─▶ reads, writes ─▶ [ ring workers ]     many at once, one system call for all
//	      └─▶ syncs ─────────▶ [ blocking workers ] one at a time each
//	                                 │ completions
//	                                 ▼
//	                            Deliver: the machine steps, on the worker's goroutine
//	                                 └─▶ what it asks for next stays with that worker
//
// Rings are io_uring. Where the kernel has none, or forbids it as container
// engines do, blocking workers perform everything.
package diskio
