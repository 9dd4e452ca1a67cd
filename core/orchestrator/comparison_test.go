package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func TestCopiesThatDifferAreToldWithTheirPlaces(t *testing.T) {
	c, id := attached(t, 1)
	a := c.nodes[0]
	a.must(take("monday"))
	list := c.snapshots(id).List
	a.told()
	copies := func(sums ...block.Checksum) (all []volume.CopySum) {
		for i, sum := range sums {
			all = append(all, volume.CopySum{Node: c.nodes[i].record.ID, Sum: sum})
		}
		return all
	}
	found := volume.Comparison{Done: 9, Total: 9, Ended: true}
	a.control(step.Control{Kind: step.VolumeCompared, Volume: id, Force: true, Comparison: &found})
	c.run()
	if told := a.told(); len(told) != 0 {
		t.Errorf("that copies are equal is told: %q", told)
	}
	found.Blocks, found.Places = 5, []volume.Difference{
		{Layer: ^block.LayerID(0), Chunk: 1, Blocks: 1 << 15, Copies: copies(1, 2)},
		{Layer: list[0].Layer, Chunk: 0, Blocks: 1, Copies: copies(1, 2)},
		{Chunk: 3, Blocks: 1<<4 | 1<<6, Copies: copies(0xab, 0xffffffff)},
		{Chunk: 2, Blocks: 1, Copies: copies(3, 4)},
	}
	a.control(step.Control{Kind: step.VolumeCompared, Volume: id, Force: true, Comparison: &found})
	c.run()
	if len(a.events) != 1 {
		t.Fatalf("told %+v", a.events)
	}
	const want = "volume db: 5 blocks are not the same on all copies, the first at byte 131072 on nodes a, b; nothing was changed: if you know which copy is wrong"
	if e := a.events[0]; e.Kind != volume.CopiesDiffer || e.Volume != "db" || !strings.HasPrefix(e.Text, want) {
		t.Errorf("told %+v", e)
	}
	var lines []string
	for _, d := range a.o.Differences(id, &found) {
		lines = append(lines, fmt.Sprint(d.Snapshot, " ", d.Offset, "+", d.Length, " ", d.Copies))
	}
	got := strings.Join(lines, "\n")
	if want := ` 131072+4096 [{a 00000003} {b 00000004}]
 212992+12288 [{a 000000ab} {b ffffffff}]
monday 0+4096 [{a 00000001} {b 00000002}]
ffffffffffffffff 126976+4096 [{a 00000001} {b 00000002}]`; got != want {
		t.Errorf("differences:\n%s\nwant:\n%s", got, want)
	}
}

func TestCopiesThatDifferAreAnAlert(t *testing.T) {
	v := orchestrator.VolumeStatus{Volume: block.VolumeID{1}, Spec: volume.Spec{Name: "db"}, Config: &volume.Config{}}
	r := orchestrator.Recorded{Volumes: []orchestrator.VolumeStatus{v}, Differing: map[block.VolumeID]uint64{v.Volume: 1, {2}: 7}}
	alerts := orchestrator.Alerts(&r)
	if len(alerts) != 1 || alerts[0].Code != "copies-differ" || alerts[0].Subject != "db" ||
		!strings.HasPrefix(alerts[0].Text, "volume db: 1 block is not the same on all copies") || !strings.Contains(alerts[0].Fix, "lagan replica rm db NODE") {
		t.Errorf("%+v", alerts)
	}
	r.Volumes[0].Deleting = true
	if alerts := orchestrator.Alerts(&r); len(alerts) != 0 {
		t.Errorf("a volume that is being deleted: %+v", alerts)
	}
}
