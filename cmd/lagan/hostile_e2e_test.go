package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// ask sends a request as it stands to a node's socket and returns the answer.
func ask(t *testing.T, n *cluster.Node, method, target, body string, headers ...string) (status int, text string) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "unix", n.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // nothing more is wanted of it
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", method, target)
	whole := !strings.Contains(strings.Join(headers, ""), "Content-Length")
	if whole {
		headers = append(headers, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	_, err = io.WriteString(c, head+strings.Join(headers, "\r\n")+"\r\n\r\n"+body)
	if closing, ok := c.(*net.UnixConn); ok && !whole && err == nil { // that nothing more comes is taken for hanging up
		err = closing.CloseWrite()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("%s %.80s was not read to its end: %v", method, target, err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s %.80s: %v", method, target, err)
	}
	answer, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// state is what bad requests must not change, as the node tells it. Epochs are
// left out: they rise by themselves after a volume was attached.
func state(t *testing.T, n *cluster.Node) string {
	t.Helper()
	volumes, err := n.Client().Volumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := n.Client().Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range volumes {
		volumes[i].Status.Epoch, volumes[i].Status.Revision = 0, 0
	}
	text, err := json.MarshalIndent([]any{volumes, tokens}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestE2EHostileRequestsAreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	up(t, c)
	n := c.Node("a")
	create(t, n, "db", map[string]string{"size": "16MiB", "fs": "none"})
	create(t, n, "files", map[string]string{"size": "64MiB"})
	attach(t, n, "db", api.Attach{})
	content := random(16 * mebi)
	if _, err := n.Client().WriteBlocks(t.Context(), "db", 0, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	before := state(t, n)
	refuse := func(method, target, body string, headers ...string) {
		t.Helper()
		status, text := ask(t, n, method, target, body, headers...)
		var p api.Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || status < 400 || status >= 500 || p.Code == "" || p.Detail == "" || p.Fix == "" {
			t.Errorf("%s %.80s %.80q: answered %d %.400s", method, target, body, status, text)
		}
	}
	put, get, del, post := http.MethodPut, http.MethodGet, http.MethodDelete, http.MethodPost
	names := []string{strings.Repeat("x", 300), "a%2Fb", "..%2F..%2Fdb", "a%00b", "a%0Ab", "%FF", "-db", "a=b", "name=db", "d%C3%A4b", "%20"}
	for _, name := range names {
		refuse(put, "/v1/volumes/"+name, "{}")
		refuse(get, "/v1/volumes/"+name, "")
		refuse(del, "/v1/volumes/"+name, "")
		refuse(put, "/v1/volumes/"+name+"/attachment", "{}")
		refuse(del, "/v1/volumes/"+name+"/attachment", "")
		refuse(del, "/v1/volumes/"+name+"/mount", "")
		refuse(get, "/v1/volumes/"+name+"/blocks?length=4096", "")
		refuse(put, "/v1/volumes/"+name+"/blocks", "x")
		refuse(get, "/v1/nodes/"+name, "")
		refuse(del, "/v1/nodes/"+name, "")
		refuse(del, "/v1/tokens/"+name, "")
	}
	for _, spec := range []string{
		`{"size":"128PiB"}`, `{"size":9223372036854710272}`, `{"replicas":7}`, `{"replicas":255}`, `{"nodes":["a/b"]}`,
		`{"zones":"nowhere"}`, `{"fs":"ntfs"}`, `{"labels":{"a":"1","a":"2"}}`, `{"mount_options":"x y"}`, `{"preempt":"perhaps"}`,
	} {
		refuse(put, "/v1/volumes/new", `{"spec":`+spec+`}`)
	}
	for _, mount := range []string{`"mnt"`, `"/mnt/\u0000"`, `"/` + strings.Repeat("x", 300) + `"`, `"/` + strings.Repeat("x/", 4000) + `"`, `"/proc/version/x"`} {
		refuse(put, "/v1/volumes/files/attachment", `{"mount":`+mount+`}`)
	}
	for _, at := range []string{"offset=1", "offset=-4096", "offset=16MiB", "offset=9223372036854771712", "offset=8192PiB"} {
		refuse(get, "/v1/volumes/db/blocks?length=4096&"+at, "")
		refuse(put, "/v1/volumes/db/blocks?"+at, strings.Repeat("x", 4096))
	}
	refuse(get, "/v1/volumes/db/blocks?length=9223372036854771712", "")
	refuse(put, "/v1/volumes/db/blocks?offset=4096", strings.Repeat("x", 1000))
	refuse(put, "/v1/volumes/db/blocks", "{}", "Content-Type: application/json")
	refuse(put, "/v1/volumes/new", "{}", "Content-Type: text/plain")
	refuse(put, "/v1/volumes/new", `{"spec":{}`, "Content-Length: 1000")
	refuse(put, "/v1/volumes/new", "zz\r\n", "Content-Length: 0", "Transfer-Encoding: chunked")
	refuse(post, "/v1/join", `{"token_id":"`+strings.Repeat("x", 15<<10)+`","token_secret":"","name":"a/b","api":"","etcd_peer":"","etcd_client":"","request":""}`)
	refuse(post, "/v1/join", `{"token_id":"`+strings.Repeat("x", 17<<10)+`"}`)
	refuse(post, "/v1/tokens", `{"ttl_seconds":-1}`)
	refuse(get, "/v1/events?after=18446744073709551615", "")
	if status, _ := ask(t, n, get, "/v1/volumes/"+strings.Repeat("x", 100<<10), ""); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("an address of 100 KiB is answered %d", status)
	}
	if after := state(t, n); before != after {
		t.Errorf("bad requests changed\n%s\nto\n%s", before, after)
	}
	wantContent(t, n, "db", 0, content)
}

// What a writer sends before it dies may be written, but is never said to be all.
func TestE2EBlocksThatBreakOffAreNotStored(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	up(t, c)
	n := c.Node("a")
	create(t, n, "db", map[string]string{"size": "16MiB", "fs": "none"})
	attach(t, n, "db", api.Attach{})
	status, text := ask(t, n, http.MethodPut, "/v1/volumes/db/blocks", strings.Repeat("x", 8192), "Content-Length: 1048576")
	if status != http.StatusBadRequest || !strings.Contains(text, volume.ErrInvalidRequest.Error()) {
		t.Errorf("8 KiB of a body of 1 MiB: answered %d %s", status, text)
	}
}
