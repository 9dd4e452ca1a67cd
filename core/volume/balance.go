package volume

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
)

// SpreadDefault is by how many points the shares of disks that are promised may
// differ when nobody says otherwise.
const SpreadDefault = 10

// Rebalance says that copies are to be moved from the fullest disks to the emptiest
// ones. It is there while that goes on; the first node carries it out.
type Rebalance struct {
	Format int    `json:"format"`
	Spread int    `json:"spread"` // points by which the shares of disks that are promised may differ
	Since  string `json:"since"`  // RFC 3339
	// Moved and Left are bytes of volumes: of copies that have arrived, and of those
	// that were to be moved when it was asked for and are not begun yet.
	Moved  int64    `json:"moved"`
	Left   int64    `json:"left"`
	Moving []Moving `json:"moving,omitempty"` // that are on their way
}

// Moving is a copy on its way to another disk.
type Moving struct {
	Volume  block.VolumeID  `json:"volume"`
	Replica block.ReplicaID `json:"replica"` // the new one
	Bytes   int64           `json:"bytes"`
}

// CheckSpread refuses points that no two disks could differ by.
func CheckSpread(points int) error {
	if points < 1 || points > 99 {
		return invalidSpread(points)
	}
	return nil
}

func invalidSpread(points int) error {
	return &Error{
		Kind: ErrInvalidOption,
		What: fmt.Sprintf("a spread of %d points is not between 1 and 99", points),
		Fix:  fmt.Sprintf("give points of a hundred, or leave it out for %d", SpreadDefault),
	}
}

// CopyMove is a copy that is to be moved, and what speaks for it.
type CopyMove struct {
	Volume   block.VolumeID
	Name     string // of the volume
	From, To Disk   // as recorded
	FromNode string // name
	ToNode   string // name
	Bytes    int64  // size of the volume
	// FromShare and ToShare are what the disks promise of what they have, in percent,
	// when all moves before this one are done.
	FromShare, ToShare int
}

// Why says in words what speaks for a move.
func (m *CopyMove) Why() string {
	return fmt.Sprintf("its disk promises %d %% of what it has, the other one %d %%", m.FromShare, m.ToShare)
}

// Balance is how evenly disks are filled by what they promise, and which copies are
// to be moved to have them differ by at most Spread points.
type Balance struct {
	Spread  int
	Fullest int // percent; of disks that copies may leave
	// Emptiest is that of disks to which copies may come, in percent; 100: there are none.
	Emptiest int
	Moves    []CopyMove // in this order
	Bytes    int64      // of all of them
	Stuck    []string   // a line for every disk that stays too full, and why
	Waiting  int        // copies on those disks that may be moved once their volumes are as they should be
	Started  string     // identity of the operation that carries it out, "" for none
}
