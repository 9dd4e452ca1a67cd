package linearizability

// reference judges a history of one block straight from the definition, with
// nothing settled, dropped or moved beforehand: it tries every order. It is
// the yardstick for the short cuts of both judges.
type reference struct {
	ops  []entry
	seen map[moment]bool
}

// moment is a point of the search: what has been placed, and the state.
type moment struct {
	placed uint32
	s      state
}

func referenceLegal(h *History) bool {
	r := &reference{seen: map[moment]bool{}}
	for _, e := range h.all() {
		switch {
		case e.outcome == failed || e.kind == Attach:
			continue
		case e.outcome == unknown && !e.kind.writes():
			continue
		}
		r.ops = append(r.ops, *e)
	}
	return r.search(0, state{kept: pack(0)})
}

func (r *reference) search(placed uint32, s state) bool {
	at := moment{placed, s}
	if r.seen[at] {
		return false
	}
	r.seen[at] = true
	complete, deadline, latest := true, int64(never), int64(0)
	for i, e := range r.ops {
		if placed&(1<<i) != 0 {
			latest = max(latest, e.call)
		} else if e.outcome == done {
			complete = false
			deadline = min(deadline, e.ret)
		}
	}
	if complete {
		return true
	}
	for i, e := range r.ops {
		if placed&(1<<i) != 0 || e.call > deadline {
			continue
		}
		if e.outcome == unknown && e.ret != 0 && latest > e.ret {
			continue
		}
		a := access{kind: e.kind, value: e.value, tracked: true}
		if e.kind == WriteFUA && e.outcome != done {
			a.kind = Write
		}
		if ok, after := step(s, &a); ok && r.search(placed|1<<i, after) {
			return true
		}
	}
	return false
}
