package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/lagan-storage/lagan/core/metadata"
)

// Position is a point in the life of one cluster's store. A store whose
// position is not what a node has seen before, or later, was restored from a
// backup: what it says about volumes may be older than what they are.
type Position struct {
	Cluster  uint64            `json:"cluster"` // etcd's cluster id
	Revision metadata.Revision `json:"revision"`
}

// Follows reports whether a store that was at earlier can be at p.
func (p Position) Follows(earlier Position) bool {
	return earlier == Position{} || p.Cluster == earlier.Cluster && p.Revision >= earlier.Revision
}

func (p Position) String() string { return fmt.Sprintf("%x@%d", p.Cluster, p.Revision) }

// positions is what a store has shown of itself.
type positions struct {
	mu       sync.Mutex
	highest  Position
	restored bool
	from, to Position // the first step back
}

func (p *positions) read() Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.highest
}

// witness notes the position of an answer. before is the highest one known when
// the answer was asked for: a linearizable answer is never behind it.
func (s *Store) witness(before, now Position) {
	p := &s.positions
	p.mu.Lock()
	first := !now.Follows(before) && !p.restored
	if first {
		p.restored, p.from, p.to = true, before, now
	}
	if now.Follows(p.highest) {
		p.highest = now
	}
	p.mu.Unlock()
	if first {
		s.params.Logger.Error("metadata store went back in time",
			slog.String("known", before.String()), slog.String("now", now.String()))
	}
}

// Position asks the store where it is.
func (s *Store) Position(ctx context.Context) (Position, error) {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	at, err := s.linearize(ctx)
	if err != nil {
		return Position{}, fmt.Errorf("ask the metadata store for its revision: %w", err)
	}
	return at, nil
}

// Highest returns the highest position known: Params.Known, or what answers
// showed since. The node persists it. After a step back it does not rise any more
// until the store passes it.
func (s *Store) Highest() Position { return s.positions.read() }

// Restored reports whether an answer showed that the store went back behind a
// position that was known before, and the two positions.
func (s *Store) Restored() (from, to Position, restored bool) {
	s.positions.mu.Lock()
	defer s.positions.mu.Unlock()
	return s.positions.from, s.positions.to, s.positions.restored
}
