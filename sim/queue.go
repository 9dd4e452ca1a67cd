package sim

// queue is the world's future: a 4-ary heap of small values over items that
// stay where they are. Items of equal time come out in the order they went in,
// so that (time, sequence) is one total order.
type queue struct {
	heap  []entry
	items []*item // by slot
	free  []uint32
	order uint64 // given to the next item
}

// entry is an item's place in the heap.
type entry struct {
	at    int64
	order uint64
	slot  uint32
}

func (e *entry) before(o *entry) bool {
	return e.at < o.at || e.at == o.at && e.order < o.order
}

// push returns an empty item that will come out at the given time.
func (q *queue) push(at int64) *item {
	slot, it := q.slot()
	q.heap = append(q.heap, entry{at: at, order: q.order, slot: slot})
	q.order++
	q.up(len(q.heap) - 1)
	return it
}

// again puts the item that pop returned back for a later time. One that is put
// back once more keeps its place before those that came meanwhile.
func (q *queue) again(at int64, slot uint32) {
	it := q.items[slot]
	if it.held == 0 {
		it.held = q.order
		q.order++
	}
	q.heap = append(q.heap, entry{at: at, order: it.held, slot: slot})
	q.up(len(q.heap) - 1)
}

// pop takes out the earliest item. It must be given back by done or again.
func (q *queue) pop() (at int64, order uint64, slot uint32, it *item) {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap = q.heap[:last]
	if last > 0 {
		q.down(0)
	}
	return top.at, top.order, top.slot, q.items[top.slot]
}

// done takes an item's slot back.
func (q *queue) done(slot uint32) {
	*q.items[slot] = item{}
	q.free = append(q.free, slot)
}

func (q *queue) slot() (uint32, *item) {
	if n := len(q.free); n > 0 {
		slot := q.free[n-1]
		q.free = q.free[:n-1]
		return slot, q.items[slot]
	}
	it := new(item)
	q.items = append(q.items, it)
	return uint32(len(q.items) - 1), it
}

func (q *queue) up(i int) {
	moving := q.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !moving.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = moving
}

func (q *queue) down(i int) {
	moving := q.heap[i]
	for {
		first := 4*i + 1
		if first >= len(q.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(q.heap)); c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(&moving) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = moving
}
