// Package storetest puts a store (core/store) on a simulated disk (sim/disk),
// plays scripts against it, crashes it wherever a crash can find another state,
// and judges what is found afterwards by an oracle.
//
//	script ──▶ Machine { store ⇄ disk, oracle } ──every I/O boundary──▶ fork ─▶ crash ─▶ open ─▶ check ─▶ go on
//
// The oracle keeps, per replica, the list of acts that its journal has to
// remember. Whatever happens, a replica must be what a prefix of its acts made
// of it: at least the durable ones after a power loss, at least the accepted
// ones after a kill. Its callers are the tests of this package.
package storetest
