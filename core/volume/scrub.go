package volume

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
