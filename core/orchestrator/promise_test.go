package orchestrator_test

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

// wantLimit insists that a command was refused because a disk may not promise more.
func wantLimit(t *testing.T, a volume.Answer, node, figures string) {
	t.Helper()
	want(t, a, volume.ErrNoPlacement)
	if text := a.Err.Error(); !strings.Contains(text, "node "+node+": disk ") || !strings.Contains(text, figures) || !strings.Contains(text, "--promise-max") {
		t.Errorf("node and figures %q are not in %q", figures, text)
	}
}

func TestDisksPromiseUpToTheirLimitAndNoMore(t *testing.T) {
	c := newCluster(t, 1, 10*gib, 10*gib)
	a, b := c.nodes[0], c.nodes[1]
	for _, name := range []string{"one", "two"} {
		a.insist(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=8GiB,replicas=2,name=" + name)})
	}
	a.insist(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=1GiB,replicas=1,nodes=a,name=single")})
	const figures = "promises 17 GiB to volumes and may promise 20 GiB, 200 % of what it has (--promise-max): 4 GiB needed"
	wantLimit(t, a.do(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=4GiB,replicas=1,nodes=a,name=three")}), "a", figures)
	wantLimit(t, b.do(volume.Command{Kind: volume.SetVolume, Name: "single", Spec: volume.Spec{Size: 5 * gib}}), "a", figures)
	b.insist(volume.Command{Kind: volume.SetVolume, Name: "single", Spec: volume.Spec{Size: 4 * gib}})
	a.insist(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=4GiB,replicas=1,nodes=b,name=last")})
	full := volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=1MiB,fs=none,replicas=1,name=full")}
	wantLimit(t, a.do(full), "b", "promises 20 GiB to volumes and may promise 20 GiB, 200 % of what it has (--promise-max): 1 MiB needed")
	b.insist(volume.Command{Kind: volume.DeleteVolume, Name: "last"})
	a.insist(full)
	c.check()
}

func TestCopyGoesToNoDiskThatMayNotPromiseIt(t *testing.T) {
	c := newCluster(t, 2, 10*gib, 10*gib)
	c.nodes[1].record.PromiseMax = 100
	c.kill(c.nodes[1])
	c.nodes[1].deaf = false
	c.nodes[1].start()
	c.run()
	a := c.nodes[0]
	a.insist(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=6GiB,replicas=1,nodes=b,name=one")})
	a.insist(volume.Command{Kind: volume.CreateVolume, Spec: c.spec("size=6GiB,replicas=1,name=db")})
	const figures = "promises 6 GiB to volumes and may promise 10 GiB, 100 % of what it has (--promise-max): 6 GiB needed"
	wantLimit(t, a.do(volume.Command{Kind: volume.AddReplica, Name: "db"}), "b", figures)
	c.check()
}
