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
	crew *client          // does as it likes: see busy
	said map[uint64]error // answers to commands
}

// newCluster starts nodes with one volume whose copies are on the given ones.
func newCluster(t *testing.T, nodes int, copies ...int) *cluster {
	t.Helper()
	return newClusterOf(t, 1, nodes, copies...)
}

// newClusterOf is newCluster with a seed of its own: another order of what
// happens at once. A copy that was put out is filled, whenever it comes back.
func newClusterOf(t *testing.T, seed uint64, nodes int, copies ...int) *cluster {
	t.Helper()
	return newClusterThatKeeps(t, 0, seed, nodes, copies...)
}

// newClusterThatKeeps is newClusterOf with a window that goes back for copies that were
// put out.
func newClusterThatKeeps(t *testing.T, kept time.Duration, seed uint64, nodes int, copies ...int) *cluster {
	t.Helper()
	p := NewPlan(seed, Quiet)
	p.Nodes, p.Faults, p.Clients, p.TailOneIn, p.ProbeOneIn = nodes, nil, nil, 0, 1
	p.ClockPPM, p.Snapshots, p.Restores, p.Deletes, p.Copies, p.HealAfter = make([]int, nodes), 8, false, false, false, 0
	p.Volumes = []VolumePlan{{Blocks: 32, Hot: 32, Members: copies}}
	p.WindowOps, p.WindowKept = 0, kept
	return newClusterFrom(t, p)
}

// newClusterFrom is newCluster with a plan that the scenario made.
func newClusterFrom(t *testing.T, p *Plan) *cluster {
	t.Helper()
	return newClusterWith(t, p, coreMachines())
}

// newClusterWith is newClusterFrom with machines that the scenario made.
func newClusterWith(t *testing.T, p *Plan, m makers) *cluster {
	t.Helper()
	w := newWorld(p, Options{}, m)
	if *traceFlag {
		w.trace = os.Stdout
	}
	c := &cluster{t: t, w: w, v: w.volumes[0]}
	c.user = newClient(w, 0, &ClientPlan{Depth: 1})
	c.crew = newClient(w, 1, &ClientPlan{Depth: 6, ReadShare: 20})
	c.crew.rare, c.crew.moves = false, false
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
	c.t.Helper()
	return c.sound(func() { c.w.run(c.w.now+int64(d), nil) })
}

// sound does something and ends the test if an invariant breaks meanwhile.
func (c *cluster) sound(do func()) *cluster {
	c.t.Helper()
	defer func() {
		if v := recover(); v != nil {
			c.t.Fatalf("%v", c.w.violationOf(v))
		}
	}()
	do()
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

// until runs, event by event, to the very moment at which something is so.
func (c *cluster) until(d time.Duration, what string, so func() bool) *cluster {
	c.t.Helper()
	for last := c.w.now + int64(d); !so(); c.sound(c.w.one) {
		if c.w.now > last {
			c.t.Fatalf("after %v not yet: %s; %s; %s", d, what, configText(c.v.config), c.w.missing())
		}
	}
	return c
}

// attach takes the volume to a node by force and waits until it is served there.
func (c *cluster) attach(node int, within time.Duration) *cluster {
	c.t.Helper()
	return c.seize(node).within(within, "served by the node", func() bool { return c.serves(node) }).use(node)
}

// seize asks a node to take the volume by force, and does not wait.
func (c *cluster) seize(node int) *cluster {
	c.w.operator.send(c.w.bodies[node], volume.Command{Kind: volume.AttachVolume, Name: c.v.name, Force: true})
	return c
}

func (c *cluster) serves(node int) bool {
	st := c.v.servingAt(c.w.bodies[node])
	return st != nil && st.ready && st.text == ""
}

// waitsAt insists that a node that has the volume does not serve it for a while,
// and says why.
func (c *cluster) waitsAt(node int, d time.Duration) *cluster {
	c.t.Helper()
	c.run(d)
	if st := c.v.servingAt(c.w.bodies[node]); st == nil || st.ready || st.text == "" {
		c.t.Fatalf("it should wait and say so: %+v", st)
	}
	return c
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

// busy has somebody else write, trim, flush and read, several blocks and requests
// at once, where the volume is served, until all is calm again.
func (c *cluster) busy(every time.Duration) *cluster {
	c.crew.left, c.w.plan.ProbeOneIn = 1, 100
	var turn func()
	turn = func() {
		if c.crew.left == 0 {
			return
		}
		if c.crew.choose(); c.crew.mount != nil && c.crew.inFlight < c.crew.depth {
			c.crew.ask()
		}
		c.w.after(every, callClient, turn)
	}
	c.w.after(every, callClient, turn)
	return c
}

// calm ends that, and waits for what was asked for to be answered.
func (c *cluster) calm() *cluster {
	c.t.Helper()
	c.crew.left, c.w.plan.ProbeOneIn = 0, 1
	return c.within(20*time.Second, "all is answered", func() bool {
		for _, st := range c.v.servings {
			if len(st.requests) > 0 {
				return false
			}
		}
		return true
	})
}

// becomes waits until a copy is in a state.
func (c *cluster) becomes(node int, s volume.State, within time.Duration) *cluster {
	c.t.Helper()
	return c.within(within, "the copy is "+string(s), func() bool { return c.is(node, s) })
}

// is reports whether the copy on a node is in a state.
func (c *cluster) is(node int, s volume.State) bool {
	for _, m := range c.v.config.Members {
		if m.Node == c.w.bodies[node].id {
			return m.State == s
		}
	}
	return false
}

// isolate cuts a node from the other nodes and from the metadata store.
func (c *cluster) isolate(node int, d time.Duration) *cluster {
	c.w.isolate(c.w.bodies[node], &Fault{For: d, Pick: ^uint64(0)})
	return c
}

// apart cuts two sides from each other, both ways.
func (c *cluster) apart(d time.Duration, one, other []int) *cluster {
	var list []pair
	for _, a := range one {
		for _, b := range other {
			list = append(list, pair{a, b}, pair{b, a})
		}
	}
	c.w.cutFor(d, list)
	return c
}

// clog lets nothing of what a node sends to another arrive for a while; then all
// of it does.
func (c *cluster) clog(from, to int, d time.Duration) *cluster {
	c.w.network.clog(from, to, d)
	return c
}

// slow makes a node's disk take many times as long, or 1: as long as ever.
func (c *cluster) slow(node, times int) *cluster {
	faults := c.w.plan.DiskFaults
	if faults.Slow = uint32(times); times == 1 {
		faults.Slow = 0
	}
	c.w.bodies[node].drives[0].device.SetFaults(faults)
	return c
}

// offline takes the metadata store away from a node; online gives it back.
func (c *cluster) offline(node int) *cluster { c.w.metadata.cut(c.w.bodies[node]); return c }
func (c *cluster) online(node int) *cluster  { c.w.metadata.mend(c.w.bodies[node]); return c }

// deaf lets a node's watch hear nothing of what changes; its transactions go on.
// hears ends that.
func (c *cluster) deaf(node int) *cluster { c.w.metadata.views[node].under = true; return c }

func (c *cluster) hears(node int) *cluster {
	c.w.metadata.views[node].under = false
	c.w.metadata.notify(c.w.bodies[node])
	return c
}

func (c *cluster) kill(node int) *cluster  { c.w.bodies[node].kill(); return c }
func (c *cluster) power(node int) *cluster { c.w.bodies[node].powerLoss(disk.LoseAll); return c }
func (c *cluster) up(node int) *cluster    { c.w.bodies[node].up(); return c }

// judge holds what the users saw against what a volume promises.
func (c *cluster) judge() { c.sound(func() { c.w.judge(nil) }) }
