package store

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
	"github.com/lagan-storage/lagan/core/store/slots"
)

// phase is where in its life a store is.
type phase uint8

const (
	phaseNew phase = iota
	phaseFormatting
	phaseOpening
	phaseOpen
	phaseClosing // no new work; what was appended becomes durable
	phaseMarking // the last superblock is being written
	phaseClosed
	phaseFailed
)

// Store is one disk. See the package comment.
type Store struct {
	params  Params
	limits  Limits
	phase   phase
	results []Result
	handed  []Result // what Results returned last
	now     step.Time

	super     format.Superblock
	superSlot superWriter
	blockSize int
	slotSize  int64
	slotBase  int64 // device address of slot 1
	zeroSum   block.Checksum
	zeroes    block.Buffer

	ios     []ioSlot
	freeIOs []int32

	replicas   []*replica // by handle
	byHandle   map[uint32]*replica
	nextHandle uint32
	layers     []*layer // by number
	byNumber   map[uint32]*layer
	nextLayer  uint32
	doomed     []*layer // those that go, in the order in which that was decided
	folding    []*layer // those with two trees
	deeper     int      // layers that records on their way into the journal will open

	index index.Index
	slots *slots.Slots
	pages pageSpace

	queue   queue
	journal journal
	recent  recent
	company company
	syncs   syncs
	jobs    jobs
	leaves  leafCache
	destage destager
	ckpt    checkpoint
	parked  map[uint32]int // parked records with data in each slot
	dead    []*tree        // trees of layers that are gone, being freed
	reclaim reclaimer
	merge   merger
	bitmap  *tree
	timer   housekeeping
	scrub   scrubTurn
	opening *opening
	format  *formatting
	random  uint64
}

// New returns a store that is not open.
func New(p Params) *Store {
	if p.Pool == nil {
		p.Pool = block.Heap{}
	}
	s := &Store{params: p, limits: p.Limits.withDefaults(), random: p.Seed}
	s.byHandle = make(map[uint32]*replica)
	s.byNumber = make(map[uint32]*layer)
	s.parked = make(map[uint32]int)
	s.index = *index.New(format.LeafChunks)
	s.nextHandle, s.nextLayer = 1, 1
	return s
}

func (l Limits) withDefaults() Limits {
	or := func(v, d int) int {
		if v <= 0 {
			return d
		}
		return v
	}
	l.BatchRecords = min(or(l.BatchRecords, 64), format.BatchRecordsMax)
	l.BatchBytes = or(l.BatchBytes, 256<<10)
	l.IndexEntries = or(l.IndexEntries, 262_144)
	l.CacheBytes = or(l.CacheBytes, 128<<20)
	return l
}

// Results returns what was finished since the last call. The slice is valid
// until the next call of any method.
func (s *Store) Results() []Result {
	r := s.results
	clear(s.handed)
	s.results, s.handed = s.handed[:0], r
	return r
}

// Disk returns the identity in the superblock; valid once open.
func (s *Store) Disk() block.DiskID { return s.super.Disk }

// BlockSize returns the size of a block in bytes; valid once open.
func (s *Store) BlockSize() int { return s.blockSize }

func (s *Store) result(r Result) { s.results = append(s.results, r) }

// uuid draws an identity from the seed (splitmix64).
func (s *Store) uuid() (id block.ID) {
	for i := 0; i < len(id); i += 8 {
		s.random += 0x9e3779b97f4a7c15
		z := s.random
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		for j := range 8 {
			id[i+j] = byte(z >> (8 * j))
		}
	}
	return id
}

// fail stops the store for good: the shard opens a new one.
func (s *Store) fail(out *step.Effects, text string, values ...any) {
	if s.phase == phaseFailed {
		return
	}
	s.phase = phaseFailed
	out.Marks.Hit("store: failed")
	s.dropQueue()
	s.result(Result{Kind: Failed, Status: failedStatus, Text: fmt.Sprintf(text, values...)})
}

// geometry takes over what the superblock says.
func (s *Store) geometry() {
	s.blockSize = int(s.super.BlockSize)
	s.slotSize = max(format.PageSize, int64(block.PerChunk*s.blockSize))
	base := int64(format.JournalOffset) + s.super.Journal.Length
	s.slotBase = (base + s.slotSize - 1) / s.slotSize * s.slotSize
	s.zeroes = block.Heap{}.Get(block.PerChunk * s.blockSize)
	s.recent = newRecent(s.limits.RecentBytes, s.super.Journal.Length, s.blockSize)
	s.zeroSum = block.ChecksumOf(s.zeroes.Bytes()[:s.blockSize])
}

// slotsOf returns how many slots a disk of that capacity has.
func (s *Store) slotsOf(capacity int64) int {
	return int(max(0, (capacity-s.slotBase)/s.slotSize))
}

func (s *Store) slotAddress(slot uint32) int64 { return s.slotBase + int64(slot-1)*s.slotSize }

func (s *Store) slotAt(address int64) uint32 {
	return uint32((address-s.slotBase)/s.slotSize) + 1
}
