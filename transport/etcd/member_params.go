package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	// quotaBytesDefault bounds a member's database: 100,000 volumes take a
	// tenth of it, and it is read as a whole when a member starts anew.
	quotaBytesDefault = 2 << 30
	// keepRevisionsDefault is how far back a watch can resume without a new
	// list: minutes of a cluster that is being reconfigured without pause.
	keepRevisionsDefault = 10_000
	// txnOpsMax bounds the ops and reads of one transaction.
	txnOpsMax = 1024
	// tickDefault and electionDefault suit a local network with busy machines.
	tickDefault     = 100 * time.Millisecond
	electionDefault = time.Second
	// catchUpEntries is how many log entries a member keeps in memory for a
	// slow follower; beyond that the follower takes a snapshot.
	catchUpEntries = 2_000
	// learnersMax is how many members may be catching up at once: a cluster
	// grows from one voter to three, never to two.
	learnersMax = 2
)

// MemberParams describes one member of a cluster with a membership that is
// known from the start. On a directory that already holds a member, only the
// addresses and limits count: who belongs to the cluster is in the data.
type MemberParams struct {
	Name    string              // of this member, one of Cluster's
	Dir     string              // kept for the life of the member, never on a volume of ours
	Cluster map[string][]string // every member's peer URLs, by its name
	Token   string              // the same on all members; keeps clusters apart
	Join    bool                // the cluster runs and expects this member: see Store.AddLearner

	ListenPeer      string // host:port; default: the host and port of the member's first peer URL
	ListenClient    string // host:port
	AdvertiseClient string // host:port as others reach it; default: ListenClient

	TLS    *TLS         // for peers and clients; nil: plain
	Logger *slog.Logger `json:"-"`

	Tick          time.Duration // heartbeat of the leader
	Election      time.Duration // silence after which a new leader is elected; at least 5 × Tick
	QuotaBytes    int64         // of the database; beyond it writes are refused
	KeepRevisions int           // for watches that resume

	// NoSync leaves out every fsync. Only for tests: power loss ruins the member.
	NoSync bool
}

// withDefaults returns p with every optional field set.
func (p MemberParams) withDefaults() (MemberParams, error) {
	urls := p.Cluster[p.Name]
	if p.Name == "" || p.Dir == "" || p.ListenClient == "" || len(urls) == 0 {
		return p, fmt.Errorf("start etcd member %q: it needs a name, a directory, a client address and its own peer URL in the cluster's list", p.Name)
	}
	if p.ListenPeer == "" {
		own, err := url.Parse(urls[0])
		if err != nil {
			return p, fmt.Errorf("peer URL of member %s: %w", p.Name, err)
		}
		p.ListenPeer = own.Host
	}
	if p.AdvertiseClient == "" {
		p.AdvertiseClient = p.ListenClient
	}
	if host, _, err := net.SplitHostPort(p.AdvertiseClient); err != nil || net.ParseIP(host).IsUnspecified() {
		return p, errors.Join(fmt.Errorf("start etcd member %s: other nodes cannot reach %q: give it an advertise address", p.Name, p.AdvertiseClient), err)
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	if p.Tick == 0 {
		p.Tick = tickDefault
	}
	if p.Election == 0 {
		p.Election = electionDefault
	}
	if p.QuotaBytes == 0 {
		p.QuotaBytes = quotaBytesDefault
	}
	if p.KeepRevisions == 0 {
		p.KeepRevisions = keepRevisionsDefault
	}
	return p, nil
}

// initialCluster returns the membership in etcd's own notation.
func (p MemberParams) initialCluster() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(p.Cluster)) {
		for _, u := range p.Cluster[name] {
			list = append(list, name+"="+u)
		}
	}
	return strings.Join(list, ",")
}

// config translates p for etcd.
func (p MemberParams) config(logger *zap.Logger, options ...grpc.ServerOption) (*embed.Config, error) {
	peers, err := parseURLs(p.Cluster[p.Name])
	if err != nil {
		return nil, fmt.Errorf("peer URL of member %s: %w", p.Name, err)
	}
	at := func(address string) []url.URL { return []url.URL{{Scheme: p.TLS.Scheme(), Host: address}} }
	c := embed.NewConfig()
	c.Name, c.Dir = p.Name, p.Dir
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{{Scheme: peers[0].Scheme, Host: p.ListenPeer}}, peers
	c.ListenClientUrls, c.AdvertiseClientUrls = at(p.ListenClient), at(p.AdvertiseClient)
	c.ClusterState = embed.ClusterStateFlagNew
	if p.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	c.MaxLearners = learnersMax
	c.InitialCluster, c.InitialClusterToken = p.initialCluster(), p.Token
	c.PeerTLSInfo, c.ClientTLSInfo = p.TLS.server(), p.TLS.server()
	c.TickMs, c.ElectionMs = uint(p.Tick.Milliseconds()), uint(p.Election.Milliseconds())
	c.QuotaBackendBytes = p.QuotaBytes
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, strconv.Itoa(p.KeepRevisions)
	c.MaxTxnOps = txnOpsMax
	c.SnapshotCatchUpEntries = catchUpEntries
	c.EnableGRPCGateway = false
	c.UnsafeNoFsync = p.NoSync
	c.GRPCAdditionalServerOptions = options
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return c, nil
}

func parseURLs(texts []string) (urls []url.URL, err error) {
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			return nil, err
		}
		urls = append(urls, *u)
	}
	return urls, nil
}
