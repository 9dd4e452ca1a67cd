package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/lagan-storage/lagan/core/metadata"
)

// watchSilenceMax is how many requests for progress a stream may leave without
// any answer: its member is cut off, or behind all others.
const watchSilenceMax = 3

var (
	// errTooOld: the store has forgotten what came after the watch's position.
	errTooOld = errors.New("the store has forgotten the revisions in between")
	// errSilent: nothing came on the stream for watchSilenceMax × Params.Progress.
	errSilent = errors.New("the watch went silent")
)

// watch is one watch of the store, across the streams that carry it.
//
//	list ──▶ at a revision ──▶ stream of changes ──▶ broken: another endpoint, from the same revision
//	  ▲                                │
//	  └── too old, or another store ◀──┘
//
// Invariant: everything up to and including at was delivered, nothing after it.
type watch struct {
	store   *Store
	prefix  string
	deliver func(metadata.Update)
	at      Position // Revision 0: a list comes next
}

// Watch delivers the content below prefix and then every change to it until ctx
// or the store ends; it returns what ended it. deliver is called from one
// goroutine; while it works, the watch waits. An update without changes says
// that there were none up to its revision.
func (s *Store) Watch(ctx context.Context, prefix string, deliver func(metadata.Update)) error {
	return s.watch(ctx, &watch{store: s, prefix: prefix, deliver: deliver})
}

// WatchAfter is Watch for a caller that knows the content at a position: it
// begins with the changes after it, or with the content if the store has
// forgotten them or is another one.
func (s *Store) WatchAfter(ctx context.Context, prefix string, after Position, deliver func(metadata.Update)) error {
	return s.watch(ctx, &watch{store: s, prefix: prefix, deliver: deliver, at: after})
}

func (s *Store) watch(ctx context.Context, w *watch) error {
	ctx, cancel := s.scope(ctx)
	defer cancel()
	for tries := 0; ctx.Err() == nil; tries++ {
		before := w.at
		e, turn := s.endpoints.pick()
		err := w.follow(ctx, e)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errTooOld):
			w.at = Position{}
		default:
			s.endpoints.failed(turn)
			s.params.Logger.Warn("metadata watch interrupted",
				slog.String("prefix", w.prefix), slog.String("endpoint", e.url), slog.Any("error", err))
			if w.at != before {
				tries = 0
			}
			s.rest(ctx, tries)
		}
	}
	return fmt.Errorf("watch %s: %w", w.prefix, ctx.Err())
}

// follow lists if it must, and then carries changes over one stream until it
// breaks.
func (w *watch) follow(ctx context.Context, e *endpoint) error {
	if err := w.place(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	stream, err := pb.NewWatchClient(e.client.ActiveConnection()).Watch(ctx, grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		cancel(nil)
		return err
	}
	var prompter sync.WaitGroup
	defer prompter.Wait()
	defer cancel(nil)
	// From at, not from after it: a watch of a revision still to come is not
	// told of progress. What it repeats is left out in onEvents.
	err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key:            []byte(w.store.key(w.prefix)),
		RangeEnd:       []byte(clientv3.GetPrefixRangeEnd(w.store.key(w.prefix))),
		StartRevision:  int64(w.at.Revision),
		ProgressNotify: true,
	}}})
	if err != nil && !errors.Is(err, io.EOF) { // EOF: Recv knows why
		return err
	}
	var heard atomic.Int64
	prompter.Go(func() { w.prompt(ctx, stream, &heard, cancel) })
	for {
		response, err := stream.Recv()
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		heard.Add(1)
		if err := w.onResponse(response); err != nil {
			return err
		}
	}
}

// place makes sure that the store is the one the watch has followed, and lists
// it if the watch has no position in it.
func (w *watch) place(ctx context.Context) error {
	if w.at.Revision != 0 {
		now, err := w.store.linearize(ctx)
		if err != nil {
			return err
		}
		if now.Follows(w.at) {
			return nil
		}
	}
	for {
		update, at, err := w.store.list(ctx, w.prefix)
		switch {
		case errors.Is(err, rpctypes.ErrCompacted):
			continue // it took longer than the store remembers: ctx bounds it
		case err != nil:
			return err
		}
		w.at = at
		w.deliver(update)
		return nil
	}
}

// onResponse takes what the stream brought.
func (w *watch) onResponse(r *pb.WatchResponse) error {
	switch {
	case r.CompactRevision != 0:
		return errTooOld
	case r.Canceled:
		return fmt.Errorf("the store ended the watch: %s", r.CancelReason)
	case r.Header.ClusterId != w.at.Cluster:
		return fmt.Errorf("cluster id %x instead of %x: %w", r.Header.ClusterId, w.at.Cluster, errTooOld)
	case r.Created:
		// Its revision says nothing about what is still to come.
	case len(r.Events) == 0:
		w.onProgress(metadata.Revision(r.Header.Revision))
	default:
		w.onEvents(r.Events)
	}
	return nil
}

// onProgress notes that nothing is missing up to revision.
func (w *watch) onProgress(revision metadata.Revision) {
	if revision > w.at.Revision {
		w.reach(revision)
		w.deliver(metadata.Update{Revision: revision})
	}
}

// onEvents delivers the changes that are new. All changes of a revision come in
// one response.
func (w *watch) onEvents(events []*mvccpb.Event) {
	var update metadata.Update
	for _, event := range events {
		if metadata.Revision(event.Kv.ModRevision) <= w.at.Revision {
			continue
		}
		change := metadata.Change{Item: w.store.item(event.Kv), Deleted: event.Type == mvccpb.Event_DELETE}
		update.Changes = append(update.Changes, change)
		update.Revision = change.Revision
	}
	if len(update.Changes) > 0 {
		w.reach(update.Revision)
		w.deliver(update)
	}
}

// reach notes that the watch is at revision. A member may be behind the others,
// so this proves nothing about a step back, but the revision was seen.
func (w *watch) reach(revision metadata.Revision) {
	w.at.Revision = revision
	w.store.witness(Position{}, w.at)
}

// prompt asks for progress now and then, and ends a stream that does not answer.
func (w *watch) prompt(ctx context.Context, stream pb.Watch_WatchClient, heard *atomic.Int64, end context.CancelCauseFunc) {
	ask := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	seen := heard.Load()
	for silent := 0; ; silent++ {
		pause(ctx, w.store.params.Progress)
		if ctx.Err() != nil {
			return
		}
		if now := heard.Load(); now != seen {
			seen, silent = now, 0
		}
		if silent >= watchSilenceMax {
			end(errSilent)
			return
		}
		if err := stream.Send(ask); err != nil {
			return // Recv knows why
		}
	}
}
