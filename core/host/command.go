package host

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// answers joins the commands given to the orchestrator with who waits.
type answers struct {
	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan volume.Answer
}

func (a *answers) expect() (id uint64, answer chan volume.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	answer = make(chan volume.Answer, 1)
	a.waiting[a.last] = answer
	return a.last, answer
}

func (a *answers) forget(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

func (a *answers) settle(answer volume.Answer) {
	a.mu.Lock()
	waiting := a.waiting[answer.ID]
	delete(a.waiting, answer.ID)
	a.mu.Unlock()
	if waiting != nil {
		waiting <- answer
	}
}

// Command has the orchestrator carry out one command of a user. When ctx ends
// first, the command may still be carried out.
func (h *Host) Command(ctx context.Context, c volume.Command) (volume.Answer, error) {
	id, answer := h.answers.expect()
	defer h.answers.forget(id)
	c.ID = id
	h.orchestrator.deliver(&step.Event{Kind: step.EventCommand, Command: &c}, nil)
	select {
	case got := <-answer:
		return got, got.Err
	case <-ctx.Done():
		return volume.Answer{}, undecided(c, ctx.Err().Error())
	case <-h.life.Done():
		return volume.Answer{}, undecided(c, "this node is shutting down")
	}
}

func undecided(c volume.Command, why string) error {
	return &volume.Error{
		Kind:   volume.ErrOutcomeUnknown,
		What:   fmt.Sprintf("volume %q: the cluster did not decide in time, the command may still take effect", cmp.Or(c.Name, c.Spec.Name)),
		Causes: []string{why},
		Fix:    "see that most of the voting nodes are up (lagan status), then give the same command again: it is not done twice",
	}
}

// Attach has this node serve the volume called name and returns it once
// requests are answered. Force takes it from a node that holds it.
func (h *Host) Attach(ctx context.Context, name string, force bool) (*Volume, error) {
	answer, err := h.Command(ctx, volume.Command{Kind: volume.AttachVolume, Name: name, Force: force})
	if err != nil {
		return nil, err
	}
	v, err := h.awaitVolume(ctx, name, answer.Volume)
	if err != nil {
		return nil, err
	}
	return v, v.AwaitServing(ctx)
}

func (h *Host) awaitVolume(ctx context.Context, name string, id block.VolumeID) (*Volume, error) {
	for {
		h.mu.Lock()
		v, changed := h.volumes[id], h.changed
		h.mu.Unlock()
		if v != nil {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &volume.Error{
				Kind:   volume.ErrNotServed,
				What:   fmt.Sprintf("volume %q: this node has not heard of its attachment yet", name),
				Causes: []string{ctx.Err().Error()},
				Fix:    "see that most of the voting nodes are up (lagan status), then try again",
			}
		}
	}
}

// Detach ends the serving of the volume here: in order, with everything durable
// and noted, or by force at once.
func (h *Host) Detach(ctx context.Context, name string, force bool) error {
	_, err := h.Command(ctx, volume.Command{Kind: volume.DetachVolume, Name: name, Force: force})
	return err
}
