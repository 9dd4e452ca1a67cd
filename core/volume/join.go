package volume

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
)

// JoinRequest is what a machine says that wants to become a node.
type JoinRequest struct {
	TokenID     string
	TokenSecret string
	Name        string
	API         string // host:port as other nodes reach it, like all that follow
	EtcdPeer    string
	EtcdClient  string
	Request     []byte // for a certificate, as PEM
}

// JoinAnswer is what makes a node of it.
type JoinAnswer struct {
	Node        block.NodeID
	Cluster     string
	Authority   []byte   // PEM
	Certificate []byte   // PEM
	Endpoints   []string // client URLs of the metadata store's voters
	External    bool     // others run the metadata store: no node votes in it
}

// TokenReport is what is known of a token. Its text is known when it is made
// and never again.
type TokenReport struct {
	ID      string
	Text    string // only from its making
	API     string // where it may be used: host:port of the node that made it
	Expires time.Time
}
