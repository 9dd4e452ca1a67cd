package host

import (
	"context"
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
)

// heldEvery is how often it is looked whether a volume is still attached here whose
// device waits for it.
const heldEvery = 100 * time.Millisecond

// AwaitHeld returns the volume of a device that outlived a former process, once it is
// served for the attachment of that number. ErrGone: it never will be.
func (h *Host) AwaitHeld(ctx context.Context, id block.VolumeID, number uint64) (*Volume, error) {
	looks := time.NewTicker(heldEvery) //nolint:forbidigo // the body is where real time comes from
	defer looks.Stop()
	for {
		h.mu.Lock()
		v, changed := h.volumes[id], h.changed
		h.mu.Unlock()
		if v != nil && v.number == number {
			return v, v.AwaitServing(ctx)
		}
		attached := true
		h.View(func(o *orchestrator.Orchestrator) { attached = !o.Known() || o.AttachedAs(id, number) })
		if !attached {
			return nil, fmt.Errorf("%w: another node took it, or it was detached or deleted", ErrGone)
		}
		select {
		case <-changed:
		case <-looks.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("its attachment is not known yet: %w", ctx.Err())
		}
	}
}
