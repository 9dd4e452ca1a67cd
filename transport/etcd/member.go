package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// hardStopBound is how long a member that was told to stop at once may take:
// it closes its database and its log, nothing else.
const hardStopBound = 5 * time.Second

var (
	// ErrForeignCluster says that the directory, or a peer, belongs to another cluster.
	ErrForeignCluster = errors.New("etcd member belongs to another cluster")
	// ErrAlreadyMember says that the cluster knows this member, but its directory is empty.
	ErrAlreadyMember = errors.New("etcd member lost its data")
	// ErrMemberRemoved says that the cluster took the member out: its data is worth
	// nothing any more. See Discard.
	ErrMemberRemoved = errors.New("etcd member was removed from its cluster")
	// ErrMemberFailed says that the member stopped by itself.
	ErrMemberFailed = errors.New("etcd member stopped by itself")
)

// Member is one member of the cluster's etcd, running in this process.
type Member struct {
	params  MemberParams
	server  *embed.Etcd
	lock    *os.File
	notes   *notes
	streams *streams

	closeOnce sync.Once
	closed    chan struct{} // the server has released everything
}

// started is what etcd's own start returned.
type started struct {
	server *embed.Etcd
	err    error
}

// StartMember starts the member and returns when it serves, which takes a
// majority of the cluster: the members are started together, not one after
// another. When ctx ends before that, it is stopped again.
func StartMember(ctx context.Context, p MemberParams) (*Member, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	n, streams := newNotes(), newStreams(ctx)
	config, err := p.config(zapLogger(streams.closing, p.Logger, n), streams.option())
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(p.Dir)
	if err != nil {
		return nil, err
	}
	m := &Member{params: p, lock: lock, notes: n, streams: streams, closed: make(chan struct{})}
	begun := make(chan started, 1)
	go func() {
		// etcd that gives up ends the goroutine (see notes), or panics. Then it
		// holds what it opened until the process ends.
		defer close(begun)
		defer func() {
			if cause := recover(); cause != nil {
				n.giveUp(fmt.Sprint(cause))
			}
		}()
		server, err := embed.StartEtcd(config)
		begun <- started{server, err}
	}()
	if err := m.await(ctx, begun); err != nil {
		return nil, fmt.Errorf("start etcd member %s: %w", p.Name, err)
	}
	return m, nil
}

// await waits until the member serves. On an error nothing of it is left, or
// nothing will be once etcd's start returns.
func (m *Member) await(ctx context.Context, begun <-chan started) error {
	s, err := m.starting(ctx, begun)
	if err != nil {
		go func() {
			if m.server = (<-begun).server; m.server != nil {
				m.server.Server.HardStop()
			}
			m.release()
		}()
		return m.explain(err)
	}
	if m.server = s.server; s.err != nil || s.server == nil {
		return errors.Join(m.explain(s.err), m.lock.Close())
	}
	select {
	case <-m.server.Server.ReadyNotify():
		return nil
	case err = <-m.server.Err():
	case <-m.server.Server.StopNotify():
	case <-m.notes.died:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return errors.Join(m.explain(err), m.stopNow(context.WithoutCancel(ctx)))
}

// starting waits until etcd's start returns. It does not when another goroutine of
// etcd's has died that it waits for.
func (m *Member) starting(ctx context.Context, begun <-chan started) (started, error) {
	select {
	case s := <-begun:
		return s, nil
	case <-ctx.Done():
		return started{}, context.Cause(ctx)
	case <-m.notes.died:
	}
	bounded, cancel := context.WithTimeout(ctx, hardStopBound)
	defer cancel()
	select {
	case s := <-begun:
		return s, nil
	case <-bounded.Done():
		return started{}, ErrMemberFailed
	}
}

// explain says what happened to the member and what to do about it.
func (m *Member) explain(err error) error {
	fatal, mismatch := m.notes.read()
	p := m.params
	switch {
	case m.notes.wasRemoved():
		return fmt.Errorf("%w: its data in %s is of no use any more", ErrMemberRemoved, p.Dir)
	case fatal != "":
		return fmt.Errorf("%w: its data in %s cannot be used: %s: move the directory away and let the node join anew", ErrMemberFailed, p.Dir, fatal)
	case mismatch:
		return fmt.Errorf("%w: peers of %s refuse its cluster id: check the cluster's list and token, or whether %s is left from another cluster", ErrForeignCluster, p.Name, p.Dir)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s and %s: %w: stop what listens there, or choose other ports", p.ListenPeer, p.ListenClient, err)
	case err == nil:
		return fmt.Errorf("%w: see its log", ErrMemberFailed)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("no majority of the members %q was heard from: start the others, and check that they reach each other: %w", p.initialCluster(), err)
	case bootstrappedBefore(err):
		return fmt.Errorf("%w: the cluster knows %s, but %s is empty: restore the directory, or remove the member from the cluster and let it join anew: %w", ErrAlreadyMember, p.Name, p.Dir, err)
	}
	return err
}

// bootstrappedBefore reports whether a member without data was refused because
// the others already know it. etcd has no sentinel for it.
func bootstrappedBefore(err error) bool {
	return strings.Contains(err.Error(), "has already been bootstrapped")
}

// Endpoint returns the URL at which clients reach the member.
func (m *Member) Endpoint() string { return m.params.TLS.Scheme() + "://" + m.params.AdvertiseClient }

// ID returns the member's id in its cluster.
func (m *Member) ID() uint64 { return uint64(m.server.Server.MemberID()) }

// Leading reports whether the member is the leader of its cluster.
func (m *Member) Leading() bool { return m.server.Server.Leader() == m.server.Server.MemberID() }

// Wait returns when the member stopped, with an error if nobody told it to.
func (m *Member) Wait(ctx context.Context) error {
	select {
	case <-m.closed:
		return nil
	case <-m.streams.closing.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.notes.died:
		return m.explain(nil)
	case <-m.server.Server.StopNotify():
		if m.streams.closing.Err() != nil {
			return nil
		}
		return m.explain(nil)
	case err, open := <-m.server.Err():
		if !open {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrMemberFailed, err)
	}
}

// Close stops the member in order: a leader hands over first. When ctx ends
// before that is done, for instance because there is no majority, it is stopped
// at once. Stop what uses the member before the member.
func (m *Member) Close(ctx context.Context) error {
	m.closeOnce.Do(func() { go m.release() })
	select {
	case <-m.closed:
		return nil
	case <-ctx.Done():
		return m.stopNow(context.WithoutCancel(ctx))
	}
}

// stopNow stops the member without regard for the others.
func (m *Member) stopNow(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, hardStopBound)
	defer cancel()
	m.streams.end()
	go m.server.Server.HardStop()
	m.closeOnce.Do(func() { go m.release() })
	select {
	case <-m.closed:
		return nil
	case <-bounded.Done():
		return fmt.Errorf("etcd member %s did not stop within %v: its directory %s stays locked until this process ends", m.params.Name, hardStopBound, m.params.Dir)
	}
}

// release stops the server and gives up what it held.
func (m *Member) release() {
	m.streams.end()
	if m.server != nil {
		m.server.Close()
	}
	_ = m.lock.Close() // the lock ends with the descriptor, whatever close says
	close(m.closed)
}
