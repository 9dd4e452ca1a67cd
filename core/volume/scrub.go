package volume

import "time"

// Scrub is the reading of everything that is on a disk, to find what has rotted
// while another copy of it is good.
type Scrub struct {
	At    ScrubCursor
	Rate  int64 // bytes a second that it may read; 0: none is to run
	Read  int64 // bytes, since its beginning
	Total int64 // bytes that the disk held when it began, about
	Lost  int   // chunks of which something was lost
	Over  bool
}

// ScrubCursor is how far a scrub is: all that it takes to go on after a restart.
// The zero value is its beginning.
type ScrubCursor struct {
	Stage uint8  `json:"stage"`
	Layer uint32 `json:"layer,omitempty"` // number of the layer
	At    uint64 `json:"at,omitempty"`    // chunk of the layer, page, or position in the journal
}

// ScrubRecord is what a node remembers of the scrubs of a disk, across restarts.
type ScrubRecord struct {
	At    ScrubCursor `json:"at"` // of one that is not over
	Read  int64       `json:"read"`
	Total int64       `json:"total"`
	Lost  int         `json:"lost"`            // chunks of which the last one, or the one under way, found something lost
	Began time.Time   `json:"began,omitzero"`  // of the last one
	Ended time.Time   `json:"ended,omitzero"`  // of the last one that came to its end
	Seen  time.Time   `json:"seen"`            // when the disk was first known
	Going bool        `json:"going,omitempty"` // one is under way
}
