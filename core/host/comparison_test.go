package host

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// comparer is a session that hears what it is asked for.
type comparer struct{ asked []bool }

func (m *comparer) Step(_ step.Time, ev *step.Event, _ *step.Effects) {
	if ev.Kind == step.EventControl && ev.Control.Kind == step.CompareVolume {
		m.asked = append(m.asked, ev.Control.Force)
	}
}

// comparingHost has a volume that serves, and an orchestrator that knows nothing.
func comparingHost(t *testing.T) (*Host, *Volume, *comparer) {
	h, _, _, _ := talkingHost(t)
	h.params.Now = func() time.Time { return time.Unix(7, 0) }
	h.comparisons = newComparisons(h)
	h.orchestrator = newShard(h, slog.String("shard", "orchestrator"), node.NewOrchestrator(node.Params{}))
	v, m := comparedVolume(h)
	return h, v, m
}

// comparedVolume begins a session.
func comparedVolume(h *Host) (*Volume, *comparer) {
	m := &comparer{}
	v := &Volume{host: h, id: block.VolumeID{1}, name: "db", changed: make(chan struct{}), shard: newShard(h, slog.String("shard", "db"), m)}
	h.volumes = map[block.VolumeID]*Volume{v.id: v}
	h.changed = make(chan struct{})
	return v, m
}

func TestComparisonIsKnownUntilItIsForgotten(t *testing.T) {
	h, v, m := comparingHost(t)
	if all := h.Comparisons(); len(all) != 0 {
		t.Fatalf("%+v", all)
	}
	tell := func(over bool, now volume.Comparison) {
		h.onControl(&step.Control{Kind: step.VolumeCompared, Volume: v.id, Force: over, Comparison: &now})
	}
	one := func() ComparisonReport {
		t.Helper()
		all := h.Comparisons()
		if len(all) != 1 {
			t.Fatalf("%+v", all)
		}
		return all[0]
	}
	for range 2 { // the second is the first
		if r, err := h.StartComparison(v); err != nil || !r.Going || r.Began.Unix() != 7 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	tell(false, volume.Comparison{Done: 1, Total: 9})
	if r := one(); !r.Going || r.Done != 1 {
		t.Errorf("under way: %+v", r)
	}
	tell(true, volume.Comparison{Done: 9, Total: 9, Ended: true, Blocks: 3})
	if r := one(); r.Going || r.Broken != "" || r.Blocks != 3 {
		t.Errorf("over: %+v", r)
	}
	h.CancelComparison(v.id)
	if all := h.Comparisons(); len(all) != 0 {
		t.Errorf("forgotten: %+v", all)
	}
	if !slices.Equal(m.asked, []bool{false}) {
		t.Errorf("the session was asked %v", m.asked)
	}
}

func TestComparisonThatIsCancelledLeavesNothing(t *testing.T) {
	h, v, m := comparingHost(t)
	if _, err := h.StartComparison(v); err != nil {
		t.Fatal(err)
	}
	h.CancelComparison(v.id)
	if all := h.Comparisons(); len(all) != 0 || !slices.Equal(m.asked, []bool{false, true}) {
		t.Errorf("%+v; the session was asked %v", all, m.asked)
	}
	if _, err := h.StartComparison(v); err == nil || !strings.Contains(err.Error(), "just being broken off") {
		t.Errorf("begun anew before the session has ended it: %v", err)
	}
	h.onControl(&step.Control{Kind: step.VolumeCompared, Volume: v.id, Force: true, Comparison: &volume.Comparison{Done: 4}})
	if r, err := h.StartComparison(v); err != nil || !r.Going || r.Done != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestComparisonEndsWithItsSession(t *testing.T) {
	for _, c := range []struct {
		about string
		ends  []step.Control
		want  string
	}{
		{"detached", []step.Control{{Kind: step.VolumeCompared, Force: true, Comparison: &volume.Comparison{}}, {Kind: step.VolumeDetached}}, "the volume was detached from this node"},
		{"fenced", []step.Control{{Kind: step.VolumeFenced, Text: "node b took it"}}, "this node does not serve the volume any more: node b took it"},
	} {
		h, v, _ := comparingHost(t)
		if _, err := h.StartComparison(v); err != nil {
			t.Fatal(err)
		}
		for _, end := range c.ends {
			end.Volume = v.id
			h.onControl(&end)
		}
		if all := h.Comparisons(); len(all) != 1 || all[0].Going || all[0].Broken != c.want {
			t.Errorf("%s: %+v", c.about, all)
		}
		again, m := comparedVolume(h)
		if r, err := h.StartComparison(again); err != nil || !r.Going || r.Broken != "" || len(m.asked) != 1 {
			t.Errorf("%s, and begun by the next session: %+v, %v", c.about, r, err)
		}
	}
}

func TestComparisonThatASessionDoesNotLiveToBeginIsBrokenOff(t *testing.T) {
	h, v, _ := comparingHost(t)
	h.onControl(&step.Control{Kind: step.VolumeFenced, Volume: v.id, Text: "node b took it"})
	if _, err := h.StartComparison(v); err != nil {
		t.Fatal(err)
	}
	if all := h.Comparisons(); len(all) != 1 || all[0].Going || all[0].Broken == "" {
		t.Errorf("%+v", all)
	}
}
