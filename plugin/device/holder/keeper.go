package holder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device"
)

// answerWithin bounds the wait for the holder: it has nothing to do but remember.
const answerWithin = 5 * time.Second

// Keeper is a daemon's end of the holder.
type Keeper struct {
	socket string
	start  func() error // starts the process of a holder and returns once that listens
	now    func() time.Time

	mu   sync.Mutex // guards what follows
	conn *net.UnixConn
	gone bool // the daemon left
}

var _ device.Keeper = (*Keeper)(nil)

// Connect finds the holder, and returns what it has of a former daemon's. start is
// called when there is something to keep and no holder.
func Connect(ctx context.Context, socket string, start func() error, now func() time.Time) (*Keeper, []device.Kept, error) {
	k := &Keeper{socket: socket, start: start, now: now}
	err := k.dial()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return k, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := k.take(ctx)
	if hungUp(err) && ctx.Err() == nil {
		_ = k.conn.Close()
		k.conn = nil // it has just ended, and so had nothing, or is dead, and what it had with it
		return k, nil, nil
	}
	return k, all, err
}

func hungUp(err error) bool {
	for _, how := range []error{io.EOF, net.ErrClosed, unix.ECONNRESET, unix.EPIPE} {
		if errors.Is(err, how) {
			return true
		}
	}
	return false
}

func (k *Keeper) dial() error {
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: k.socket, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("reach the holder of devices: %w", err)
	}
	k.conn = c
	return nil
}

// take asks for all devices. It waits as long as a former daemon is not dead: the
// holder answers one after the other.
func (k *Keeper) take(ctx context.Context) (all []device.Kept, err error) {
	stop := context.AfterFunc(ctx, func() { _ = k.conn.Close() })
	defer stop()
	for err = send(k.conn, message{Verb: verbTake}); err == nil; {
		m, descriptors, receiveErr := receive(k.conn)
		switch {
		case receiveErr != nil:
			err = fmt.Errorf("take devices from their holder: %w", receiveErr)
		case m.Volume == block.VolumeID{}:
			return all, nil
		default:
			all = append(all, device.Kept{Volume: m.Volume, Record: m.Record, Descriptors: descriptors})
		}
	}
	for _, d := range all {
		closeAll(d.Descriptors)
	}
	return nil, err
}

// Keep implements device.Keeper.
func (k *Keeper) Keep(volume block.VolumeID, record []byte, descriptors ...int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		return nil // what was kept last is what counts
	}
	if k.conn == nil {
		if err := k.begin(); err != nil {
			return fmt.Errorf("start the holder of devices: %w", err)
		}
	}
	return k.ask(message{Verb: verbKeep, Volume: volume, Record: record}, descriptors...)
}

// begin starts a holder.
func (k *Keeper) begin() error {
	if err := os.Remove(k.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := k.start(); err != nil {
		return err
	}
	return k.dial()
}

// Forget implements device.Keeper.
func (k *Keeper) Forget(volume block.VolumeID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil || k.gone {
		return nil
	}
	return k.ask(message{Verb: verbForget, Volume: volume})
}

func (k *Keeper) ask(m message, descriptors ...int) error {
	err := k.conn.SetDeadline(k.now().Add(answerWithin))
	if err == nil {
		err = send(k.conn, m, descriptors...)
	}
	var answer message
	if err == nil {
		answer, _, err = receive(k.conn)
	}
	if err != nil { // it is gone or sick: the next device gets another
		_ = k.conn.Close()
		k.conn = nil
		return fmt.Errorf("the holder of devices: %w", err)
	}
	if answer.Error != "" {
		return fmt.Errorf("the holder of devices: %s", answer.Error)
	}
	return nil
}

// Close lets go of the holder: it waits for the next daemon if it has anything.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = true
	if k.conn == nil {
		return nil
	}
	return k.conn.Close()
}
