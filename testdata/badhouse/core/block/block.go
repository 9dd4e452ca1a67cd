// Package block imports what only it may, and one thing of ours, which no noun
// may.
package block

import (
	"sync/atomic"

	"example.com/badhouse/core/invariant"
	"example.com/badhouse/core/mystery" // want "core/block may not import core/mystery"
)

// Refs counts.
type Refs struct{ n atomic.Int32 }

// Secret uses its imports.
func (r *Refs) Secret() int {
	invariant.That(true)
	return mystery.Secret
}
