package linearizability

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// honest runs clients against a true register and writes down what they see,
// in the notation of recorder: legal histories by construction.
type honest struct {
	rng     *rand.Rand
	clients []honestClient
	events  []string
	s       state
	next    uint64
	plain   bool // neither zeroes nor power losses nor flushes
	trims   bool // many zeroes
}

type honestClient struct {
	word    string // "" when idle
	a       access
	done    bool
	outcome string // "", or how it will end although it may have taken effect
	told    uint64
}

func runHonest(rng *rand.Rand, clients, ops int, plain bool) []string {
	h := &honest{rng: rng, clients: make([]honestClient, clients), s: state{kept: pack(0)}, plain: plain}
	h.trims = !plain && rng.IntN(4) == 0
	era := 1
	for busy := 0; ops > 0 || busy > 0; {
		i := rng.IntN(clients)
		c := &h.clients[i]
		name := string(rune('a' + i))
		switch {
		case c.word == "" && ops > 0:
			ops--
			busy++
			h.start(c)
			h.emit(name + ":" + c.word)
			if rng.IntN(2) == 0 {
				h.emit(fmt.Sprintf("%s/%d", name, era))
			}
		case c.word == "":
		case !c.done && c.outcome != "!":
			h.effect(c)
		default:
			h.end(c, name)
			busy--
		}
		if !plain && rng.IntN(12) == 0 {
			h.take(&access{kind: PowerLoss})
			h.emit("#")
		}
	}
	return h.events
}

func (h *honest) emit(word string) { h.events = append(h.events, word) }

func (h *honest) start(c *honestClient) {
	*c = honestClient{word: "r", a: access{kind: Read}}
	kinds := 10
	if h.plain {
		kinds = 8
	}
	switch h.rng.IntN(kinds) {
	case 0, 1, 2, 3:
		h.next++
		c.word, c.a = fmt.Sprintf("w%d", h.next), access{kind: Write, value: h.next}
	case 4:
		h.next++
		c.word, c.a = fmt.Sprintf("W%d", h.next), access{kind: WriteFUA, value: h.next}
	case 8:
		if h.trims && h.rng.IntN(2) == 0 {
			c.word, c.a = "z", access{kind: Zero}
			break
		}
		c.word, c.a = "f", access{kind: Flush}
	case 9:
		if h.trims || h.rng.IntN(4) == 0 {
			c.word, c.a = "z", access{kind: Zero}
		}
	}
	c.a.tracked = true
	if c.a.kind.writes() {
		fate := h.rng.IntN(10)
		if h.trims {
			fate /= 2 // many of unknown outcome
		}
		switch fate {
		case 0:
			c.outcome = "!"
		case 1, 2:
			c.outcome = "?"
			if c.a.kind == WriteFUA {
				c.a.kind = Write
			}
			c.done = h.rng.IntN(3) == 0 // then it never takes effect
		}
	}
}

func (h *honest) effect(c *honestClient) {
	h.take(&c.a)
	c.told, c.done = h.s.value, true
}

// take applies a; what survives a power loss is drawn at once.
func (h *honest) take(a *access) {
	if a.kind == Read {
		return
	}
	_, h.s = step(h.s, a)
	if a.kind == PowerLoss {
		at := 8 * h.rng.IntN(len(h.s.kept)/8)
		kept := h.s.kept[at : at+8]
		for v := range h.next + 1 {
			if pack(v) == kept {
				h.s = state{value: v, kept: kept}
			}
		}
	}
}

func (h *honest) end(c *honestClient, name string) {
	switch {
	case c.a.kind == Read:
		h.emit(fmt.Sprintf("%s=%d", name, c.told))
	case c.outcome == "":
		h.emit(name + ".")
	default:
		h.emit(name + c.outcome)
	}
	c.word = ""
}

// spoil changes what some reads returned: mostly illegal.
func spoil(rng *rand.Rand, events []string) []string {
	events = slices.Clone(events)
	values := 1
	var reads []int
	for i, w := range events {
		if strings.Contains(w, ":w") || strings.Contains(w, ":W") {
			values++
		}
		if strings.Contains(w, "=") {
			reads = append(reads, i)
		}
	}
	for range 1 + rng.IntN(2) {
		if len(reads) > 0 {
			i := reads[rng.IntN(len(reads))]
			events[i] = fmt.Sprintf("%s=%d", events[i][:1], rng.IntN(values))
		}
	}
	return events
}

// fenced puts an attach somewhere: legal or not.
func fenced(rng *rand.Rand, events []string) []string {
	return slices.Insert(slices.Clone(events), rng.IntN(len(events)+1), "@2")
}
