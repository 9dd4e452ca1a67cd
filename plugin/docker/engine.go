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
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", p.p.Engine)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/volumes", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("engine answered %s", response.Status)
	}
	return nil
}
