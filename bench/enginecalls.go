package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// engineCalls calls a volume plugin as a container engine does.
type engineCalls struct {
	socket string
	http   *http.Client
}

func newEngineCalls(socket string) *engineCalls {
	dialer := net.Dialer{}
	return &engineCalls{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}}
}

// call makes one call and returns the answer as it came: how long an engine takes
// to read it is not the plugin's business.
func (e *engineCalls) call(ctx context.Context, what string, request any) ([]byte, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin/VolumeDriver."+what, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := e.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("call %s of the plugin: %w", what, err)
	}
	answer, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("call %s of the plugin: %w", what, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("call %s of the plugin: %s", what, answer)
	}
	return answer, nil
}
