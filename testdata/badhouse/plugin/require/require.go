// Package require is for tests.
package require

// Root is here to be called.
func Root(any) {}
