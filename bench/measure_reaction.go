package bench

import (
	"context"
	"fmt"
	"sync"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// benchPrefix is the part of the metadata store that the benches write: nobody
// watches it.
const benchPrefix = "/bench/"

// reactions is how often a node's reaction is measured.
const reactions = 20

// measureReaction measures how soon a node does what another one has recorded: a
// volume whose one copy is on the last node is deleted by way of the first. The
// last node hears of it, has its disk free the copy and takes the volume's
// records away, which is seen here.
func (m *management) measureReaction(ctx context.Context) (load.Figures, error) {
	seen := &sightings{clock: m.Clock, at: map[string]step.Time{}, more: make(chan struct{})}
	watching, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = m.store.Watch(watching, volume.Prefix, seen.note) }) // ends with end
	defer running.Wait()
	defer end()
	write, err := m.measureTransaction(ctx)
	if err != nil {
		return nil, err
	}
	last := managed()[len(managed())-1]
	var whole, request []load.Figures
	for i := range reactions {
		name := fmt.Sprintf("brief-%d", i)
		v, err := m.first().Create(ctx, name, map[string]string{"size": "64KiB", "fs": "none", "replicas": "1", "nodes": last}, false)
		if err != nil {
			return nil, err
		}
		id, _ := volume.ParseVolumeID(v.ID)
		begin := m.Clock()
		if err := m.first().Delete(ctx, name); err != nil {
			return nil, err
		}
		request = append(request, load.Figures{load.P50: m.Clock().Sub(begin).Seconds() * 1e6})
		gone, err := seen.await(ctx, volume.ConfigKey(id))
		if err != nil {
			return nil, err
		}
		whole = append(whole, load.Figures{load.P50: gone.Sub(begin).Seconds() * 1e6})
	}
	f := load.Medians(whole)
	asked := load.Medians(request)[load.P50]
	m.printSum("where a reaction goes (p50): from the request to the record that another node has acted", f[load.P50],
		"watch, the copy freed in its disk's journal, watch again",
		term{asked, "the request, with the transaction that says what is wanted"}, term{write, "the transaction of the node that acted"})
	return f, nil
}

// sightings is what a watch has seen.
type sightings struct {
	clock func() step.Time

	mu   sync.Mutex           // guards what follows
	at   map[string]step.Time // when a key was seen to be deleted
	more chan struct{}        // closed and replaced with every update
}

func (s *sightings) note(u metadata.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range u.Changes {
		if u.Changes[i].Deleted {
			s.at[u.Changes[i].Key] = s.clock()
		}
	}
	close(s.more)
	s.more = make(chan struct{})
}

func (s *sightings) await(ctx context.Context, key string) (step.Time, error) {
	for {
		s.mu.Lock()
		gone, ok := s.at[key]
		more := s.more
		s.mu.Unlock()
		if ok {
			return gone, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
