// Package api is what the API says, as values: the JSON that travels between
// rest and rest/client. Names here are the names in the API. It promises that
// what a user asked for (spec) and what is (status) stay apart.
package api

// List is the answer to a request for all of something.
type List[Item any] struct {
	Items []Item `json:"items"`
}

// Volume is /v1/volumes/{name}.
type Volume struct {
	Name   string       `json:"name"`
	ID     string       `json:"id,omitempty"`
	Spec   VolumeSpec   `json:"spec"`
	Status VolumeStatus `json:"status"`
	// Placement has a line for every node, chosen or not: in answers to a PUT.
	Placement []string `json:"placement,omitempty"`
}

// VolumeSpec is what was asked for.
type VolumeSpec struct {
	Size         int64             `json:"size"` // bytes
	Replicas     int               `json:"replicas"`
	FS           string            `json:"fs"`
	Nodes        []string          `json:"nodes,omitempty"`
	Zones        []string          `json:"zones,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	MountOptions string            `json:"mount_options,omitempty"`
	Preempt      bool              `json:"preempt,omitempty"`
}

// VolumeStatus is what is.
type VolumeStatus struct {
	Health     string      `json:"health"` // healthy, degraded, stalled, deleting, unreadable
	Reason     string      `json:"reason,omitempty"`
	Created    string      `json:"created,omitempty"` // RFC 3339
	Formatted  bool        `json:"formatted"`
	Epoch      uint64      `json:"epoch"`
	Revision   int64       `json:"revision"`
	Attachment *Attachment `json:"attachment,omitempty"`
	Replicas   []Replica   `json:"replicas,omitempty"`
}

// Attachment says which node serves a volume. All but the node's name is known
// to that node alone.
type Attachment struct {
	Node     string   `json:"node"`
	Serving  bool     `json:"serving"`
	Lossless bool     `json:"lossless"`
	Reason   string   `json:"reason,omitempty"` // why requests wait
	Device   string   `json:"device,omitempty"`
	Mounts   []string `json:"mounts,omitempty"`
}

// Replica is one copy of a volume.
type Replica struct {
	ID    string `json:"id"`
	Node  string `json:"node"`
	Disk  string `json:"disk"`
	State string `json:"state"` // in-sync, syncing, out, leaving
}

// Node is /v1/nodes/{id}.
type Node struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Address       string            `json:"address"`
	API           string            `json:"api,omitempty"`
	Zone          string            `json:"zone,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Version       string            `json:"version"`
	Alive         bool              `json:"alive"`
	SilentSeconds int64             `json:"silent_seconds,omitempty"`
	Self          bool              `json:"self"` // it answered
}

// Disk is one of /v1/disks.
type Disk struct {
	ID       string `json:"id,omitempty"`
	Node     string `json:"node"`
	Path     string `json:"path,omitempty"` // known to its node alone
	Capacity int64  `json:"capacity"`       // bytes
	Free     int64  `json:"free"`
	Promised int64  `json:"promised"`
	Problem  string `json:"problem,omitempty"`
}

// Status is /v1/status: everything that one screen shows.
type Status struct {
	Node    string   `json:"node"`
	Version string   `json:"version"`
	Ready   bool     `json:"ready"`
	Problem *Problem `json:"problem,omitempty"` // why it is not ready
	Nodes   []Node   `json:"nodes"`
	Disks   []Disk   `json:"disks"`
	Volumes []Volume `json:"volumes"`
}

// Attach is the body of a PUT of /v1/volumes/{name}/attachment.
type Attach struct {
	Force  bool   `json:"force,omitempty"`
	Device bool   `json:"device,omitempty"` // show it to the kernel as a block device
	Mount  string `json:"mount,omitempty"`  // where to mount its file system; implies device
}

// Written is the answer to a PUT of /v1/volumes/{name}/blocks.
type Written struct {
	Bytes int64 `json:"bytes"` // all of them durable
}

// Join is the body of a POST to /v1/join, the one request that needs no
// certificate.
type Join struct {
	TokenID     string `json:"token_id"`
	TokenSecret string `json:"token_secret"`
	Name        string `json:"name"`
	API         string `json:"api"` // host:port, like the next two
	EtcdPeer    string `json:"etcd_peer"`
	EtcdClient  string `json:"etcd_client"`
	Request     string `json:"request"` // for a certificate, as PEM
}

// Joined is the answer to it.
type Joined struct {
	Node        string   `json:"node"`
	Cluster     string   `json:"cluster"`
	Authority   string   `json:"authority"`   // PEM
	Certificate string   `json:"certificate"` // PEM
	Endpoints   []string `json:"endpoints"`   // client URLs of the metadata store's voters
}

// NewToken is the body of a POST to /v1/tokens.
type NewToken struct {
	TTLSeconds int64 `json:"ttl_seconds,omitempty"` // 0: a day
}

// Token is one of /v1/tokens.
type Token struct {
	ID      string `json:"id"`
	Token   string `json:"token,omitempty"` // in the answer to its making, and never again
	API     string `json:"api,omitempty"`   // likewise: where to use it
	Expires string `json:"expires"`         // RFC 3339
}

// Stopping is the answer to a POST to /v1/stop, which the socket alone takes.
type Stopping struct {
	Process int `json:"process"` // it ends when the node has stopped
}

// Problem is an answer that is an error (RFC 9457), of the media type in
// ProblemType.
type Problem struct {
	Type   string   `json:"type"` // a URI reference made of the code
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Code   string   `json:"code"`
	Detail string   `json:"detail"`
	Cause  []string `json:"cause,omitempty"`
	Fix    string   `json:"fix,omitempty"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// CodeInternal is the code of errors that are not the user's.
const CodeInternal = "internal"
