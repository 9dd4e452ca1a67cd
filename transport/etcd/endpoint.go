package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/stats"
)

const (
	// Reconnecting is tried often: an endpoint that is back should be used.
	reconnectMin = 50 * time.Millisecond
	reconnectMax = time.Second
	dialTimeout  = 3 * time.Second
	// keepAliveTime finds connections whose other end is gone. etcd breaks
	// connections that ask more often than every 5 s.
	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = 3 * time.Second
)

// endpoint is one member as a client sees it. Each has a connection of its own,
// so that a try goes where it is meant to go.
type endpoint struct {
	url    string
	client *clientv3.Client
}

// endpoints are the members a store may ask. It stays with the one that answers.
type endpoints struct {
	identity *tls.Config
	current  atomic.Int64 // index of the one to ask, modulo their count

	mu      sync.RWMutex // guards what follows
	list    []*endpoint  // never empty
	retired []*endpoint  // asked no more; calls under way may use them until the end
}

// connect prepares a connection to every endpoint; none is made yet.
func connect(ctx context.Context, p Params) (*endpoints, error) {
	identity, err := p.TLS.client()
	if err != nil {
		return nil, fmt.Errorf("open the metadata store: %w", err)
	}
	e := &endpoints{identity: identity}
	if err := e.set(ctx, p.Endpoints); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// set replaces the list by urls. Connections that are in both stay.
func (e *endpoints) set(ctx context.Context, urls []string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := slices.Concat(e.list, e.retired)
	var list []*endpoint
	for _, url := range urls {
		i := slices.IndexFunc(known, func(one *endpoint) bool { return one.url == url })
		if i >= 0 {
			list = append(list, known[i])
			continue
		}
		client, err := clientv3.New(clientConfig(ctx, url, e.identity))
		if err != nil {
			e.retired = append(e.retired, list...)
			return fmt.Errorf("open the metadata store at %s: %w", url, err)
		}
		list = append(list, &endpoint{url: url, client: client})
	}
	e.retired = slices.DeleteFunc(known, func(one *endpoint) bool { return slices.Contains(list, one) })
	e.list = list
	return nil
}

// clientConfig describes a client of one member.
func clientConfig(ctx context.Context, url string, identity *tls.Config) clientv3.Config {
	return clientv3.Config{
		Context:              context.WithoutCancel(ctx),
		Endpoints:            []string{url},
		TLS:                  identity,
		Logger:               zap.NewNop(), // what matters is logged here
		DialKeepAliveTime:    keepAliveTime,
		DialKeepAliveTimeout: keepAliveTimeout,
		MaxUnaryRetries:      1, // tries are counted here, not there
		DialOptions: []grpc.DialOption{
			grpc.WithStatsHandler(departures{}),
			grpc.WithChainUnaryInterceptor(failFast),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: reconnectMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
				MinConnectTimeout: dialTimeout,
			}),
		},
	}
}

// failFast ends a call at once whose endpoint cannot be reached; etcd's client
// would wait for it until the deadline, while another endpoint could answer.
func failFast(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return invoke(ctx, method, request, reply, conn, append(options, grpc.WaitForReady(false))...)
}

// pick returns the endpoint to ask and the turn it has.
func (e *endpoints) pick() (*endpoint, int64) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	turn := e.current.Load()
	return e.list[turn%int64(len(e.list))], turn
}

// failed moves on from the endpoint that had turn, unless another call did so.
func (e *endpoints) failed(turn int64) { e.current.CompareAndSwap(turn, turn+1) }

// urls returns where they are.
func (e *endpoints) urls() (urls []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, one := range e.list {
		urls = append(urls, one.url)
	}
	return urls
}

// count returns how many endpoints there are.
func (e *endpoints) count() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.list)
}

func (e *endpoints) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []error
	for _, one := range slices.Concat(e.list, e.retired) {
		if err := one.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			all = append(all, fmt.Errorf("close the connection to %s: %w", one.url, err))
		}
	}
	return errors.Join(all...)
}

// departureKey finds a call's departure in its context.
type departureKey struct{}

// withDeparture returns a context whose calls note whether they left the process.
func withDeparture(ctx context.Context) (context.Context, *atomic.Bool) {
	departed := new(atomic.Bool)
	return context.WithValue(ctx, departureKey{}, departed), departed
}

// departures marks every call that was given to a connection. One that never
// was cannot have been applied, whatever its error says.
type departures struct{}

// TagRPC returns ctx: the mark travels in it already.
func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC notes that the headers of a call were handed to a connection.
func (departures) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); !ok {
		return
	}
	if departed, ok := ctx.Value(departureKey{}).(*atomic.Bool); ok {
		departed.Store(true)
	}
}

// TagConn returns ctx.
func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (departures) HandleConn(context.Context, stats.ConnStats) {}
