package volume

// Fate is what becomes of a volume when a node goes away.
type Fate string

// The fates, from the best to the worst.
const (
	Unaffected    Fate = "unaffected"     // no copy that counts is on the node
	LessRedundant Fate = "less-redundant" // it goes on with fewer copies
	Unwritable    Fate = "unwritable"     // fewer copies are left than a write needs
	Unavailable   Fate = "unavailable"    // no copy that holds everything can be reached, or none may serve alone
)

// Loss is what the absence of a node would cost one volume.
type Loss struct {
	Volume string // name
	Fate   Fate
	Left   int    // copies in sync that could be reached without the node
	Asked  int    // copies asked for
	Text   string // what that means
}

// Stay is an attachment that lives on a node.
type Stay struct {
	Volume  string // name
	Users   []User
	Lingers bool // nobody uses it, and another node gets it on request
}

// Absence is what the rest of the cluster would notice if a node were away for a
// while, as for a reboot. What runs on the node itself ends with it in any case.
type Absence struct {
	Node    string // name
	Safe    bool   // every volume goes on, and records can still be changed
	Reasons []string
	Losses  []Loss // by name
	Stays   []Stay // by name
	Voters  Voters
}

// Voters is who could decide in the metadata store while a node is away.
type Voters struct {
	Known  bool // they are: not if others run the metadata store
	Votes  bool // the node does
	All    int  // that there are
	Left   int  // that are heard from, without the node
	Needed int  // for a majority
}

// Enough reports whether the absence leaves a majority, or changes nothing about it.
func (v *Voters) Enough() bool { return !v.Known || !v.Votes || v.Left >= v.Needed }

// Account says why the copies of a volume are where they are, and what becomes of
// it if a node dies.
type Account struct {
	Volume      string // name
	Health      Health
	Reason      string // why it is not healthy
	Asked       int    // copies
	MinWritable int    // copies in sync without which nothing is written
	Rules       []string
	Copies      []CopyAccount
	Nodes       []NodeAccount // by name
}

// CopyAccount says of one copy why it is where it is, and as it is.
type CopyAccount struct {
	Copy
	Why []string
}

// NodeAccount says what a node is to a volume.
type NodeAccount struct {
	Node  string // name
	Place string // why the next copy would, or would not, be there
	Fate  Fate   // if the node dies now
	Text  string // what that means
}
