package sim

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// What a container engine does around a volume that nobody uses any more: it
// says so, lets go when another node asks, and does not when a container came
// back. The clients of the world go on meanwhile: a volume loses nothing of what
// is asked of it at its very end either.

// handOver has the container of a volume end and another node ask for it while
// it lingers; now and then a container comes back in between.
func (o *operator) handOver(v *volumeState, want *want, node int) {
	w := o.world
	from := w.bodies[want.node]
	st := v.servingAt(from)
	returns, after := o.hands.oneIn(3), o.hands.logSpan(time.Millisecond, time.Second)
	comes := o.hands.logSpan(time.Millisecond, time.Second)
	if from.life == 0 || st == nil || !st.ready || node == want.node {
		return
	}
	w.counts.Lingered++
	o.use(from, v, "")
	w.after(after, callOperator, func() {
		if w.healed || w.bodies[node].life == 0 || want.node != from.index || want.detaching {
			return // something else is wanted by now
		}
		want.node, want.handing = node, true
		want.since, want.patience = w.now, o.hands.span(6*time.Second, 9*time.Second)
		want.asked = o.send(w.bodies[node], volume.Command{Kind: volume.AttachVolume, Name: v.name})
	})
	if returns {
		w.after(comes, callOperator, func() {
			if v.servingAt(from) == st {
				o.use(from, v, "job")
			}
		})
	}
}

// use has a container, or none any more, use the volume at a node.
func (o *operator) use(b *body, v *volumeState, container string) {
	st := v.servingAt(b)
	if st == nil || b.life == 0 {
		return
	}
	uses := volume.Uses{Lingering: container == ""}
	if container != "" {
		uses.Users = []volume.User{{Mount: "id of " + container, Container: container, Since: "2026-01-01T00:00:00Z"}}
	}
	st.lingers = uses.Lingering
	b.tell(b.orchestrator, &step.Control{Kind: step.VolumeUsed, Volume: v.id, Uses: &uses})
}

// wanted has a node let go of what lingers there, a moment later: a file system
// is unmounted first.
func (o *operator) wanted(b *body, id block.VolumeID) {
	w, v, life := o.world, o.world.volume(id), b.life
	w.after(o.hands.logSpan(time.Millisecond, 300*time.Millisecond), callOperator, func() {
		if st := v.servingAt(b); b.life == life && st != nil && st.lingers && !o.keeps {
			o.send(b, volume.Command{Kind: volume.DetachVolume, Name: v.name})
		}
	})
}

// handed takes the answer to a wish without force. Who is refused leaves the
// volume where it is.
func (o *operator) handed(v *volumeState, want *want, err error) {
	want.handing = false
	if err == nil {
		o.world.counts.HandedOver++
		return
	}
	if b := o.world.bodyOf(v.attachment.Node); b != nil {
		want.node = b.index
	}
}
