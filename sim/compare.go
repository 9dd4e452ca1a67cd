package sim

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Difference is where two runs that should be the same go apart.
type Difference struct {
	Step   uint64 // the first one that differs
	First  string // what the first run did there, or where it first shows in the event log
	Second string
}

func (d *Difference) String() string {
	return fmt.Sprintf("the runs differ from step %d on; the first one did\n%sthe second one\n%s", d.Step, d.First, d.Second)
}

// Compare runs something twice and returns where the runs differ first, or nil.
// It keeps the event log of both: it is for one seed, not for a swarm.
func Compare(run func(Options) *Report) *Difference {
	var logs [2]bytes.Buffer
	var hashes [2][]uint64
	var reports [2]*Report
	for i := range reports {
		reports[i] = run(Options{Trace: &logs[i], Hashes: func(_, hash uint64) { hashes[i] = append(hashes[i], hash) }})
	}
	a, b := hashes[0], hashes[1]
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return differenceAt(uint64(i+1), &logs)
		}
	}
	switch {
	case len(a) != len(b):
		return differenceAt(uint64(min(len(a), len(b))+1), &logs)
	case reports[0].Hash != reports[1].Hash:
		return &Difference{Step: reports[0].Steps, First: "left other disks\n", Second: "left other disks\n"}
	case fmt.Sprint(reports[0].Violation) != fmt.Sprint(reports[1].Violation):
		return &Difference{
			Step: reports[0].Steps, First: fmt.Sprintf("was judged: %v\n", reports[0].Violation), Second: fmt.Sprintf("was judged: %v\n", reports[1].Violation),
		}
	}
	return nil
}

func differenceAt(step uint64, logs *[2]bytes.Buffer) *Difference {
	d := &Difference{Step: step, First: linesOf(step, logs[0].Bytes()), Second: linesOf(step, logs[1].Bytes())}
	if d.First != d.Second {
		return d
	}
	a, b := bytes.Split(logs[0].Bytes(), []byte("\n")), bytes.Split(logs[1].Bytes(), []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			d.First, d.Second = string(a[i])+"\n", string(b[i])+"\n"
			break
		}
	}
	return d
}

// linesOf returns what an event log says about a step.
func linesOf(step uint64, log []byte) string {
	var found strings.Builder
	for line := range strings.Lines(string(log)) {
		words := strings.Fields(line)
		if len(words) > 1 && words[1] == strconv.FormatUint(step, 10) {
			found.WriteString(line)
		}
	}
	if found.Len() == 0 {
		return "nothing that the log tells: a delay, or an end\n"
	}
	return found.String()
}
