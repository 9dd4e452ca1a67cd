package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
)

// node is a node whose use cases do what a test says.
type node struct {
	err      error // of every use case
	created  volume.Spec
	added    volume.NewDisk
	dryRun   bool
	attached volume.AttachOptions
	detached volume.DetachOptions
	exported volume.ExportOptions
	ended    volume.UnexportOptions
	name     string // the last one asked for
	target   string
	content  []byte
	breakAt  int // reading fails after so many bytes, if above 0
	written  []byte
	notReady error
	whole    bool // snapshots are deleted too, the state before is discarded
	freeze   bool
}

func (n *node) Volumes(context.Context) ([]volume.Report, error) {
	return []volume.Report{{Spec: volume.Spec{Name: "db"}}}, n.err
}

func (n *node) Volume(_ context.Context, name string) (volume.Report, error) {
	n.name = name
	if name == "absent" || name == "new" {
		return volume.Report{}, &volume.Error{Kind: volume.ErrVolumeNotFound, What: "there is no volume"}
	}
	return volume.Report{Spec: volume.Spec{Name: name, Size: 1 << 30, Replicas: 2}, Health: volume.Degraded, Reason: "copy on node b is out"}, n.err
}

func (n *node) Create(_ context.Context, s volume.Spec, dryRun bool) (volume.Report, []string, error) {
	n.created, n.dryRun = s, dryRun
	return volume.Report{Spec: s}, []string{"node a: chosen"}, n.err
}

func (n *node) Set(_ context.Context, name string, s volume.Spec) (volume.Report, error) {
	n.name, n.created = name, s
	return volume.Report{Spec: s}, n.err
}

func (n *node) Delete(_ context.Context, name string, snapshots bool) error {
	n.name, n.whole = name, snapshots
	return n.err
}

func (n *node) AddReplica(_ context.Context, name, node, disk string) (volume.Report, error) {
	n.name, n.target = name, node+"/"+disk
	return rearranged(name), n.err
}

func (n *node) MoveReplica(_ context.Context, name, from, to string) (volume.Report, error) {
	n.name, n.target = name, from+">"+to
	return rearranged(name), n.err
}

func (n *node) RecoverVolume(_ context.Context, name, node string) (volume.Report, error) {
	n.name, n.target = name, "lost but for "+node
	return rearranged(name), n.err
}

func (n *node) RemoveReplica(_ context.Context, name, node string) (volume.Report, error) {
	n.name, n.target = name, node
	return rearranged(name), n.err
}

func rearranged(name string) volume.Report {
	return volume.Report{Spec: volume.Spec{Name: name}, Copies: []volume.Copy{
		{Node: "a", State: volume.InSync, Leaving: true}, {Node: "b", State: volume.Out, Fill: &volume.Fill{Done: 1, Total: 9, Rate: 2, Left: 4 * time.Second}},
	}}
}

func (n *node) Snapshots(_ context.Context, name string) ([]volume.SnapshotReport, error) {
	s, err := n.Snapshot(context.Background(), name, "monday")
	return []volume.SnapshotReport{s}, err
}

func (n *node) Snapshot(_ context.Context, name, snapshot string) (volume.SnapshotReport, error) {
	if snapshot == "new" && n.target != "new" {
		return volume.SnapshotReport{}, &volume.Error{Kind: volume.ErrSnapshotNotFound, What: "there is no snapshot"}
	}
	s := volume.Snapshot{Name: snapshot, Layer: 0x1f, State: volume.SnapshotReady, Rule: "daily=12:00"}
	return volume.SnapshotReport{Snapshot: s, Of: name, Size: 65536, RestoredTo: "older", CloningTo: []string{"copy"}}, n.err
}

func (n *node) TakeSnapshot(ctx context.Context, name, snapshot string, freeze bool) (volume.SnapshotReport, error) {
	n.name, n.target, n.freeze = name, snapshot, freeze
	return n.Snapshot(ctx, name, snapshot)
}

func (n *node) DeleteSnapshot(_ context.Context, name, snapshot string) error {
	n.name, n.target = name, snapshot
	return n.err
}

func (n *node) Restore(_ context.Context, name, snapshot string, discard bool) (string, error) {
	n.name, n.target, n.whole = name, snapshot, discard
	return "before", n.err
}

func (n *node) Operations(context.Context) ([]volume.Operation, error) {
	return []volume.Operation{{ID: "snapshot-1f", Kind: volume.SnapshotOperation, Volume: "db", Done: 4096, Rate: 512, Left: 8 * time.Second, Cancellable: true}}, n.err
}

func (n *node) Operation(_ context.Context, id string) (volume.Operation, error) {
	return volume.Operation{ID: id, Failed: true, Reason: "no room"}, n.err
}

func (n *node) Cancel(_ context.Context, id string) error { n.name = id; return n.err }

func (n *node) Attach(_ context.Context, name string, o volume.AttachOptions) (volume.Report, error) {
	n.name, n.attached = name, o
	return volume.Report{
		Spec: volume.Spec{Name: name}, Attached: "a", Here: &volume.Use{Serving: true, Device: "/dev/loop7"},
		Users: []volume.User{{Mount: "m", Container: "c", Since: "2026-01-02T03:04:05Z"}}, Lingers: true,
	}, n.err
}

func (n *node) Detach(_ context.Context, name string, o volume.DetachOptions) error {
	n.name, n.detached = name, o
	return n.err
}

func (n *node) Unmount(_ context.Context, name, target string) error {
	n.name, n.target = name, target
	return n.err
}

func (n *node) ReadBlocks(_ context.Context, _ string, offset, length int64, w io.Writer) error {
	if n.err != nil {
		return n.err
	}
	part := n.content[offset : offset+length]
	if n.breakAt > 0 {
		if _, err := w.Write(part[:n.breakAt]); err != nil {
			return err
		}
		return errors.New("the disk died")
	}
	_, err := w.Write(part)
	return err
}

func (n *node) WriteBlocks(_ context.Context, _ string, _ int64, r io.Reader) (int64, error) {
	if n.err != nil {
		return 0, n.err
	}
	var err error
	n.written, err = io.ReadAll(r)
	return int64(len(n.written)), err
}

func (n *node) Nodes(context.Context) ([]volume.NodeReport, error) {
	return []volume.NodeReport{{Node: volume.Node{Name: "a"}, Self: true}}, n.err
}

func (n *node) Disks(context.Context) ([]volume.DiskReport, error) {
	return []volume.DiskReport{{NodeName: "a", Path: "/disk"}}, n.err
}

func (n *node) Disk(_ context.Context, name string) (volume.DiskReport, error) {
	n.name = name
	return volume.DiskReport{NodeName: "a", Path: "/disk", Work: &volume.DiskWork{Reads: volume.Operations{Count: 4, Took: 2 * time.Second}}}, n.err
}

func (n *node) AddDisk(_ context.Context, d volume.NewDisk) (volume.DiskReport, error) {
	n.added = d
	return volume.DiskReport{NodeName: "a", Path: d.Path}, n.err
}

func (n *node) CordonDisk(_ context.Context, name string, cordoned bool) (volume.DiskReport, error) {
	n.name = name
	return volume.DiskReport{Disk: volume.Disk{Cordoned: cordoned}}, n.err
}

func (n *node) CheckVolume(_ context.Context, name string, here bool) (volume.Operation, error) {
	n.name = name
	if here {
		return volume.Operation{ID: "check-1", Kind: volume.CheckOperation, Volume: name, Over: true}, n.err
	}
	return volume.Operation{ID: "check-1", Kind: volume.CheckOperation, Volume: name, Failed: true, Differences: []volume.Differing{
		{Snapshot: "s", Offset: 65536, Length: 8192, Copies: []volume.CopyContent{{Node: "a", Checksum: "0011aabb"}, {Node: "b", Checksum: "00000000"}}},
	}}, n.err
}

func (n *node) ScrubDisk(_ context.Context, name string) (volume.Operation, error) {
	n.name = name
	return volume.Operation{ID: "scrub-1", Kind: volume.ScrubOperation, Disk: name, Total: 7, Cancellable: true}, n.err
}

func (n *node) RemoveDisk(_ context.Context, name string) error { n.name = name; return n.err }

func (n *node) Alerts(context.Context) ([]volume.Alert, error) {
	return []volume.Alert{{Code: "volume-degraded", Subject: "db"}}, n.err
}

func (n *node) RemoveNode(_ context.Context, name string) error { n.name = name; return n.err }

func (n *node) Ready() error { return n.notReady }

func handler(n *node) http.Handler {
	return rest.New(rest.Params{
		Volumes: n, Exports: n, Snapshots: n, Replicas: n, Operations: n, Blocks: n, Machines: n, Service: n, Node: "a", Version: "1", Log: slog.New(slog.DiscardHandler),
	})
}

// serve puts the API on a socket and returns a client of it.
func serve(t *testing.T, n *node) *client.Client {
	t.Helper()
	return serveHandler(t, handler(n))
}

func serveHandler(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	config := &http.Server{Handler: h}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := config.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	c := client.OverSocket(socket)
	t.Cleanup(func() {
		c.Close()
		if err := config.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return c
}

func request(t *testing.T, n *node, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler(n).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body)))
	return w
}

func TestEveryErrorArrivesAtTheClientAsItWasMade(t *testing.T) {
	for _, x := range volume.Catalogue() {
		t.Run(x.Kind.Error(), func(t *testing.T) {
			made := &volume.Error{Kind: x.Kind, What: "it happened", Causes: []string{"first", "second"}, Fix: "do this"}
			err := serve(t, &node{err: made}).Delete(t.Context(), "db")
			var got *volume.Error
			if !errors.As(err, &got) || !errors.Is(err, x.Kind) || got.Error() != made.Error() {
				t.Errorf("the client got %#v, want %#v", err, made)
			}
		})
	}
}

func TestEveryErrorIsAProblemOfItsKind(t *testing.T) {
	for _, x := range volume.Catalogue() {
		w := request(t, &node{err: &volume.Error{Kind: x.Kind, What: "it happened"}}, http.MethodDelete, "/v1/volumes/db", "")
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p.Status != w.Code || p.Code != x.Kind.Error() || p.Title != x.Meaning || p.Fix != x.Remedy || w.Header().Get("Content-Type") != api.ProblemType {
			t.Errorf("%v: answered %d, %s: %s", x.Kind, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

func TestAnUnknownErrorIsInternal(t *testing.T) {
	w := request(t, &node{err: fmt.Errorf("boom")}, http.MethodDelete, "/v1/volumes/db", "")
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"code":"internal"`) {
		t.Errorf("answered %d: %s", w.Code, w.Body)
	}
}

func TestSpecificationsMeanTheSameInEveryForm(t *testing.T) {
	want := volume.Spec{Name: "new", Size: 10 << 30, Replicas: 2, Zones: []string{"x", "y"}, Labels: map[string]string{"k": "v"}}
	for _, body := range []string{
		`{"spec":{"size":"10GiB","replicas":"2","zones":"x,y","labels":"k=v"}}`,
		`{"spec":{"size":10737418240,"replicas":2,"zones":["x","y"],"labels":{"k":"v"}}}`,
		`{"spec":{"name":"new","size":"10G","repl":2,"zones":"x+y","labels":["k=v"]}}`,
	} {
		n := &node{}
		if w := request(t, n, http.MethodPut, "/v1/volumes/new?dry_run=1", body); w.Code != http.StatusOK {
			t.Errorf("%s: answered %d: %s", body, w.Code, w.Body)
		}
		if n.created.String() != want.String() || !n.dryRun {
			t.Errorf("%s: asked for %s, dry run %v; want %s", body, n.created.String(), n.dryRun, want.String())
		}
	}
}

func TestBadRequestsAreRefusedWholeAndNameWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ method, target, body, want string }{
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"sise":"10GiB"}}`, "size"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"size":"oops"}}`, "oops"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"size":1.5}}`, "1.5"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"size":true}}`, "spec.size"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"size":null}}`, "spec.size"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"zones":["x,y"]}}`, "x,y"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"name":"other"}}`, "other"},
		{http.MethodPut, "/v1/volumes/new", `{"size":"10GiB"}`, "size"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{}} {"spec":{}}`, "goes on"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":`, "cannot be read"},
		{http.MethodPut, "/v1/volumes/new?dry_run=perhaps", `{}`, "perhaps"},
		{http.MethodPut, "/v1/volumes/_new", `{}`, "_new"},
		{http.MethodPut, "/v1/volumes/a%2Fb", `{}`, "a/b"},
		{http.MethodPut, "/v1/volumes/" + strings.Repeat("x", 300), `{}`, "name of a volume"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"labels":"` + strings.Repeat("x", 2<<20) + `"}}`, "too large"},
		{http.MethodPut, "/v1/volumes/new?dry_run=1&dry_run=0", `{}`, "dry_run"},
		{http.MethodPut, "/v1/volumes/new?dry_rum=1", `{}`, "dry_rum"},
		{http.MethodPut, "/v1/volumes/new?dry_run=1;x", `{}`, "parameters"},
		{http.MethodPut, "/v1/volumes/new", `[]`, "object"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"parent":"db@"}}`, "db@monday"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":{"snapshot_schedule":"daily"}}`, "daily=12:00/7"},
		{http.MethodPatch, "/v1/volumes/db", `{"spec":{"sise":1}}`, "size"},
		{http.MethodPatch, "/v1/volumes/db", ``, "body"},
		{http.MethodDelete, "/v1/volumes/db?snapshot=1", "", "snapshot"},
		{http.MethodPut, "/v1/volumes/db/snapshots/monday", `{"freeze":"yes"}`, "freeze"},
		{http.MethodPost, "/v1/volumes/db/restore", `{}`, "snapshot"},
		{http.MethodPost, "/v1/volumes/db/replicas", `{"nodes":"a"}`, "nodes"},
		{http.MethodPost, "/v1/volumes/db/replicas/a/move", `{}`, "to"},
		{http.MethodDelete, "/v1/volumes/db/replicas/a?force=1", ``, "force"},
		{http.MethodPost, "/v1/volumes/db/restore", `{"snapshot":"monday","keep":false}`, "keep"},
		{http.MethodPut, "/v1/volumes/new", `null`, "object"},
		{http.MethodPut, "/v1/volumes/new", `{"spec":[]}`, "spec"},
		{http.MethodPut, "/v1/volumes//attachment", `{}`, "name"},
		{http.MethodPut, "/v1/volumes/db/attachment", `{"forse":true}`, "forse"},
		{http.MethodPut, "/v1/volumes/db/attachment", `{"force":"yes"}`, "force"},
		{http.MethodDelete, "/v1/volumes/db/mount?target=", "", "target"},
		{http.MethodPut, "/v1/volumes/db/export?snapshot=", "", "snapshot"},
		{http.MethodGet, "/v1/volumes/db/blocks?length=", "", "size"},
		{http.MethodDelete, "/v1/volumes/db/attachment?forse=1", "", "forse"},
		{http.MethodDelete, "/v1/volumes/db/attachment?force=no", "", "no"},
		{http.MethodGet, "/v1/volumes/db/blocks?offset=-1&length=1", "", "-1"},
	} {
		n := &node{}
		w := request(t, n, c.method, c.target, c.body)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %.80s %.80s: answered %d: %.300s, want 400 naming %q", c.method, c.target, c.body, w.Code, w.Body, c.want)
		}
		if n.created.Name != "" || n.attached != (volume.AttachOptions{}) || n.name == "db" {
			t.Errorf("%s %.80s: a use case was called", c.method, c.target)
		}
	}
}

func TestReplicasAreChangedAsAskedFor(t *testing.T) {
	n := &node{}
	c := serve(t, n)
	for _, test := range []struct {
		ask  func() (api.Volume, error)
		want string
	}{
		{func() (api.Volume, error) { return c.AddReplica(t.Context(), "db", "", "") }, "/"},
		{func() (api.Volume, error) { return c.AddReplica(t.Context(), "db", "b", "11") }, "b/11"},
		{func() (api.Volume, error) { return c.MoveReplica(t.Context(), "db", "a", "b") }, "a>b"},
		{func() (api.Volume, error) { return c.RemoveReplica(t.Context(), "db", "a") }, "a"},
		{func() (api.Volume, error) { return c.RecoverVolume(t.Context(), "db", "a") }, "lost but for a"},
	} {
		v, err := test.ask()
		if err != nil {
			t.Fatal(err)
		}
		all := v.Status.Replicas
		if n.name != "db" || n.target != test.want || len(all) != 2 || !all[0].Leaving || all[1].Leaving || all[1].State != "out" ||
			all[0].Fill != nil || all[1].Fill == nil || *all[1].Fill != (api.Fill{Done: 1, Total: 9, Rate: 2, SecondsLeft: 4}) {
			t.Errorf("asked of %s: %q, want %q; answered %+v", n.name, n.target, test.want, all)
		}
	}
	if all, err := c.Replicas(t.Context(), "db"); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestAddressesThatAreNotThereAreProblemsToo(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{http.MethodGet, "/v2", http.StatusNotFound},
		{http.MethodPost, "/v1/volumes", http.StatusMethodNotAllowed},
		{http.MethodGet, "/v1/volumes/", http.StatusNotFound},
		{http.MethodDelete, "/v1/volumes/", http.StatusNotFound},
		{http.MethodGet, "/v1/nodes/z", http.StatusNotFound},
		{http.MethodGet, "/v1/volumes/absent", http.StatusNotFound},
	} {
		w := request(t, &node{}, c.method, c.target, "")
		if w.Code != c.status || w.Header().Get("Content-Type") != api.ProblemType {
			t.Errorf("%s %s: answered %d, %s: %s", c.method, c.target, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

func TestClientAsksForWhatItWasTold(t *testing.T) {
	n := &node{}
	c := serve(t, n)
	ctx := t.Context()
	if v, err := c.Create(ctx, "new", map[string]string{"size": "1GiB"}, true); err != nil || len(v.Placement) != 1 || !n.dryRun || n.created.Size != 1<<30 {
		t.Errorf("create: %+v, %v; asked for %+v", v, err, n.created)
	}
	want := volume.AttachOptions{Force: true, Device: true, Mount: "/mnt"}
	v, err := c.Attach(ctx, "db", api.Attach{Force: true, Device: true, Mount: "/mnt"})
	if err != nil || n.attached != want || v.Status.Attachment.Device != "/dev/loop7" {
		t.Errorf("attach: %+v, %v; asked for %+v", v, err, n.attached)
	}
	if a := v.Status.Attachment; !a.Lingering || len(a.Users) != 1 || a.Users[0] != (api.User{Mount: "m", Container: "c", Since: "2026-01-02T03:04:05Z"}) {
		t.Errorf("attachment: %+v", a)
	}
	if err := c.Detach(ctx, "db", true); err != nil || !n.detached.Force {
		t.Errorf("detach: %v; asked for %+v", err, n.detached)
	}
	if err := c.Unmount(ctx, "db", "/a b&c"); err != nil || n.target != "/a b&c" {
		t.Errorf("unmount: %v; asked for %q", err, n.target)
	}
	if v, err := c.Volume(ctx, "db"); err != nil || v.Status.Health != "degraded" || v.Spec.Size != 1<<30 {
		t.Errorf("volume: %+v, %v", v, err)
	}
	if err := c.RemoveNode(ctx, "b"); err != nil || n.name != "b" {
		t.Errorf("remove node: %v; asked for %q", err, n.name)
	}
	wantDisk := volume.NewDisk{Node: "b", Path: "/dev/x", Size: 7, Wipe: true}
	if d, err := c.AddDisk(ctx, api.NewDisk{Node: "b", Path: "/dev/x", Size: 7, Wipe: true}); err != nil || n.added != wantDisk || d.Path != "/dev/x" {
		t.Errorf("add disk: %+v, %v; asked for %+v", d, err, n.added)
	}
	if d, err := c.Disk(ctx, "/dev/x"); err != nil || n.name != "/dev/x" || d.Work == nil || d.Work.Reads.Count != 4 || d.Work.Reads.MeanSeconds != 0.5 {
		t.Errorf("disk: %+v, %v; asked for %q", d, err, n.name)
	}
	if d, err := c.CordonDisk(ctx, "0011", true); err != nil || n.name != "0011" || !d.Cordoned || d.Work != nil {
		t.Errorf("cordon: %+v, %v; asked for %q", d, err, n.name)
	}
	if o, err := c.ScrubDisk(ctx, "0011"); err != nil || n.name != "0011" || o.ID != "scrub-1" || o.Disk != "0011" || o.Total != 7 || !o.Cancellable {
		t.Errorf("scrub: %+v, %v", o, err)
	}
	if o, err := c.CheckVolume(ctx, "db", true); err != nil || n.name != "db" || o.ID != "check-1" || o.State != "done" || o.Differences != nil {
		t.Errorf("check here: %+v, %v", o, err)
	}
	different := []api.Difference{{Snapshot: "s", Offset: 65536, Length: 8192, Copies: []api.CopyContent{{Node: "a", Checksum: "0011aabb"}, {Node: "b", Checksum: "00000000"}}}}
	if o, err := c.CheckVolume(ctx, "db", false); err != nil || o.State != "failed" || !reflect.DeepEqual(o.Differences, different) {
		t.Errorf("check: %+v, %v", o, err)
	}
	if err := c.RemoveDisk(ctx, "0022"); err != nil || n.name != "0022" {
		t.Errorf("remove disk: %v; asked for %q", err, n.name)
	}
	if v, err := c.Set(ctx, "db", map[string]string{"snapshot_schedule": "every=60m/3"}); err != nil || v.Spec.SnapshotSchedule != "every=1h/3" {
		t.Errorf("set: %+v, %v", v, err)
	}
	if err := c.DeleteAll(ctx, "db"); err != nil || !n.whole {
		t.Errorf("delete with snapshots: %v; asked for %v", err, n.whole)
	}
	if err := c.Delete(ctx, "db"); err != nil || n.whole {
		t.Errorf("delete: %v; with snapshots: %v", err, n.whole)
	}
	if all, err := c.Alerts(ctx); err != nil || len(all) != 1 || all[0].Subject != "db" {
		t.Errorf("alerts: %+v, %v", all, err)
	}
	if s, err := c.Status(ctx); err != nil || !s.Ready || len(s.Alerts) != 1 || len(s.Nodes) != 1 || len(s.Disks) != 1 || len(s.Volumes) != 1 {
		t.Errorf("status: %+v, %v", s, err)
	}
}

func TestClientAsksForSnapshotsAndOperations(t *testing.T) {
	n := &node{}
	c := serve(t, n)
	ctx := t.Context()
	if s, taken, err := c.TakeSnapshot(ctx, "db", "new", false); err != nil || !taken || n.freeze || n.name != "db" || n.target != "new" {
		t.Errorf("take: %+v, %v, %v; asked for %+v", s, taken, err, n)
	}
	s, taken, err := c.TakeSnapshot(ctx, "db", "monday", true)
	want := api.Snapshot{Name: "monday", Volume: "db", ID: "000000000000001f", State: "ready", Size: 65536, Rule: "daily=12:00", Restores: "older", Cloning: []string{"copy"}}
	if err != nil || taken || !n.freeze || fmt.Sprint(s) != fmt.Sprint(want) {
		t.Errorf("take: %+v, %v, %v", s, taken, err)
	}
	if all, err := c.Snapshots(ctx, "db"); err != nil || len(all) != 1 || all[0].Name != "monday" {
		t.Errorf("list: %+v, %v", all, err)
	}
	if r, err := c.Restore(ctx, "db", "monday", true); err != nil || !n.whole || r.Kept != "before" {
		t.Errorf("restore: %+v, %v", r, err)
	}
	if err := c.DeleteSnapshot(ctx, "db", "a b"); err != nil || n.target != "a b" {
		t.Errorf("delete: %v; asked for %q", err, n.target)
	}
	if all, err := c.Operations(ctx); err != nil || len(all) != 1 || all[0].State != "running" || all[0].Done != 4096 ||
		all[0].Rate != 512 || all[0].SecondsLeft != 8 || !all[0].Cancellable {
		t.Errorf("operations: %+v, %v", all, err)
	}
	if err := c.Cancel(ctx, "snapshot-1f"); err != nil || n.name != "snapshot-1f" {
		t.Errorf("cancel: %v", err)
	}
	if w := request(t, n, http.MethodGet, "/v1/operations/x", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"state":"failed"`) {
		t.Errorf("operation: %d %s", w.Code, w.Body)
	}
	if w := request(t, n, http.MethodPut, "/v1/volumes/db/snapshots/monday", ""); w.Code != http.StatusOK || !n.freeze {
		t.Errorf("without a body: %d %s, freezes: %v", w.Code, w.Body, n.freeze)
	}
}

// The generated client shortens addresses by their dots: detach "." would come
// out as delete a volume called attachment.
func TestNoNameMakesAnotherAddress(t *testing.T) {
	n := &node{}
	c := serve(t, n)
	for _, name := range []string{"", ".", ".."} {
		ctx := t.Context()
		_, volumeErr := c.Volume(ctx, name)
		_, createErr := c.Create(ctx, name, nil, false)
		_, attachErr := c.Attach(ctx, name, api.Attach{})
		_, exportErr := c.Export(ctx, name, "", false)
		_, writeErr := c.WriteBlocks(ctx, name, 0, strings.NewReader(""))
		_, nodeErr := c.Node(ctx, name)
		_, diskErr := c.Disk(ctx, name)
		_, cordonErr := c.CordonDisk(ctx, name, true)
		_, scrubErr := c.ScrubDisk(ctx, name)
		_, checkErr := c.CheckVolume(ctx, name, false)
		_, changeErr := c.ChangeNode(ctx, name, api.NodeChange{})
		_, absenceErr := c.Absence(ctx, name)
		_, explainErr := c.Explain(ctx, name)
		_, operationErr := c.Operation(ctx, name)
		for i, err := range []error{
			volumeErr, createErr, attachErr, exportErr, c.Unexport(ctx, name, "", false), writeErr, nodeErr, diskErr, cordonErr, scrubErr, checkErr, operationErr, changeErr, absenceErr, explainErr, c.RemoveDisk(ctx, name), c.Delete(ctx, name), c.Detach(ctx, name, false), c.Unmount(ctx, name, ""),
			c.ReadBlocks(ctx, name, 0, 4096, io.Discard), c.RemoveNode(ctx, name), c.RemoveToken(ctx, name),
			c.DeleteSnapshot(ctx, name, "x"), c.DeleteSnapshot(ctx, "x", name), c.Cancel(ctx, name), c.DeleteAll(ctx, name),
		} {
			if !errors.Is(err, volume.ErrInvalidRequest) {
				t.Errorf("call %d with the name %q: %v", i, name, err)
			}
		}
	}
	for _, name := range []string{"a/../b", "%2e%2e", "a%2541", "a?x=1#y", "a b", "ä"} {
		if err := c.Delete(t.Context(), name); err != nil || n.name != name {
			t.Errorf("%q was asked for as %q: %v", name, n.name, err)
		}
	}
}

func TestStatusSaysWhyANodeIsNotReady(t *testing.T) {
	n := &node{notReady: &volume.Error{Kind: volume.ErrNotReady, What: "disk /d does not serve"}}
	c := serve(t, n)
	if err := c.Ready(t.Context()); !errors.Is(err, volume.ErrNotReady) {
		t.Errorf("ready: %v", err)
	}
	if s, err := c.Status(t.Context()); err != nil || s.Ready || s.Problem == nil || s.Problem.Detail != "disk /d does not serve" {
		t.Errorf("status: %+v, %v", s, err)
	}
}

func TestBlocksTravelBothWays(t *testing.T) {
	n := &node{content: bytes.Repeat([]byte("0123456789abcdef"), 1<<16)}
	c := serve(t, n)
	var got bytes.Buffer
	if err := c.ReadBlocks(t.Context(), "db", 4096, 8192, &got); err != nil || !bytes.Equal(got.Bytes(), n.content[4096:4096+8192]) {
		t.Errorf("read %d bytes: %v", got.Len(), err)
	}
	if written, err := c.WriteBlocks(t.Context(), "db", 0, bytes.NewReader(n.content)); err != nil || written != 1<<20 || !bytes.Equal(n.written, n.content) {
		t.Errorf("wrote %d bytes: %v", written, err)
	}
}

func TestAReadThatBreaksOffDoesNotLookWhole(t *testing.T) {
	n := &node{content: make([]byte, 1<<20), breakAt: 1 << 19}
	if err := serve(t, n).ReadBlocks(t.Context(), "db", 0, 1<<20, io.Discard); err == nil {
		t.Error("half of the content came without an error")
	}
}

func TestWithoutADaemonTheClientSaysWhatToDo(t *testing.T) {
	err := client.OverSocket(filepath.Join(t.TempDir(), "none")).Ready(t.Context())
	if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "lagan up") {
		t.Errorf("got %v", err)
	}
}
