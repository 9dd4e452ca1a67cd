package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/identity"
)

const (
	// restoredBatch is how many configurations are marked by one transaction.
	restoredBatch = 100
	// epochsPerSecond is how far the epochs of two restores lie apart for each second
	// between them: more than a volume sees in between.
	epochsPerSecond = 1 << 20
	// markWithin bounds the wait for the store to say what became of a transaction.
	markWithin = time.Minute
)

// Restored is what a backup brought back.
type Restored struct {
	Volumes int
	Others  []string // names of the other nodes
	Address string   // where others find the restored store: host:port
}

// MarkRestored marks every volume in a store that was just restored, before any node
// reads it: what is recorded may be older than what the copies are. The store must
// be of d's cluster, and know d's node.
func MarkRestored(ctx context.Context, s Store, d *datadir.Dir, now time.Time) (r Restored, err error) {
	ctx, cancel := context.WithTimeout(ctx, markWithin)
	defer cancel()
	read := s.Do(ctx, metadata.Txn{Read: []string{authorityKey, membersPrefix, volume.Prefix + "volumes/"}})
	if read.Outcome != metadata.Applied {
		return r, unanswered("nothing was restored")
	}
	if r.Others, err = checkOrigin(&read, d); err != nil {
		return r, err
	}
	var txn metadata.Txn
	for i := range read.Items {
		item := &read.Items[i]
		if _, part, ok := volume.ParseVolumeKey(item.Key); !ok || part != "config" {
			continue
		}
		c, err := volume.ParseConfig(item.Value)
		if err != nil {
			return r, fmt.Errorf("read %s in the backup: %w", item.Key, err)
		}
		r.Volumes++
		c.Restore(block.Epoch(now.Unix()*epochsPerSecond), changeNumber())
		txn.Guards = append(txn.Guards, metadata.Guard{Key: item.Key, Revision: item.Revision})
		txn.Ops = append(txn.Ops, metadata.Op{Key: item.Key, Value: c.Encode()})
		if len(txn.Ops) == restoredBatch {
			if err := mark(ctx, s, &txn); err != nil {
				return r, err
			}
		}
	}
	return r, mark(ctx, s, &txn)
}

// mark does what is in txn, and empties it.
func mark(ctx context.Context, s Store, txn *metadata.Txn) error {
	if len(txn.Ops) == 0 {
		return nil
	}
	if s.Do(ctx, *txn).Outcome != metadata.Applied {
		return unanswered("nothing was restored")
	}
	*txn = metadata.Txn{}
	return nil
}

// checkOrigin refuses the backup of another cluster, and one that does not know this
// node. It returns the names of the others.
func checkOrigin(read *metadata.Result, d *datadir.Dir) (others []string, err error) {
	item, found := read.Find(authorityKey)
	if !found {
		return nil, errors.New("there is no cluster in the backup: use one that was taken once the cluster was founded")
	}
	record, err := decode[authorityRecord](item)
	if err != nil {
		return nil, err
	}
	certificate, _ := pem.Decode(record.Certificate)
	if certificate == nil {
		return nil, errors.New("the authority in the backup cannot be read: use another backup")
	}
	if have, want := identity.HashOf(certificate.Bytes).String(), d.Cluster().Authority; have != want {
		return nil, fmt.Errorf("the backup is of another cluster, %s, whose authority is %s and not %s: use a backup of this node's cluster", record.Cluster, have, want)
	}
	members, err := membersOf(read)
	if err != nil {
		return nil, err
	}
	known := false
	for _, m := range members {
		if m.Node == d.Node() {
			known = true
			continue
		}
		others = append(others, m.Name)
	}
	if !known {
		return nil, fmt.Errorf("the backup does not know this node, which joined later: restore it on a node that it knows: %v", others)
	}
	return others, nil
}

func changeNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
