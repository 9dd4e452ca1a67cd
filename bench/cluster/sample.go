package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// Sample returns the value of one metric of the node, with its labels as they are
// shown, and -1 if the node does not show it.
func (n *Node) Sample(ctx context.Context, name string) (float64, error) {
	over := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", n.Socket)
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lagan/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := over.Do(request)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // all of it was read
	if err != nil || response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("scrape of node %s: %s: %w", n.Name, response.Status, err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return -1, nil
}
