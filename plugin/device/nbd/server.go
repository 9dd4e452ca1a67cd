package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/plugin/device"
	"github.com/lagan-storage/lagan/plugin/device/slab"
)

const (
	// connectionsMax bounds the connections of a server: eight clients with as
	// many each as the usual ones make. What all have under way, at most
	// bytesMax each, is the memory that clients can make a node use.
	connectionsMax = 64
	// slabsKeptMax is the memory that is kept for the next burst: 32 MiB.
	slabsKeptMax = 32 << 20 / slab.Bytes
	// acceptPause is the wait after a connection could not be accepted: file
	// descriptors come back.
	acceptPause = 100 * time.Millisecond
)

// Params is what a Server is made from.
type Params struct {
	Now func() time.Time // for deadlines of sockets
	Log *slog.Logger
}

// Server hands exports to clients. Its methods may be called from any goroutine.
type Server struct {
	now    func() time.Time
	log    *slog.Logger
	stock  *slab.Stock
	places chan struct{}

	mu      sync.Mutex // guards what follows
	exports map[string]*Export
}

// New returns a server without exports.
func New(p Params) *Server {
	return &Server{
		now: p.Now, log: p.Log, stock: slab.NewStock(slabsKeptMax),
		places: make(chan struct{}, connectionsMax), exports: map[string]*Export{},
	}
}

// Serve serves clients of a listener until ctx ends, and returns when none of its
// connections is left. With security nobody is served but over TLS as it says.
// The listener is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener, security *tls.Config) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var clients sync.WaitGroup
	defer clients.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // nobody is there to hear of it
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // nothing was said
			}
			return nil
		case err != nil && !passing(err):
			end()
			return errors.Join(fmt.Errorf("accept NBD clients: %w", err), l.Close())
		case err != nil:
			s.log.Warn("cannot accept an nbd client now", slog.Any("error", err))
			pause, over := context.WithTimeout(ctx, acceptPause)
			<-pause.Done()
			over()
			continue
		}
		select {
		case s.places <- struct{}{}:
			clients.Go(func() {
				defer func() { <-s.places }()
				s.serve(ctx, conn, security)
			})
		default:
			s.log.Warn("nbd client refused: there are as many as may be", slog.Int("connections", connectionsMax))
			_ = conn.Close() // nothing was said
		}
	}
}

// passing reports whether a listener that returned err goes on.
func passing(err error) bool {
	for _, e := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ECONNABORTED, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// serve serves one client from its first byte to its last.
func (s *Server) serve(ctx context.Context, conn net.Conn, security *tls.Config) {
	log := s.log.With(slog.String("client", clientOf(conn)))
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it has its reader return
	defer stop()
	agreed, err := s.haggle(ctx, conn, security)
	if err != nil {
		_ = conn.Close() // the reason is err
		if !errors.Is(err, errLeft) && ctx.Err() == nil {
			log.Warn("nbd client turned away", slog.Any("error", err))
		}
		return
	}
	e := agreed.export
	log = log.With(slog.String("export", e.name))
	c := newConnection(s, agreed, log)
	if !e.enter(c) {
		_ = agreed.conn.Close() // it was closed while they haggled
		return
	}
	defer e.leave(c)
	log.Info("nbd client connected", slog.Bool("tls", agreed.conn != conn))
	if err := c.run(); err != nil && ctx.Err() == nil {
		log.Warn("nbd client is cut off", slog.Any("error", err))
		return
	}
	log.Info("nbd client left")
}

// clientOf says who a client is: where it comes from, or the process.
func clientOf(conn net.Conn) string {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return conn.RemoteAddr().String()
	}
	who := "local"
	if raw, err := local.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // else it is just somebody
			if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				who = fmt.Sprintf("process %d", peer.Pid)
			}
		})
	}
	return who
}

// Export makes a volume reachable under its name until the export is closed.
func (s *Server) Export(p ExportParams) (*Export, error) {
	e := newExport(s, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exports[p.Name] != nil {
		return nil, fmt.Errorf("export %q: %w", p.Name, device.ErrAttached)
	}
	s.exports[p.Name] = e
	return e, nil
}

// find returns the export of a name, nil if there is none.
func (s *Server) find(name string) *Export {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exports[name]
}

// all returns the exports by name.
func (s *Server) all() []*Export {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.exports), func(a, b *Export) int { return strings.Compare(a.name, b.name) })
}

func (s *Server) remove(e *Export) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exports[e.name] == e {
		delete(s.exports, e.name)
	}
}
