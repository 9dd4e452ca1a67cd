package bench

import (
	"context"
	"fmt"

	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/linearizability"
)

const (
	judgedBlocks     = 25
	judgedOperations = 100_000 // 4,000 on every block
)

// measureJudges measures the two judges of histories on the same one, in turn.
func (s *suite) measureJudges(ctx context.Context, _ int) error {
	h := judgedHistory()
	judges := []struct {
		name    string
		checker *linearizability.Checker
		runs    []load.Figures
	}{{name: "zones", checker: &linearizability.Checker{}}, {name: "porcupine", checker: &linearizability.Checker{Thorough: true}}}
	for range s.scale.rounds + 1 { // the first one warms up
		for i := range judges {
			j := &judges[i]
			cpu := load.ProcessCPU()
			if v := j.checker.Check(h); v != nil {
				return fmt.Errorf("an honest history is refused: %v", v)
			}
			j.runs = append(j.runs, load.Figures{load.Checked: judgedOperations / (load.ProcessCPU() - cpu).Seconds()})
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	for i := range judges {
		j := &judges[i]
		f := load.Medians(j.runs[1:])
		against := ""
		if i > 0 {
			against = simulationContest + "/" + judges[0].name
		}
		s.results.add(simulationContest+"/"+j.name, against, f)
		s.printf("%10s: %.2f million operations a second of CPU, on blocks with %d each\n", j.name, f[load.Checked]/1e6, judgedOperations/judgedBlocks)
	}
	return nil
}

// judgedHistory is what four honest clients ask and are told, at random times.
func judgedHistory() *linearizability.History {
	type pending struct {
		op    linearizability.Op
		kind  linearizability.Kind
		value uint64
	}
	random := uint64(9)
	draw := func(below int) int {
		random = random*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		return int(random>>33) % below
	}
	h := linearizability.NewHistory(block.VolumeID{1})
	var image [judgedBlocks]uint64
	var clients [4]pending
	now := int64(0)
	for written, left := uint64(1), judgedOperations; left > 0; {
		now += int64(draw(1000))
		c := draw(len(clients))
		p := &clients[c]
		switch p.kind {
		case linearizability.Write:
			h.Return(now, p.op)
			*p = pending{}
			continue
		case linearizability.Read:
			h.Return(now, p.op, p.value)
			*p = pending{}
			continue
		default: // it asks for the next
		}
		left--
		b := draw(judgedBlocks)
		at := block.Range{First: block.Block(b), Count: 1}
		if draw(2) == 0 {
			written++
			image[b] = written
			*p = pending{op: h.Call(now, c, linearizability.Write, at, written), kind: linearizability.Write}
		} else {
			*p = pending{op: h.Call(now, c, linearizability.Read, at), kind: linearizability.Read, value: image[b]}
		}
	}
	return h
}
