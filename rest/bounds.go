package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lagan-storage/lagan/core/volume"
)

// How many expensive requests one node has under way at once; the next one is
// answered busy. Streams and followers may last for as long as their client
// likes, so that nobody waits for their end.
const (
	// streamsMax: each reader or writer of blocks has a buffer of 1 MiB, and a few
	// of them fill a disk or a network.
	streamsMax = 32
	// changesMax: each plans over all that is recorded, or waits for copies, or
	// makes a file system.
	changesMax = 64
	// changesWaitingMax: a burst waits instead of being refused, each with a body of
	// at most 1 MiB.
	changesWaitingMax = 256
	// listsMax: each holds something of every volume, with 100,000 of them a quarter
	// of a GiB.
	listsMax = 2
	// listsWaitingMax: they take their turn soon, and cost nothing meanwhile.
	listsWaitingMax = 510
	// followersMax: each is told every event.
	followersMax = 128
)

// bounds are the places of all kinds of expensive requests.
type bounds struct{ streams, changes, lists, followers *places }

func newBounds() bounds {
	return bounds{
		streams:   newPlaces("readers and writers of blocks", streamsMax, 0),
		changes:   newPlaces("creations and attachments of volumes", changesMax, changesWaitingMax),
		lists:     newPlaces("lists of all volumes", listsMax, listsWaitingMax),
		followers: newPlaces("streams of events", followersMax, 0),
	}
}

// places lets a bounded number in.
type places struct {
	what    string
	inside  chan struct{} // an entry for each
	waiting chan struct{} // an entry for each, those inside too
}

func newPlaces(what string, most, waitingMax int) *places {
	return &places{what, make(chan struct{}, most), make(chan struct{}, most+waitingMax)}
}

// enter returns once there is a place, which leave gives back. It returns an
// error if there is none and enough wait for one, or when ctx ends.
func (p *places) enter(ctx context.Context) (leave func(), _ error) {
	select {
	case p.waiting <- struct{}{}:
	default:
		return nil, p.busy()
	}
	select {
	case p.inside <- struct{}{}:
		return func() { <-p.inside; <-p.waiting }, nil
	case <-ctx.Done():
		<-p.waiting
		return nil, p.busy()
	}
}

func (p *places) busy() error {
	return &volume.Error{
		Kind: volume.ErrBusy,
		What: fmt.Sprintf("this node has %d %s under way, as many as it takes", cap(p.inside), p.what),
		Fix:  "try again in a moment, or ask another node",
	}
}

// bounded lets a bounded number of expensive requests be carried out at once.
func (s *server) bounded(c *gin.Context) {
	var p *places
	switch method := c.Request.Method; {
	case c.FullPath() == blocksPath || c.FullPath() == backupPath:
		p = s.bounds.streams
	case method == http.MethodPut && (c.FullPath() == volumePath || c.FullPath() == attachmentPath || c.FullPath() == exportPath):
		p = s.bounds.changes
	case method == http.MethodGet && slices.Contains([]string{"/v1/volumes", "/v1/status", "/v1/alerts", "/v1/nodes/:id/absence"}, c.FullPath()):
		p = s.bounds.lists
	default:
		return
	}
	leave, err := p.enter(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	defer leave()
	c.Next()
}

// unhurried takes the server's deadline from answers that are as long as those
// who listen want. A server without one does not mind.
func (s *server) unhurried(c *gin.Context) {
	if path := c.FullPath(); path == eventsPath || path == blocksPath || path == backupPath {
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{})
	}
}
