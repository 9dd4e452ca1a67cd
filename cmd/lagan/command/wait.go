package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// waitLook is how often a volume is looked at that is waited for.
const waitLook = 200 * time.Millisecond

// waitFlag adds --wait.
func waitFlag(f *pflag.FlagSet, into *bool, until string) {
	f.BoolVar(into, "wait", false, "return when "+until+", and say meanwhile what is missing")
}

// await looks at the volume until holds, or until it is gone if that is nil. Its
// identity says which one: a new volume may have the name by then.
func (s *session) await(ctx context.Context, id string, holds func(*api.Volume) bool) (api.Volume, error) {
	said := ""
	for {
		v, err := s.client().Volume(ctx, id)
		switch {
		case holds == nil && errors.Is(err, volume.ErrVolumeNotFound):
			return v, nil
		case err != nil:
			return v, err
		case holds != nil && holds(&v):
			return v, nil
		}
		if missing := waitsFor(&v); missing != said {
			said = missing
			_, _ = fmt.Fprintln(s.Err, missing) // there is nowhere else to say it
		}
		select {
		case <-time.After(waitLook):
		case <-ctx.Done():
			return v, fmt.Errorf("volume %s goes on without being waited for: %w", v.Name, ctx.Err())
		}
	}
}

// stateFailed is the state of an operation that does not go on.
const stateFailed = "failed"

// stateDone is the state of a check that found nothing.
const stateDone = "done"

// awaitOperation looks at an operation until it is not there any more, or does not
// go on, and says how far it is.
func (s *session) awaitOperation(ctx context.Context, o *api.Operation) error {
	there, err := s.watchOperation(ctx, o)
	if err == nil && there {
		err = fmt.Errorf("%s of node %s cannot go on: %s\nit goes on by itself when that changes; to break it off:  lagan operation cancel %s", o.Kind, o.Node, o.Reason, o.ID)
	}
	return err
}

// watchOperation looks at an operation while it is running, says how far it is, and whether it
// is still there.
func (s *session) watchOperation(ctx context.Context, o *api.Operation) (there bool, err error) {
	said := ""
	for {
		now, err := s.client().Operation(ctx, o.ID)
		switch {
		case errors.Is(err, volume.ErrOperationNotFound):
			return false, nil
		case err != nil:
			return false, err
		}
		*o = now
		switch {
		case o.State == stateFailed || o.State == stateDone:
			return true, nil
		case o.Total > 0:
			if progress := fmt.Sprintf("%s: %d %%", o.Kind, o.Done*100/o.Total); progress != said {
				said = progress
				_, _ = fmt.Fprintln(s.Err, progress) // there is nowhere else to say it
			}
		}
		select {
		case <-time.After(waitLook):
		case <-ctx.Done():
			return false, fmt.Errorf("operation %s goes on without being waited for: %w", o.ID, ctx.Err())
		}
	}
}

// waitsFor says how a volume is that is not yet as it should be.
func waitsFor(v *api.Volume) string {
	switch {
	case v.Status.Health == string(volume.Deleting) && len(v.Status.Replicas) > 0:
		return fmt.Sprintf("volume %s: the space of its copies on %s is not free yet", v.Name, strings.Join(nodesOf(v), ", "))
	case v.Status.Reason != "":
		return fmt.Sprintf("volume %s is %s: %s", v.Name, v.Status.Health, v.Status.Reason)
	}
	if !isLarger(v) {
		return fmt.Sprintf("volume %s has %s of %s", v.Name, volume.FormatSize(v.Status.Size), volume.FormatSize(v.Spec.Size))
	}
	if text := comingAndGoing(v); text != "" {
		return fmt.Sprintf("volume %s: %s", v.Name, text)
	}
	return fmt.Sprintf("volume %s is %s", v.Name, v.Status.Health)
}

// isHealthy reports whether as many copies are in sync as were asked for.
func isHealthy(v *api.Volume) bool { return v.Status.Health == string(volume.Healthy) }
