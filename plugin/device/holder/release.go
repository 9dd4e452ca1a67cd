package holder

import (
	"context"
	"errors"
	"time"
)

// Release has a holder give up all that it has, and so end, when no daemon is to come
// any more. What waits for its devices gets errors.
func Release(ctx context.Context, socket string) error {
	k, all, err := Connect(ctx, socket, nil, time.Now) //nolint:forbidigo // only for a deadline
	if err != nil {
		return err
	}
	for _, d := range all {
		closeAll(d.Descriptors)
		err = errors.Join(err, k.Forget(d.Volume))
	}
	return errors.Join(err, k.Close())
}
