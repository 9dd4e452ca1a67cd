// Package cluster is the birth and growth of a cluster: it makes the first node,
// admits others by token, and decides which of them vote in the metadata store.
//
//	lagan up ──▶ Found ──▶ authority, certificate, one voter ──▶ Keeper puts the authority into the store
//	lagan token create ──▶ Admissions.CreateToken
//	lagan join ──▶ Join ──certificate request, token──▶ Admissions.Join, on any node
//	                                                        │ one guarded transaction: name, address
//	Keeper, on every node ◀─────────────────────────────────┘
//	   [ one voter ] ──three nodes──▶ [ two learners are added ] ──both caught up──▶ [ three voters ]
//	        ▲                                 ▲                                             │ a node is removed,
//	        └── nobody could take its place ──┴──────────── another takes its place ◀───────┘ or has lost its data
//
// It owns the records below Prefix. The authority's key is one of them, so that
// the first node's death does not end joining: whoever reads the store can be any
// node, and only nodes can. It promises that a node that was refused has left
// nothing in the store, that a name belongs to one node, that there are never two
// voters for longer than it takes to promote a third or to do without the second,
// and that no member of the store starts with less than it once had.
//
// cmd/lagan calls it; rest serves Admissions.
package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/identity"
)

// format is the version of the records.
const format = 1

// Prefix is the part of the metadata store that is this package's. It is not
// below volume.Prefix: nodes do not watch it, and the key stays where it is.
const Prefix = "/lagan/cluster/"

const (
	authorityKey  = Prefix + "authority"
	tokensPrefix  = Prefix + "tokens/"
	membersPrefix = Prefix + "members/"
)

// tokensMax bounds the tokens that are valid at once: they are read as a whole.
const tokensMax = 100

// authorityRecord is what certificates are made with.
type authorityRecord struct {
	Format      int    `json:"format"`
	Cluster     string `json:"cluster"` // name
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// tokenRecord is a token that may be used until it expires.
type tokenRecord struct {
	Format  int           `json:"format"`
	ID      string        `json:"id"`
	Hash    identity.Hash `json:"hash"` // of the secret
	Expires time.Time     `json:"expires"`
}

// Member is a node as the cluster admitted it. Seq orders them.
type Member struct {
	Format int          `json:"format"`
	Seq    int          `json:"seq"`
	Node   block.NodeID `json:"node"`
	Name   string       `json:"name"`
	API    string       `json:"api"`             // host:port
	Peer   string       `json:"peer"`            // URL of its member of the metadata store, if it is to have one
	Client string       `json:"client"`          // URL likewise
	Token  string       `json:"token,omitempty"` // id of the one it was admitted with
}

// Store is the metadata store as this package uses it.
type Store interface {
	Do(ctx context.Context, txn metadata.Txn) metadata.Result
}

// decode reads a record, and refuses one of a newer version.
func decode[Record any](item metadata.Item) (record Record, err error) {
	var version struct {
		Format int `json:"format"`
	}
	if err = json.Unmarshal(item.Value, &version); err == nil && version.Format > format {
		err = fmt.Errorf("it has format %d, this version reads up to %d", version.Format, format)
		return record, &volume.Error{Kind: volume.ErrNewerFormat, What: fmt.Sprintf("record %s cannot be read", item.Key), Causes: []string{err.Error()}, Fix: "upgrade this node"}
	}
	if err == nil {
		err = json.Unmarshal(item.Value, &record)
	}
	if err != nil {
		err = &volume.Error{Kind: volume.ErrBrokenRecord, What: fmt.Sprintf("record %s cannot be read", item.Key), Causes: []string{err.Error()}, Fix: "restore the metadata store from a backup, or delete the record by hand"}
	}
	return record, err
}

// put returns the write of a record.
func put(key string, record any) (metadata.Op, error) {
	value, err := json.Marshal(record)
	if err != nil {
		return metadata.Op{}, fmt.Errorf("encode record %s: %w", key, err)
	}
	return metadata.Op{Key: key, Value: value}, nil
}

// unanswered says that the store did not answer.
func unanswered(what string) error {
	return &volume.Error{
		Kind: volume.ErrOutcomeUnknown, What: what + ": the metadata store did not answer in time",
		Fix: "see that a majority of the voting nodes is up, then try again",
	}
}
