package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest"
	"github.com/lagan-storage/lagan/rest/api"
)

// counted is a node that carries out everything and counts what changes
// something.
type counted struct {
	node
	gate
	changes int
}

func (n *counted) Create(_ context.Context, s volume.Spec, dryRun bool) (volume.Report, []string, error) {
	if !dryRun {
		n.changes++
	}
	return volume.Report{Spec: s}, nil, nil
}

func (n *counted) Delete(context.Context, string, bool) error { n.changes++; return nil }

func (n *counted) Set(context.Context, string, volume.Spec) (volume.Report, error) {
	n.changes++
	return volume.Report{}, nil
}

func (n *counted) TakeSnapshot(context.Context, string, string, bool) (volume.SnapshotReport, error) {
	n.changes++
	return volume.SnapshotReport{}, nil
}

func (n *counted) DeleteSnapshot(context.Context, string, string) error { n.changes++; return nil }

func (n *counted) AddReplica(context.Context, string, string, string) (volume.Report, error) {
	n.changes++
	return volume.Report{}, nil
}

func (n *counted) MoveReplica(context.Context, string, string, string) (volume.Report, error) {
	n.changes++
	return volume.Report{}, nil
}

func (n *counted) RecoverVolume(context.Context, string, string) (volume.Report, error) {
	n.changes++
	return volume.Report{}, nil
}

func (n *counted) RemoveReplica(context.Context, string, string) (volume.Report, error) {
	n.changes++
	return volume.Report{}, nil
}

func (n *counted) Restore(context.Context, string, string, bool) (string, error) {
	n.changes++
	return "", nil
}

func (n *counted) Cancel(context.Context, string) error { n.changes++; return nil }

func (n *counted) Attach(context.Context, string, volume.AttachOptions) (volume.Report, error) {
	n.changes++
	return volume.Report{}, nil
}

func (n *counted) Detach(context.Context, string, volume.DetachOptions) error {
	n.changes++
	return nil
}

func (n *counted) Unmount(context.Context, string, string) error { n.changes++; return nil }

func (n *counted) Export(context.Context, string, volume.ExportOptions) (volume.ExportReport, error) {
	n.changes++
	return volume.ExportReport{}, nil
}

func (n *counted) Unexport(context.Context, string, volume.UnexportOptions) error {
	n.changes++
	return nil
}

func (n *counted) RemoveNode(context.Context, string) error { n.changes++; return nil }

func (n *counted) ChangeNode(context.Context, string, volume.NodeChange) (volume.NodeReport, error) {
	n.changes++
	return volume.NodeReport{}, nil
}

func (n *counted) Rebalance(_ context.Context, _ int, dryRun bool) (volume.Balance, error) {
	if !dryRun {
		n.changes++
	}
	return volume.Balance{}, nil
}

func (n *counted) AddDisk(context.Context, volume.NewDisk) (volume.DiskReport, error) {
	n.changes++
	return volume.DiskReport{}, nil
}

func (n *counted) CordonDisk(context.Context, string, bool) (volume.DiskReport, error) {
	n.changes++
	return volume.DiskReport{}, nil
}

func (n *counted) CheckVolume(context.Context, string, bool) (volume.Operation, error) {
	n.changes++
	return volume.Operation{}, nil
}

func (n *counted) ScrubDisk(context.Context, string) (volume.Operation, error) {
	n.changes++
	return volume.Operation{}, nil
}

func (n *counted) RemoveDisk(context.Context, string) error { n.changes++; return nil }

func (n *counted) ReadBlocks(_ context.Context, name string, offset, length int64, w io.Writer) error {
	const size = 1 << 16
	if offset < 0 || length < 0 || offset > size-length {
		return &volume.Error{Kind: volume.ErrInvalidRange, What: fmt.Sprintf("no such bytes in volume %q", name)}
	}
	_, err := w.Write(make([]byte, length))
	return err
}

func (n *counted) WriteBlocks(_ context.Context, _ string, _ int64, r io.Reader) (int64, error) {
	written, err := io.Copy(io.Discard, r)
	if err == nil {
		n.changes++
	}
	return written, err
}

func (n *counted) Join(context.Context, volume.JoinRequest) (volume.JoinAnswer, error) {
	n.changes++
	return volume.JoinAnswer{}, nil
}

func (n *counted) CreateToken(context.Context, time.Duration) (volume.TokenReport, error) {
	n.changes++
	return volume.TokenReport{}, nil
}

func (n *counted) RemoveToken(context.Context, string) error { n.changes++; return nil }

func (n *counted) handler() http.Handler {
	return rest.New(rest.Params{
		Volumes: n, Exports: n, Snapshots: n, Replicas: n, Operations: n, Blocks: n, Machines: n, Service: n, Admissions: n, Events: &past{total: 3}, Node: "a", Log: slog.New(slog.DiscardHandler),
		Stop: func() { n.changes++ },
	})
}

// judge says what is wrong with an answer to a request: a request is carried out
// at most once, or it is refused with a problem and nothing is changed.
func (n *counted) judge(w *httptest.ResponseRecorder) string {
	var p api.Problem
	switch {
	case w.Code < http.StatusBadRequest && n.changes <= 1:
		return ""
	case w.Code < http.StatusBadRequest:
		return fmt.Sprintf("it was carried out %d times", n.changes)
	case w.Code >= http.StatusInternalServerError:
		return "it looks like our fault"
	case n.changes > 0:
		return "it was refused and carried out"
	case w.Header().Get("Content-Type") != api.ProblemType || json.Unmarshal(w.Body.Bytes(), &p) != nil:
		return "the answer is no problem"
	case p.Status != w.Code || p.Title == "" || p.Detail == "" || p.Fix == "":
		return "the problem says too little"
	case w.Body.Len() > 16<<10:
		return fmt.Sprintf("the problem has %d bytes", w.Body.Len())
	}
	return ""
}

const (
	blocksType  = "application/octet-stream"
	jsonType    = "application/json"
	anyName     = "/v1/volumes/new"
	attachment  = "/v1/volumes/db/attachment"
	blocksOf    = "/v1/volumes/db/blocks"
	refusedBody = http.StatusUnsupportedMediaType
)

// hostile is a request that is refused.
type hostile struct {
	method, target, media, body string
	status                      int
	want                        string // in the answer
}

func hostileRequests() []hostile {
	long, deep := strings.Repeat("x", 300), strings.Repeat("[", 20000)+strings.Repeat("]", 20000)
	put, del, get, post := http.MethodPut, http.MethodDelete, http.MethodGet, http.MethodPost
	return []hostile{
		// What is not as JSON is.
		{put, anyName, jsonType, `{"spec":{"size":"1GiB"`, 400, "cannot be read"},
		{put, anyName, jsonType, `{"spec":{"size":"1GiB`, 400, "cannot be read"},
		{put, anyName, jsonType, "{\"spec\":{\"size\":\"1GiB\xff\"}}", 400, "UTF-8"},
		{put, anyName, jsonType, "\x00", 400, "cannot be read"},
		{put, anyName, jsonType, "\ufeff{}", 400, "cannot be read"},
		{put, anyName, jsonType, `{"spec":{}}{}`, 400, "goes on"},
		{put, anyName, jsonType, `"spec"`, 400, "object"},
		{put, anyName, jsonType, deep, 400, "cannot be read"},
		{put, anyName, jsonType, `{"spec":{"labels":` + deep[10000:30000] + `}}`, 400, "cannot be read"},
		{put, anyName, jsonType, `{"spec":{"labels":` + strings.Repeat(`{"a":`, 9) + `1` + strings.Repeat(`}`, 9) + `}}`, 400, "nested deeper"},
		{put, anyName, jsonType, `{"spec":{"labels":"` + strings.Repeat("x", 1<<20) + `"}}`, 400, "too large"},
		{put, anyName, jsonType, `{"` + strings.Repeat("x", 1<<19) + `":1}`, 400, "xxx"},
		{put, anyName, jsonType, `{"spec":{"` + strings.Repeat("x", 1<<19) + `":1}}`, 400, "xxx"},
		// What is given twice, or under another name.
		{put, anyName, jsonType, `{"spec":{"size":"1GiB"},"spec":{}}`, 400, "twice"},
		{put, anyName, jsonType, `{"spec":{"size":"1GiB","size":"2GiB"}}`, 400, "twice"},
		{put, anyName, jsonType, `{"spec":{"labels":{"a":"1","a":"2"}}}`, 400, "twice"},
		{put, anyName, jsonType, `{"spec":{"replicas":2,"repl":2}}`, 400, "replicas"},
		{put, anyName, jsonType, `{"Spec":{}}`, 400, "Spec"},
		{put, attachment, jsonType, `{"FORCE":true}`, 400, "FORCE"},
		{put, attachment, jsonType, `{"force":false,"FORCE":true}`, 400, "FORCE"},
		{put, anyName + "?dry_run=1&dry_run=1", jsonType, `{}`, 400, "dry_run"},
		{put, anyName + "?dry_run=1&dry%5Frun=0", jsonType, `{}`, 400, "dry_run"},
		{put, anyName + "?DRY_RUN=1", jsonType, `{}`, 400, "DRY_RUN"},
		// What is of another kind.
		{put, anyName, "text/plain", `{}`, refusedBody, jsonType},
		{put, anyName, "application/x-www-form-urlencoded", `{}`, refusedBody, jsonType},
		{put, anyName, "application/json; charset=latin1", `{}`, refusedBody, jsonType},
		{put, anyName, "application/json;;", `{}`, refusedBody, jsonType},
		{put, anyName, long, `{}`, refusedBody, jsonType},
		{put, blocksOf, jsonType, `{}`, refusedBody, blocksType},
		{post, "/v1/join", "multipart/form-data", `{}`, refusedBody, jsonType},
		// Names.
		{put, "/v1/volumes/" + long, jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/a%2F..%2Fb", jsonType, `{}`, 400, "a/../b"},
		{put, "/v1/volumes/..%2F..", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/a%5Cb", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/a%00b", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/a%0Ab", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/%FF", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/%C3%A4", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/a=b,c", jsonType, `{}`, 400, "name"},
		{put, "/v1/volumes/a/b", jsonType, `{}`, 404, "nothing"},
		{put, anyName, jsonType, `{"spec":{"name":"` + long + `"}}`, 400, "name"},
		{put, anyName, jsonType, `{"spec":{"labels":{"a":"b,c=d"}}}`, 400, "b,c=d"},
		// Numbers.
		{put, anyName, jsonType, `{"spec":{"size":-1}}`, 400, "-1"},
		{put, anyName, jsonType, `{"spec":{"size":0}}`, 400, "0 bytes"},
		{put, anyName, jsonType, `{"spec":{"size":1e30}}`, 400, "1e30"},
		{put, anyName, jsonType, `{"spec":{"size":9223372036854775808}}`, 400, "9223372036854775808"},
		{put, anyName, jsonType, `{"spec":{"size":"9223372036854775807PiB"}}`, 400, "size"},
		{put, anyName, jsonType, `{"spec":{"replicas":-1}}`, 400, "-1"},
		{put, anyName, jsonType, `{"spec":{"replicas":4294967298}}`, 400, "4294967298"},
		{put, anyName, jsonType, `{"spec":{"replicas":NaN}}`, 400, "cannot be read"},
		{post, "/v1/tokens", jsonType, `{"ttl_seconds":-1}`, 400, "ttl_seconds"},
		{post, "/v1/tokens", jsonType, `{"ttl_seconds":9223372036854775807}`, 400, "ttl_seconds"},
		{post, "/v1/tokens", jsonType, `{"ttl_seconds":1e99}`, 400, "ttl_seconds"},
		{post, "/v1/tokens", jsonType, `{"ttl_seconds":1.5}`, 400, "ttl_seconds"},
		{post, "/v1/disks", jsonType, `{"path":"/d","size":-1}`, 400, "size"},
		{post, "/v1/disks", jsonType, `{"path":"d"}`, 400, "slash"},
		{post, "/v1/disks", jsonType, `{"size":4096}`, 400, "path"},
		{post, "/v1/disks", jsonType, `{"path":"/d","format":true}`, 400, "format"},
		{http.MethodPatch, "/v1/disks/0011", jsonType, `{}`, 400, "cordoned"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{}`, 400, "nothing is to change"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{"leaving":true,"cordoned":true}`, 400, "leaving"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{"leaving":false}`, 400, "drained"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{"maintenance_seconds":-1}`, 400, "maintenance_seconds"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{"maintenance_seconds":604801}`, 400, "a week"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{"cordoned":true,"force":true}`, 400, "force"},
		{http.MethodPatch, "/v1/nodes/a", jsonType, `{"cordon":true}`, 400, "cordon"},
		{get, blocksOf + "?offset=-4096&length=4096", "", "", 400, "-4096"},
		{get, blocksOf + "?offset=9223372036854775807&length=4096", "", "", 400, "bytes"},
		{get, blocksOf + "?offset=4096&length=9223372036854775807", "", "", 400, "bytes"},
		{get, blocksOf + "?offset=9223372036854775808", "", "", 400, "9223372036854775808"},
		{get, blocksOf + "?offset=0x10", "", "", 400, "0x10"},
		{put, blocksOf + "?offset=-1", blocksType, "x", 400, "-1"},
		{get, "/v1/events?limit=-1", "", "", 400, "limit"},
		// What nobody would look at.
		{del, attachment, jsonType, `{"force":true}`, 400, "no body"},
		{get, "/v1/volumes", jsonType, `{}`, 400, "no body"},
		{post, "/v1/stop", jsonType, `{"when":"later"}`, 400, "no body"},
		{del, attachment + "?force", "", "", 400, "force"},
		{del, attachment + "?force=1&%zz", "", "", 400, "parameters"},
		{del, attachment + "?" + strings.Repeat("force=1&", 5000), "", "", 400, "force"},
	}
}

func TestHostileRequestsAreRefusedAndChangeNothing(t *testing.T) {
	for _, h := range hostileRequests() {
		n := &counted{}
		r := httptest.NewRequestWithContext(t.Context(), h.method, h.target, strings.NewReader(h.body))
		if h.media != "" {
			r.Header.Set("Content-Type", h.media)
		}
		w := httptest.NewRecorder()
		n.handler().ServeHTTP(w, r)
		wrong := n.judge(w)
		if wrong != "" || w.Code != h.status || !strings.Contains(w.Body.String(), h.want) {
			t.Errorf("%s %.80s %s %.80q: answered %d %.300s, want %d with %q; %s",
				h.method, h.target, h.media, h.body, w.Code, w.Body, h.status, h.want, wrong)
		}
	}
}

func TestACompressedBodyIsRefused(t *testing.T) {
	for _, target := range []string{anyName, blocksOf} {
		n := &counted{}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, target, strings.NewReader("\x1f\x8b"))
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		n.handler().ServeHTTP(w, r)
		if wrong := n.judge(w); wrong != "" || w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%s: answered %d %s; %s", target, w.Code, w.Body, wrong)
		}
	}
}

func TestWellMeantRequestsAreCarriedOut(t *testing.T) {
	for _, c := range []hostile{
		{http.MethodPut, anyName, "", "", 201, ""},
		{http.MethodPut, anyName, "application/x-www-form-urlencoded", "", 201, ""}, // what some clients say of nothing
		{http.MethodPut, anyName, "", `{"spec":{"size":"1GiB","labels":{"a":"1","b":"1"}}}`, 201, ""},
		{http.MethodPut, anyName, "Application/JSON; charset=UTF-8", ` {"spec":null} `, 201, ""},
		{http.MethodPut, attachment, jsonType, `{"force":null}`, 200, ""},
		{http.MethodPut, blocksOf, "", "x", 200, ""},
		{http.MethodPut, blocksOf, blocksType, "{}", 200, ""},
		{http.MethodPost, "/v1/tokens", jsonType, `{"ttl_seconds":60}`, 201, ""},
		{http.MethodDelete, attachment + "?force=true", "", "", 204, ""},
	} {
		n := &counted{}
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.target, strings.NewReader(c.body))
		if c.media != "" {
			r.Header.Set("Content-Type", c.media)
		}
		w := httptest.NewRecorder()
		n.handler().ServeHTTP(w, r)
		if w.Code != c.status || n.changes != 1 {
			t.Errorf("%s %s %s: answered %d %s after %d changes, want %d", c.method, c.target, c.body, w.Code, w.Body, n.changes, c.status)
		}
	}
}

// FuzzRequests sends any method, address, kind and body: whatever comes, it is
// refused whole or carried out once, and never our fault.
func FuzzRequests(f *testing.F) {
	for _, h := range hostileRequests() {
		if len(h.body) < 1<<12 && len(h.target) < 1<<10 {
			f.Add(h.method, h.target, h.media, h.body)
		}
	}
	for _, target := range []string{"/healthz", "/readyz", "/v1/status", "/v1/nodes/a", "/v1/events?after=1&limit=2", "/v1/openapi.yaml", "/v1/tokens/1"} {
		f.Add(http.MethodGet, target, "", "")
		f.Add(http.MethodDelete, target, "", "")
	}
	f.Add(http.MethodPost, "/v1/join", jsonType, joinBody)
	f.Fuzz(func(t *testing.T, method, target, media, body string) {
		methods := []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodHead, http.MethodPatch}
		at, err := url.ParseRequestURI(target)
		if err != nil || !slices.Contains(methods, method) {
			t.Skip("no server would hand it on")
		}
		n := &counted{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, method, "/", strings.NewReader(body))
		r.URL, r.RequestURI = at, target
		r.Header.Set("Content-Type", media)
		if follow := at.Query().Get("follow"); follow != "" {
			cancel() // or it would last
		}
		w := httptest.NewRecorder()
		n.handler().ServeHTTP(w, r)
		if wrong := n.judge(w); wrong != "" {
			t.Errorf("%s %q %q %q: %d %.300s; %s", method, target, media, body, w.Code, w.Body, wrong)
		}
	})
}
