// Package sim is the simulated world: the other body of the core that runs in
// production. One seed decides everything, event by event, so that a failure
// found once is found again.
//
//	Plan (from a seed) ──▶ World: nodes, network, disks, metadata, clients, faults
//	                         │ safety phase, healing, liveness phase, read-back
//	                         ▼
//	                  oracles + linearizability ──▶ Report: hash, marks, violation
//
// It owns time (a heap of events in virtual nanoseconds), every random choice
// (labelled streams, so that removing one fault leaves the others' draws as
// they were), what a process, a host, a disk and a wire do when they break, and
// the knowledge of which losses are legal. It owns no protocol: machines come
// from core/node, and everything they do goes through their effects.
//
// Its callers are its own tests and, through sim/swarm, the command lagan sim.
package sim
