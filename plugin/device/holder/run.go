package holder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
)

// GraceDefault is how long devices wait for a daemon. Whoever uses them hangs
// meanwhile; after that they fail.
const GraceDefault = 600 * time.Second

// Params is what a holder runs with.
type Params struct {
	Socket string
	Grace  time.Duration // that devices wait for a daemon
	// Remove removes the devices in the end, when no daemon came.
	Remove func(context.Context) error
	Ready  func() // is called once it listens
	Log    *slog.Logger
}

// held is one device.
type held struct {
	record      []byte
	descriptors []int
}

// holder is the process. One goroutine owns it all.
type holder struct {
	p       Params
	devices map[block.VolumeID]held
}

// Run is the process that keeps devices; it returns when there is nothing to keep any
// more. A daemon starts it, and finds it by its socket.
func Run(ctx context.Context, p Params) error {
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: p.Socket, Net: "unixpacket"})
	if err == nil {
		err = os.Chmod(p.Socket, 0o600)
	}
	if err != nil {
		return fmt.Errorf("hold devices: %w", err)
	}
	defer func() { _ = listener.Close() }() // and removes the socket
	h := &holder{p: p, devices: map[block.VolumeID]held{}}
	p.Log.Info("devices are held", slog.String("socket", p.Socket))
	p.Ready()
	for {
		if err := listener.SetDeadline(time.Now().Add(p.Grace)); err != nil { //nolint:forbidigo // a process of its own
			return err
		}
		c, err := listener.AcceptUnix()
		if err != nil {
			return h.end(ctx, err)
		}
		h.serve(c)
		if len(h.devices) == 0 {
			p.Log.Info("nothing is held any more")
			return nil
		}
		p.Log.Warn("daemon is gone, its devices wait for another", slog.Int("devices", len(h.devices)))
	}
}

// end gives the devices up.
func (h *holder) end(ctx context.Context, why error) error {
	if !errors.Is(why, os.ErrDeadlineExceeded) {
		return why
	}
	h.p.Log.Error("no daemon came for the devices in time, they are removed", slog.Int("devices", len(h.devices)))
	err := h.p.Remove(ctx)
	for _, d := range h.devices { // any order: all of them
		closeAll(d.descriptors)
	}
	return err
}

// serve does what one daemon asks, until it is dead.
func (h *holder) serve(c *net.UnixConn) {
	defer func() { _ = c.Close() }()
	pid, err := peer(c)
	if err != nil {
		h.p.Log.Warn("somebody else is not let in", slog.Any("error", err))
		return
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		h.p.Log.Warn("daemon cannot be watched", slog.Any("error", err))
		return
	}
	defer func() { _ = unix.Close(process) }()
	for {
		m, descriptors, err := receive(c)
		if err != nil {
			break // it closed the connection, or says what nobody understands
		}
		if err := h.answer(c, m, descriptors); err != nil {
			h.p.Log.Warn("daemon is not answered", slog.Any("error", err))
			break
		}
	}
	_ = c.Close()
	if len(h.devices) > 0 {
		awaitDeath(process)
	}
}

// awaitDeath returns when a process is dead: none of its threads touches a device any
// more.
func awaitDeath(process int) {
	poll := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, -1)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (h *holder) answer(c *net.UnixConn, m message, descriptors []int) error {
	switch m.Verb {
	case verbTake:
		closeAll(descriptors)
		for id, d := range h.devices { // any order: each is one of its own
			if err := send(c, message{Volume: id, Record: d.record}, d.descriptors...); err != nil {
				return err
			}
		}
		return send(c, message{})
	case verbKeep:
		return send(c, message{Error: h.keep(m, descriptors)})
	case verbForget:
		closeAll(descriptors)
		closeAll(h.devices[m.Volume].descriptors)
		delete(h.devices, m.Volume)
		return send(c, message{})
	}
	closeAll(descriptors)
	return send(c, message{Error: fmt.Sprintf("there is no verb %q", m.Verb)})
}

// keep returns what is wrong.
func (h *holder) keep(m message, descriptors []int) string {
	d, known := h.devices[m.Volume]
	switch {
	case len(descriptors) > 0:
		closeAll(d.descriptors)
		d.descriptors = descriptors
	case !known:
		return "it has no descriptors of that device"
	}
	d.record = m.Record
	h.devices[m.Volume] = d
	return ""
}
