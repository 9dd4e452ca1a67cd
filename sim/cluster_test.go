package sim

import (
	"os"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// cluster is a world for scenarios: one volume, no faults but those that the
// scenario asks for, one user that does as it is told. Its methods read as the
// sentences of a story; whatever is not as told ends the test.
type cluster struct {
	t    *testing.T
	w    *World
	v    *volumeState
	user *client
	said map[uint64]error // answers to commands
}

// newCluster starts nodes with one volume whose copies are on the given ones.
func newCluster(t *testing.T, nodes int, copies ...int) *cluster {
	t.Helper()
	return newClusterOf(t, 1, nodes, copies...)
}

// newClusterOf is newCluster with a seed of its own: another order of what
// happens at once.
func newClusterOf(t *testing.T, seed uint64, nodes int, copies ...int) *cluster {
	t.Helper()
	p := NewPlan(seed, Quiet)
	p.Nodes, p.Faults, p.Clients, p.TailOneIn, p.ProbeOneIn = nodes, nil, nil, 0, 1
	p.ClockPPM = make([]int, nodes)
	p.Volumes = []VolumePlan{{Blocks: 32, Hot: 32, Members: copies}}
	return newClusterFrom(t, p)
}

// newClusterFrom is newCluster with a plan that the scenario made.
func newClusterFrom(t *testing.T, p *Plan) *cluster {
	t.Helper()
	w := newWorld(p, nil, coreMachines())
	if *traceFlag {
		w.trace = os.Stdout
	}
	c := &cluster{t: t, w: w, v: w.volumes[0]}
	c.user = newClient(w, 0, &ClientPlan{Depth: 1})
	c.said = map[uint64]error{}
	w.operator.heard = func(number uint64, err error) { c.said[number] = err }
	for _, b := range w.bodies {
		b.up()
	}
	t.Cleanup(func() {
		if !t.Failed() {
			c.judge()
		}
	})
	return c.run(100 * time.Millisecond)
}

func (c *cluster) run(d time.Duration) *cluster {
	c.w.run(c.w.now+int64(d), nil)
	return c
}

// within runs until something is so, and fails if it takes longer.
func (c *cluster) within(d time.Duration, what string, so func() bool) *cluster {
	c.t.Helper()
	for until := c.w.now + int64(d); !so(); c.run(10 * time.Millisecond) {
		if c.w.now > until {
			c.t.Fatalf("after %v not yet: %s; %s; %s", d, what, configText(c.v.config), c.w.missing())
		}
	}
	return c
}

// attach takes the volume to a node by force and waits until it is served there.
func (c *cluster) attach(node int, within time.Duration) *cluster {
	c.t.Helper()
	c.w.operator.send(c.w.bodies[node], volume.Command{Kind: volume.AttachVolume, Name: c.v.name, Force: true})
	return c.within(within, "served by the node", func() bool {
		st := c.v.servingAt(c.w.bodies[node])
		return st != nil && st.ready && st.text == ""
	}).use(node)
}

// want asks a node for the volume, without force.
func (c *cluster) want(node int) (wish uint64) {
	return c.w.operator.send(c.w.bodies[node], volume.Command{Kind: volume.AttachVolume, Name: c.v.name})
}

// answered waits for the answer to a wish.
func (c *cluster) answered(wish uint64, within time.Duration) error {
	c.t.Helper()
	c.within(within, "the command is answered", func() bool { _, found := c.said[wish]; return found })
	return c.said[wish]
}

// container has a container on a node use the volume, or none any more if its
// name is "".
func (c *cluster) container(node int, name string) *cluster {
	c.w.operator.use(c.w.bodies[node], c.v, name)
	return c
}

// use makes the user work through a node.
func (c *cluster) use(node int) *cluster {
	c.user.leave()
	c.user.mount = c.v.servingAt(c.w.bodies[node])
	return c
}

// ask sends a request and reports how it ended, if it has.
func (c *cluster) ask(kind step.RequestKind, first, count int) (ended *bool, ok *bool) {
	ended, ok = new(bool), new(bool)
	c.v.image = make([]byte, c.v.plan.Blocks*c.w.plan.BlockSize)
	q := c.user.request(kind, false, block.Range{First: block.Block(first), Count: uint32(count)})
	q.reader = func(how bool) { *ended, *ok = true, how }
	return ended, ok
}

// do sends a request, cut at chunks, and waits for its success.
func (c *cluster) do(kind step.RequestKind, first, count int) *cluster {
	c.t.Helper()
	if left := block.PerChunk - first%block.PerChunk; count > left {
		return c.do(kind, first, left).do(kind, first+left, count-left)
	}
	ended, ok := c.ask(kind, first, count)
	c.within(10*time.Second, requestText(kind)+" is answered", func() bool { return *ended })
	if !*ok {
		c.t.Fatalf("%s of [%d,+%d) failed", requestText(kind), first, count)
	}
	return c
}

func (c *cluster) write(first, count int) *cluster { return c.do(step.WriteRequest, first, count) }
func (c *cluster) read(first, count int) *cluster  { return c.do(step.ReadRequest, first, count) }
func (c *cluster) flush() *cluster                 { return c.do(step.FlushRequest, 0, 0) }

// becomes waits until a copy is in a state.
func (c *cluster) becomes(node int, s volume.State, within time.Duration) *cluster {
	c.t.Helper()
	return c.within(within, "the copy is "+string(s), func() bool {
		for _, m := range c.v.config.Members {
			if m.Node == c.w.bodies[node].id {
				return m.State == s
			}
		}
		return false
	})
}

// isolate cuts a node from the other nodes and from the metadata store.
func (c *cluster) isolate(node int, d time.Duration) *cluster {
	c.w.isolate(c.w.bodies[node], &Fault{For: d, Pick: ^uint64(0)})
	return c
}

func (c *cluster) kill(node int) *cluster  { c.w.bodies[node].kill(); return c }
func (c *cluster) power(node int) *cluster { c.w.bodies[node].powerLoss(disk.LoseAll); return c }
func (c *cluster) up(node int) *cluster    { c.w.bodies[node].up(); return c }

// judge holds what the user saw against what a volume promises.
func (c *cluster) judge() {
	defer func() {
		if v := recover(); v != nil {
			c.t.Errorf("%v", v)
		}
	}()
	c.w.judge(nil)
}
