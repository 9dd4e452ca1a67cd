package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/plugin/device/memory"
	"github.com/lagan-storage/lagan/plugin/device/nbd"
)

const (
	// exportBytes is the volume in memory of either server.
	exportBytes = 256 << 20
	// peerWithin bounds the start of the other server, peerLook is the wait between
	// two looks whether it is there.
	peerWithin = 10 * time.Second
	peerLook   = 10 * time.Millisecond
)

var errNoPeer = errors.New("nbdkit is not installed: .ci/install nbdkit:nbdkit")

// exportPatterns are the workloads by which servers are compared.
func exportPatterns() map[string]reference.Pattern {
	return map[string]reference.Pattern{
		"nbd-write-4k-qd1":   {Write: true, Random: true, Length: block.Size, Depth: 1},
		"nbd-write-4k-qd32":  {Write: true, Random: true, Length: block.Size, Depth: deepest},
		"nbd-read-4k-qd32":   {Random: true, Length: block.Size, Depth: deepest},
		"nbd-write-128k-qd8": {Write: true, Length: largeIO, Depth: largeDep},
		"nbd-read-128k-qd8":  {Length: largeIO, Depth: largeDep},
	}
}

// measureExports measures the server of exports with nothing behind it, next to a
// server that others wrote.
func (s *suite) measureExports(ctx context.Context) (err error) {
	patterns := exportPatterns()
	var wanted []string
	for name := range patterns { // any order: they are sorted
		if !s.unwanted(name) {
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	slices.Sort(wanted)
	fio, err := reference.FindFio()
	if err == nil {
		if _, look := exec.LookPath("nbdkit"); look != nil {
			err = errNoPeer
		}
	}
	if err != nil {
		for _, name := range wanted {
			s.skip(name+"/*", err)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "lagan-bench-") // the path of a socket has 107 bytes at most
	if err != nil {
		return fmt.Errorf("measure exports: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ours, peer := filepath.Join(dir, "ours"), filepath.Join(dir, "peer")
	ctx, end := context.WithCancel(ctx)
	served, err := s.serveExport(ctx, ours)
	if err != nil {
		end()
		return err
	}
	defer func() {
		end()
		err = errors.Join(err, <-served)
	}()
	gone, err := startPeer(ctx, peer)
	defer func() {
		end()
		<-gone
	}()
	if err != nil {
		return err
	}
	return s.holdExports(ctx, fio, wanted, ours, peer)
}

// holdExports holds the contests, after either volume was written from end to end.
func (s *suite) holdExports(ctx context.Context, fio string, wanted []string, ours, peer string) error {
	run := func(socket string, p reference.Pattern) runner {
		return func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
			p.WarmUp, p.Span = warmUp, span
			return reference.FioNBD(ctx, fio, "nbd+unix:///?socket="+socket, exportBytes, p)
		}
	}
	for _, socket := range []string{ours, peer} {
		fill := reference.Pattern{Write: true, Length: largeIO, Depth: largeDep}
		if _, err := run(socket, fill)(ctx, 0, s.scale.span); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		p := exportPatterns()[name]
		c := contest{
			name: name, against: "nbdkit", conditions: "fio over a unix socket; volumes in memory; nbdkit is a process of its own with one thread",
			contenders: []contender{{"nbdkit", run(peer, p)}, {"server", run(ours, p)}},
		}
		if err := s.hold(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// serveExport serves a volume in memory until ctx ends; then served has the outcome.
func (s *suite) serveExport(ctx context.Context, socket string) (served chan error, err error) {
	server := nbd.New(nbd.Params{Now: func() time.Time { return s.Now.Add(s.Clock().Sub(s.began)) }, Log: s.Log})
	v := memory.New(exportBytes)
	if _, err := server.Export(nbd.ExportParams{Size: v.Size, Backend: v}); err != nil {
		return nil, err
	}
	config := net.ListenConfig{}
	l, err := config.Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen for block clients: %w", err)
	}
	served = make(chan error, 1)
	go func() { served <- server.Serve(ctx, l, nil) }()
	return served, nil
}

// startPeer starts nbdkit, which ends with this process or with ctx; gone is closed then.
func startPeer(ctx context.Context, socket string) (gone chan struct{}, err error) {
	gone = make(chan struct{})
	command := exec.CommandContext(ctx, "nbdkit", "--foreground", "--exit-with-parent", "--threads", "1",
		"--unix", socket, "memory", fmt.Sprintf("size=%d", exportBytes))
	if err := command.Start(); err != nil {
		close(gone)
		return gone, fmt.Errorf("start nbdkit: %w", err)
	}
	go func() {
		_ = command.Wait() // it is killed: nothing to learn
		close(gone)
	}()
	limited, done := context.WithTimeout(ctx, peerWithin)
	defer done()
	for {
		var d net.Dialer
		conn, err := d.DialContext(limited, "unix", socket)
		if err == nil {
			return gone, conn.Close()
		}
		look, over := context.WithTimeout(limited, peerLook)
		<-look.Done()
		over()
		if limited.Err() != nil {
			return gone, fmt.Errorf("nbdkit does not serve: %w", err)
		}
	}
}
