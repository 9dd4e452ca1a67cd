package usecase

import (
	"context"

	"github.com/lagan-storage/lagan/core/volume"
)

// Events returns what has happened in the cluster as this node saw it: at most
// limit events after that of number after (0: from the oldest that is kept), in
// their order. With wait it returns as soon as there is one, or with an error
// when ctx ends. When events after that number are not kept any more the error
// is volume.ErrEventsGone: nothing is left out silently. See host.Events.
func (n *Node) Events(ctx context.Context, after uint64, limit int, wait bool) ([]volume.Event, error) {
	return n.p.Host.Events(ctx, after, limit, wait)
}

// EndEvents ends all waiting for events: the node is about to stop.
func (n *Node) EndEvents() { n.p.Host.EndEvents() }
