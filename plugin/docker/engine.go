package docker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// touchesMax bounds how often the engine is looked for: one that starts later
	// than this node is there after a few minutes.
	touchesMax = 20
	// touchWithin bounds one look: the engine asks each of its plugins, and waits
	// long for one that is dead.
	touchWithin = time.Minute
	// answerBytesMax bounds an answer of the engine: thousands of containers.
	answerBytesMax = 16 << 20
)

// touch asks the engine for its volumes, which makes it activate every plugin
// that it finds. Swarm places volumes only where that has happened.
func (p *Plugin) touch(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			p.log.Debug("container engine was not made to look for plugins", slog.String("socket", p.p.Engine), slog.Any("error", err))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, touchWithin)
	defer cancel()
	_, err = askEngine(ctx, p.p.Engine, "/volumes")
	return err
}

// askEngine returns what the engine on a socket answers to a GET.
func askEngine(ctx context.Context, socket, path string) ([]byte, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("engine answered %s", response.Status)
	}
	return body, nil
}
