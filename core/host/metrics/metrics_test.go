package metrics

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// scrape returns the samples that the handler shows, by name and labels.
func scrape(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		samples[line[:at]] = value
	}
	return samples
}

func want(t *testing.T, samples map[string]float64, name string, value float64) {
	t.Helper()
	if got, there := samples[name]; !there || got != value {
		t.Errorf("%s is %v (there: %v), want %v", name, got, there, value)
	}
}

func TestScrapeShowsWhatWasDone(t *testing.T) {
	nodes := openNodes(t, 2)
	a := nodes[0]
	spec := volume.Spec{Format: volume.Format, Name: "db", Size: 4 << 20, Replicas: 2, Filesystem: "none"}
	if _, err := a.host.Command(t.Context(), volume.Command{Kind: volume.CreateVolume, Name: "db", Spec: spec}); err != nil {
		t.Fatal(err)
	}
	v, err := a.host.Attach(t.Context(), "db", false)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		a.do(t, v, step.WriteRequest, 8192)
	}
	for range 5 {
		a.do(t, v, step.ReadRequest, 4096)
	}
	a.do(t, v, step.ZeroRequest, 1<<20)
	a.do(t, v, step.FlushRequest, 0)
	for _, n := range nodes {
		n.await(t, func(o *orchestrator.Orchestrator) bool {
			status, _ := o.Volume("db")
			alive := 0
			for _, n := range o.Nodes() {
				if n.Alive {
					alive++
				}
			}
			return status.AttachedTo == "a" && alive == 2
		})
	}
	own := scrape(t, a.metrics)
	for name, value := range map[string]float64{
		`_request_duration_seconds_count{kind="write",volume="db"}`:            10,
		`_request_duration_seconds_count{kind="read",volume="db"}`:             5,
		`_request_duration_seconds_count{kind="zero",volume="db"}`:             1,
		`_request_duration_seconds_count{kind="flush",volume="db"}`:            1,
		`_request_duration_seconds_bucket{kind="write",volume="db",le="+Inf"}`: 10,
		`_request_bytes_total{kind="write",volume="db"}`:                       81920,
		`_request_bytes_total{kind="read",volume="db"}`:                        20480,
		`_request_bytes_total{kind="zero",volume="db"}`:                        1 << 20,
		`_request_errors_total{kind="write",volume="db"}`:                      0,
		`_requests_in_flight{volume="db"}`:                                     0,
		`_serving{volume="db"}`:                                                1,
		`_in_sync_copies{volume="db"}`:                                         2,
		`_epoch{volume="db"}`:                                                  float64(v.Config().Epoch),
		`_resyncing{volume="db"}`:                                              0,
		`_resync_bytes_total{volume="db"}`:                                     0,
	} {
		want(t, own, "lagan_volume"+name, value)
	}
	if sum := own[`lagan_volume_request_duration_seconds_sum{kind="write",volume="db"}`]; sum <= 0 || sum > 10*60 {
		t.Errorf("ten writes took %v s", sum)
	}
	want(t, own, `lagan_build_info{node="a",version="test"}`, 1)
	want(t, own, `lagan_nodes{state="alive"}`, 2)
	want(t, own, `lagan_nodes{state="silent"}`, 0)
	want(t, own, `lagan_volumes{health="healthy"}`, 1)
	want(t, own, `lagan_volumes{health="degraded"}`, 0)
	want(t, own, `lagan_metadata_reachable`, 1)
	want(t, own, `lagan_commands_in_flight`, 0)
	want(t, own, `lagan_events_total{kind="volume-created"}`, 1)
	want(t, own, `lagan_events_total{kind="volume-attached"}`, 1)
	want(t, own, `lagan_events_total{kind="disk-failed"}`, 0)
	disk := fmt.Sprintf("{disk=%q,path=%q}", a.disk.ID, a.disk.Path)
	for _, d := range recorded(t, a) {
		want(t, own, "lagan_disk_capacity_bytes"+disk, float64(d.Capacity))
		want(t, own, "lagan_disk_free_bytes"+disk, float64(d.Free))
		want(t, own, "lagan_disk_promised_bytes"+disk, 4<<20)
		want(t, own, "lagan_disk_unusable"+disk, 0)
	}
	want(t, own, "lagan_disk_unusable{disk=\"00000000000000000000000000000000\",path=\"/broken\uFFFD\"}", 1)
	if fill, there := own["lagan_disk_journal_fill_ratio"+disk]; !there || fill < 0 || fill > 1 {
		t.Errorf("journal is full to %v (there: %v)", fill, there)
	}
	checkTransport(t, own, scrape(t, nodes[1].metrics))
	checkPage(t, own)
}

// recorded returns the record of the node's disk.
func recorded(t *testing.T, n *node) (all []volume.Disk) {
	t.Helper()
	n.host.View(func(o *orchestrator.Orchestrator) {
		for _, d := range o.Disks() {
			if d.ID == n.disk.ID {
				all = append(all, d)
			}
		}
	})
	if len(all) != 1 {
		t.Errorf("records of the disk: %+v", all)
	}
	return all
}

// checkTransport looks at both ends of the one connection: ten writes of 8 KiB
// went from a to b, and nothing but acknowledgements came back.
func checkTransport(t *testing.T, a, b map[string]float64) {
	t.Helper()
	for _, samples := range []map[string]float64{a, b} {
		want(t, samples, "lagan_transport_connections", 1)
	}
	sent, received := a[`lagan_transport_bytes_total{direction="sent"}`], b[`lagan_transport_bytes_total{direction="received"}`]
	if sent < 81920 || sent > 2*81920 || received < 81920 {
		t.Errorf("node a sent %v bytes, node b received %v", sent, received)
	}
	if back := b[`lagan_transport_bytes_total{direction="sent"}`]; back <= 0 || back >= sent {
		t.Errorf("node b sent %v bytes", back)
	}
	for _, direction := range []string{"sent", "received"} {
		if n := a[`lagan_transport_messages_total{direction="`+direction+`"}`]; n < 12 {
			t.Errorf("node a: %v messages %s", n, direction)
		}
	}
}

// checkPage insists that the page lists exactly the metrics of ours that were
// shown, and says the same of them.
func checkPage(t *testing.T, samples map[string]float64) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines, wanted []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `lagan_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	shown := map[string]bool{}
	for sample := range samples { // any order: they are collected
		name, _, _ := strings.Cut(sample, "{")
		shown[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")] = true
	}
	for i, m := range catalogue {
		labels := " "
		for _, l := range m.labels {
			labels += "`" + l + "` "
		}
		wanted = append(wanted, fmt.Sprintf("| `%s` | %s |%s| %s |", m.name, m.kind, labels, m.help))
		if !shown[m.name] && i != requests {
			t.Errorf("%s is not shown", m.name)
		}
		delete(shown, m.name)
	}
	if !slices.Equal(lines, wanted) {
		t.Errorf("the page has\n%s\nit should have\n%s", strings.Join(lines, "\n"), strings.Join(wanted, "\n"))
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if strings.HasPrefix(name, "lagan_") {
			t.Errorf("%s is shown and not in the catalogue", name)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if !shown[name] {
			t.Errorf("%s is not shown", name)
		}
	}
}

func TestRequestsAreCountedByNounAndNotByName(t *testing.T) {
	n := openNodes(t, 1)[0]
	api := n.metrics.Count(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusNotFound)
		}
		if _, streams := w.(http.Flusher); !streams {
			t.Error("an answer cannot be streamed")
		}
	}))
	for _, target := range []string{"/v1/volumes", "/v1/volumes/db", "/v1/volumes/gone", "/healthz", "/v1/x-1", "/x-2", "/"} {
		api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	}
	api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "ODD", "/v1/volumes", nil))
	samples := scrape(t, n.metrics)
	for labels, count := range map[string]float64{
		`{code="200",method="get",route="volumes"}`:     2,
		`{code="404",method="get",route="volumes"}`:     1,
		`{code="200",method="get",route="healthz"}`:     1,
		`{code="200",method="get",route="other"}`:       3,
		`{code="200",method="unknown",route="volumes"}`: 1,
	} {
		want(t, samples, "lagan_api_requests_total"+labels, count)
	}
}

// A noun of the API that is not counted by its name would be among the others.
func TestEveryNounOfTheAPIIsCountedByItsName(t *testing.T) {
	document, err := os.ReadFile("../../../rest/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, path := range regexp.MustCompile(`(?m)^  /(?:v1/)?([^/:]+)[^:]*:$`).FindAllStringSubmatch(string(document), -1) {
		written[path[1]] = true
	}
	if got := slices.Sorted(maps.Keys(written)); !slices.Equal(got, nouns()) {
		t.Errorf("the document has the nouns %q, counted are %q", got, nouns())
	}
}

func TestScrubOfADiskIsDoneAndShown(t *testing.T) {
	n := openNodes(t, 1)[0]
	n.await(t, func(o *orchestrator.Orchestrator) bool { return len(o.Disks()) > 0 })
	if err := n.host.StartScrub(n.disk.ID); err != nil {
		t.Fatal(err)
	}
	n.await(t, func(*orchestrator.Orchestrator) bool {
		all := n.host.Scrubs()
		return len(all) == 1 && !all[0].Going && !all[0].Ended.IsZero()
	})
	disk := fmt.Sprintf("{disk=%q,path=%q}", n.disk.ID, n.disk.Path)
	samples := scrape(t, n.metrics)
	want(t, samples, "lagan_disk_scrub_progress_ratio"+disk, 1)
	want(t, samples, "lagan_disk_scrub_damaged_chunks"+disk, 0)
	if err := n.host.StartScrub(block.DiskID{1}); err == nil {
		t.Error("a disk that is not there is scrubbed")
	}
}
