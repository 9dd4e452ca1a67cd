package usecase

import (
	"context"
	"log/slog"
	"time"

	"github.com/lagan-storage/lagan/core/host"
)

const (
	// freezeMost is how long a file system stays frozen at most: its writers wait.
	freezeMost = 5 * time.Second
	// freezeWithin bounds the freezing itself, which writes out what is to be written.
	freezeWithin = 3 * time.Second
)

// freezeOrThaw does what the cluster asks for while a snapshot is taken; it does
// not wait.
func (n *Node) freezeOrThaw(ctx context.Context, u *use, v *host.Volume, freeze bool) {
	u.thaw()
	if !freeze {
		return
	}
	until := make(chan struct{})
	u.mu.Lock()
	u.frozen = until
	u.mu.Unlock()
	n.running.Go(func() { n.freeze(ctx, u, v, until) })
}

// thaw ends what freezeOrThaw began, if it goes on.
func (u *use) thaw() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.frozen != nil {
		close(u.frozen)
		u.frozen = nil
	}
}

// freeze freezes the volume's file system, where it is mounted here, until a
// channel is closed. It says when writers wait, or that they do not: the snapshot
// is taken in either case. Nobody mounts or unmounts meanwhile; while somebody
// does, it is not frozen.
func (n *Node) freeze(ctx context.Context, u *use, v *host.Volume, until <-chan struct{}) {
	if !u.changing.TryLock() {
		v.Frozen()
		return
	}
	defer u.changing.Unlock()
	at := u.mountedAt()
	if len(at) == 0 {
		v.Frozen()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, freezeWithin)
	defer cancel()
	thaw, err := n.p.Filesystem.Freeze(ctx, at[0], freezeMost) // all its mounts are of one file system
	v.Frozen()
	if err != nil {
		n.log.Warn("file system is not frozen for a snapshot", slog.String("volume", u.name), slog.Any("error", err))
		return
	}
	<-until
	if err := thaw(); err != nil {
		n.log.Error("file system was not thawed after a snapshot", slog.String("volume", u.name), slog.String("target", at[0]), slog.Any("error", err))
	}
}
