package linearizability

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
)

// testBlock is the block that the tests' short histories are about.
const testBlock = 7

// recorder writes histories of one block from a short notation, one event per
// word, a millisecond apart:
//
//	a:w1  client a calls write of 1     a.    it is acknowledged
//	a:W1  the same with FUA             a!    it fails for certain
//	a:z   client a zeroes the block     a?    its outcome is unknown
//	a:f   client a calls flush          a/2   it is served in era 2
//	a:r   client a calls read           a=1   the read returns 1
//	#     power loss                    @3    attach of era 3 returned
type recorder struct {
	h    *History
	open map[byte]Op
	now  int64
}

func newRecorder() *recorder {
	return &recorder{h: NewHistory(block.VolumeID{1}), open: map[byte]Op{}}
}

// record returns the history that the notation stands for.
func record(t testing.TB, notation string) *History {
	t.Helper()
	r := newRecorder()
	for _, word := range strings.Fields(notation) {
		r.event(word)
	}
	return r.h
}

func (r *recorder) event(word string) {
	r.now += 1e6
	number := func(from int) uint64 {
		n, err := strconv.ParseUint(word[from:], 10, 64)
		if err != nil {
			panic(fmt.Sprintf("word %q: %v", word, err))
		}
		return n
	}
	switch word[0] {
	case '#':
		r.h.PowerLoss(r.now)
		return
	case '@':
		r.h.Attach(r.now, block.Epoch(number(1)))
		return
	}
	who := word[0]
	op := r.open[who]
	switch word[1] {
	case '.':
		r.h.Return(r.now, op)
	case '=':
		r.h.Return(r.now, op, number(2))
	case '!':
		r.h.Fail(r.now, op)
	case '?':
		r.h.Ambiguous(op)
	case '/':
		r.h.Serve(op, block.Epoch(number(2)))
	case ':':
		r.call(who, word[2], word)
	default:
		panic("what is " + word)
	}
}

func (r *recorder) call(who, what byte, word string) {
	at := block.Range{First: testBlock, Count: 1}
	client := int(who - 'a')
	switch what {
	case 'w', 'W':
		kind := Write
		if what == 'W' {
			kind = WriteFUA
		}
		value, _ := strconv.ParseUint(word[3:], 10, 64)
		r.open[who] = r.h.Call(r.now, client, kind, at, value)
	case 'z':
		r.open[who] = r.h.Call(r.now, client, Zero, at)
	case 'r':
		r.open[who] = r.h.Call(r.now, client, Read, at)
	case 'f':
		r.open[who] = r.h.Call(r.now, client, Flush, block.Range{})
	default:
		panic("what is " + word)
	}
}
