package command

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lagan-storage/lagan/rest/api"
)

// screen is what a person is shown.
func screen(t *testing.T, write func(b *bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("want is -, got is +:\n%s", diff)
	}
}

func sick() api.Volume {
	return api.Volume{
		Name: "db", ID: "1", Spec: api.VolumeSpec{Size: 10 << 30, Replicas: 2, FS: "ext4", Labels: map[string]string{"rack": "7", "disk": "ssd"}, Preempt: true},
		Status: api.VolumeStatus{
			Health: "degraded", Reason: "node b is silent", Epoch: 4,
			Replicas: []api.Replica{{Node: "a", Disk: "d1", State: "in-sync"}, {Node: "b", Disk: "d2", State: "out"}},
			Usage:    &api.Usage{Used: 3 << 19, Exclusive: 1 << 20, Shared: 1 << 19},
			Attachment: &api.Attachment{
				Node: "c", Lingering: true, Device: "/dev/loop3", Mounts: []string{"/mnt/db"},
				Users: []api.User{{Mount: "m1", Container: "shop", Since: "noon"}, {Mount: "m2", Since: "one"}},
			},
		},
	}
}

func TestStatusShowsWhatNeedsAttention(t *testing.T) {
	healthy := api.Volume{Name: "calm", Status: api.VolumeStatus{Health: "healthy"}}
	status := api.Status{
		Node: "a", Problem: &api.Problem{Detail: "disk /d of node a does not serve", Cause: []string{"it is missing"}, Fix: "look at:  lagan disk ls"},
		Nodes: []api.Node{
			{Name: "a", Alive: true, Self: true, Votes: true, Address: "a:1", Version: "v1"},
			{Name: "b", Votes: true, Address: "b:1", Version: "v1", SilentSeconds: 61},
			{Name: "c", Alive: true, Votes: true, Address: "c:1", Zone: "east", Version: "v2"},
		},
		Volumes: []api.Volume{healthy, sick()},
		Alerts:  []api.Alert{{Subject: "db", Text: "node b is silent", Fix: "look at:  lagan volume inspect db"}, {Subject: "x", Code: "disk-full"}},
	}
	s := &session{output: asTable}
	want(t, screen(t, func(b *bytes.Buffer) error { return s.statusScreen(b, &status) }), `
node a is not ready; 2 of 3 nodes up, 3 vote and 1 of those may fail
  disk /d of node a does not serve
  it is missing
  look at:  lagan disk ls

NODE   STATE             VOTES   ADDRESS   ZONE   VERSION
a*     up                yes     a:1       -      v1
b      silent for 1m1s   yes     b:1       -      v1
c      up                yes     c:1       east   v2

2 volumes, 1 not healthy

VOLUME   SIZE     USED      HEALTH     COPIES   ON    ATTACHED      REASON
db       10 GiB   1.5 MiB   degraded   1/2      a,b   c (lingers)   node b is silent

! db: node b is silent
    look at:  lagan volume inspect db
! x: disk-full
`)
	s.output = asWide
	want(t, screen(t, func(b *bytes.Buffer) error { return s.volumeTable(b, status.Volumes[1:]) }), `
VOLUME   SIZE     USED      HEALTH     COPIES   ON    ATTACHED      EXCLUSIVE   SHARED    USED-BY   FS     EPOCH   CREATED   ID   REASON
db       10 GiB   1.5 MiB   degraded   1/2      a,b   c (lingers)   1 MiB       512 KiB   shop,m2   ext4   4       -         1    node b is silent
`)
}

func TestInspectSaysWhoUsesAVolume(t *testing.T) {
	v := sick()
	want(t, screen(t, func(b *bytes.Buffer) error { return volumeDetails(b, &v) }), `
Name:                db
ID:                  1
Size:                10GiB
Used:                1.5 MiB on each disk, 512 KiB of it shared with clones or what it is a clone of
File system:         ext4 (made at the first mount)
Copies with labels:  disk=ssd,rack=7
Preempt:             a container takes it from the node that has it
Health:              degraded: node b is silent
Epoch:               4
Copy:                in-sync on node a, disk d1
Copy:                out on node b, disk d2
Attached to:         c
Device:              /dev/loop3
Mounted at:          /mnt/db
In use by:           container shop, since noon
In use by:           unknown container, mount m2, since one
In use by:           nobody: node c gives it up when another asks
`)
}

func TestWaitingSaysWhatIsMissing(t *testing.T) {
	v := sick()
	want(t, waitsFor(&v), "volume db is degraded: node b is silent")
	v.Status.Health, v.Status.Reason = "deleting", "its copies are being freed"
	want(t, waitsFor(&v), "volume db: the space of its copies on a, b is not free yet")
}

// serve answers as a node would, and returns the socket.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler} //nolint:gosec // its client is this test
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // it is closed below
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return socket
}

func TestEventsAreToldAsTheyHappen(t *testing.T) {
	const first, second = `{"number":3,"time":"2026-01-02T03:04:05Z","kind":"node-silent","node":"b","text":"node b is silent"}`,
		`{"number":4,"time":"2026-01-02T03:04:06Z","kind":"node-back","node":"b","text":""}`
	socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Get("follow") == "true":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprintf(w, "id: 3\nevent: x\ndata: %s\n\nid: 4\nevent: x\ndata: %s\n\n", first, second) // the test reads it
		default:
			w.Header().Set("Content-Type", "application/json")
			items := map[string]string{"0": first + "," + second, "3": second, "4": ""}[q.Get("after")]
			_, _ = fmt.Fprintf(w, `{"items":[%s]}`, items) // likewise
		}
	})
	for _, x := range []struct {
		line string
		code int
		want []string
	}{
		{"events", exitDone, []string{"node-silent      node b is silent\n", "node-back        b\n"}},
		{"events --after 3 -o json", exitDone, []string{`"number": 4`}},
		{"events -f -o json", exitNotDone, []string{`"number":3,"text":"node b is silent"`, `"number":4`}}, // the node has broken off
		{"events -f -o yaml", exitNotDone, []string{"---\nkind: node-silent\n", "---\nkind: node-back\n"}},
		{"events -f", exitNotDone, []string{"node b is silent\n"}},
	} {
		var out, complaint bytes.Buffer
		arguments := append([]string{"--socket", socket}, strings.Fields(x.line)...)
		code := Run(t.Context(), arguments, Streams{In: strings.NewReader(""), Out: &out, Err: &complaint})
		if code != x.code {
			t.Errorf("%s: exit code %d, %s", x.line, code, complaint.String())
		}
		for _, want := range x.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s prints %q, want %q in it", x.line, out.String(), want)
			}
		}
	}
	// Being broken off by the person is how following ends.
	ctx, cancel := context.WithCancel(t.Context())
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // the client is there
		cancel()
		<-r.Context().Done()
	})
	var complaint bytes.Buffer
	if code := Run(ctx, []string{"--socket", endless, "events", "-f"}, Streams{Out: &bytes.Buffer{}, Err: &complaint}); code != exitDone {
		t.Errorf("broken off: exit code %d, %s", code, complaint.String())
	}
}

func TestCheckOfAVolumeSaysWhatCameOfIt(t *testing.T) {
	const running = `{"id":"check-1-a","kind":"check","state":"running","volume":"db","node":"a","cancellable":true,"done":65536,"total":131072}`
	for _, x := range []struct {
		about, then     string
		code            int
		says, complains string
	}{
		{
			"equal", `{"id":"check-1-a","kind":"check","state":"done","volume":"db","cancellable":true,"done":131072,"total":131072}`,
			exitDone, "the copies of volume db are equal: 128 KiB of each were compared\n", "check: 50 %\n",
		},
		{
			"not all was read", `{"id":"check-1-a","kind":"check","state":"done","volume":"db","cancellable":true,"done":131072,"total":131072,"reason":"chunks: 3"}`,
			exitDone, "the copies of volume db are equal in all that could be read: chunks: 3\n", "",
		},
		{
			"different", `{"id":"check-1-a","kind":"check","state":"failed","volume":"db","cancellable":true,"reason":"2 blocks are not the same","differences":[` +
				`{"offset":65536,"length":8192,"snapshot":"s","copies":[{"node":"a","checksum":"01"},{"node":"b","checksum":"02"}]}]}`,
			exitNo, "OFFSET   LENGTH   SNAPSHOT   NODE   CHECKSUM\n65536    8192     s          a      01\n65536    8192     s          b      02\n\nvolume db: 2 blocks are not the same\n", "",
		},
		{"broken off by the end of its session", `{"id":"check-1-a","kind":"check","state":"failed","volume":"db","cancellable":true,"reason":"it was detached"}`, exitNotDone, "", "volume db: it was detached"},
		{"cancelled", "", exitNotDone, "", "the check of volume db was broken off: give the command again"},
	} {
		asked := 0
		socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			switch {
			case r.Method == http.MethodPost && r.URL.Path == "/v1/volumes/db/check":
				w.WriteHeader(http.StatusAccepted)
				_, _ = fmt.Fprint(w, running) // the test reads it
			case asked == 0:
				asked++
				_, _ = fmt.Fprint(w, running) // likewise
			case x.then == "":
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusNotFound)
				_, _ = fmt.Fprint(w, `{"type":"/problems/operation-not-found","title":"t","status":404,"code":"operation-not-found","detail":"none"}`) // likewise
			default:
				_, _ = fmt.Fprint(w, x.then) // likewise
			}
		})
		var out, complaint bytes.Buffer
		code := Run(t.Context(), []string{"--socket", socket, "volume", "check", "db", "--wait"}, Streams{In: strings.NewReader(""), Out: &out, Err: &complaint})
		if code != x.code || out.String() != x.says || !strings.Contains(complaint.String(), x.complains) {
			t.Errorf("%s: exit %d, %q, %q", x.about, code, out.String(), complaint.String())
		}
	}
}
