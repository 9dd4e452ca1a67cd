package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/docker/go-plugins-helpers/sdk"
	plugin "github.com/docker/go-plugins-helpers/volume"

	"github.com/lagan-storage/lagan/core/volume"
)

// bodyBytesMax bounds one call: a name and a few options.
const bodyBytesMax = 1 << 20

// Handler returns what answers the engine. The calls and their forms are those
// of the helpers; the routes are not, since theirs hand on no context and answer
// an empty body, which an engine that asks again sends, as if there were no such
// volume.
func (p *Plugin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /Plugin.Activate", func(w http.ResponseWriter, r *http.Request) {
		p.activate(r.Context())
		sdk.EncodeResponse(w, map[string][]string{"Implements": {"VolumeDriver"}}, false)
	})
	mux.HandleFunc("POST /VolumeDriver.Capabilities", func(w http.ResponseWriter, _ *http.Request) {
		sdk.EncodeResponse(w, plugin.CapabilitiesResponse{Capabilities: plugin.Capability{Scope: "global"}}, false)
	})
	mux.HandleFunc("POST /VolumeDriver.List", func(w http.ResponseWriter, r *http.Request) {
		sdk.EncodeResponse(w, p.list(r.Context()), false)
	})
	mux.HandleFunc("POST /VolumeDriver.Get", asked(p, p.get))
	mux.HandleFunc("POST /VolumeDriver.Path", asked(p, func(_ context.Context, r *plugin.PathRequest) (*plugin.PathResponse, error) {
		return p.path(r)
	}))
	mux.HandleFunc("POST /VolumeDriver.Create", told(p, p.create))
	mux.HandleFunc("POST /VolumeDriver.Remove", told(p, p.remove))
	mux.HandleFunc("POST /VolumeDriver.Mount", changed(p, p.mount))
	mux.HandleFunc("POST /VolumeDriver.Unmount", told(p, p.unmount))
	return mux
}

// errNameless says that a call came whole and names no volume.
var errNameless error = &volume.Error{
	Kind: volume.ErrInvalidRequest, What: "no such volume: the call names none, or not for whom", Fix: "name a volume",
}

// asked is a call whose answer the engine takes for a fact: one that broke on its
// way gets none. One that asks for the volume without a name is told that there is
// none: an engine that was refused something asks so at its next start, and would
// ask again for 15 s.
func asked[Request, Response any](p *Plugin, do func(context.Context, *Request) (Response, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request Request
		err := decode(w, r, &request)
		if err != nil && !errors.Is(err, errNameless) {
			hangUp()
		}
		if err != nil {
			p.encode(w, r, nil, err)
			return
		}
		response, err := do(r.Context(), &request)
		p.log.Debug("engine called", slog.String("call", r.URL.Path), slog.Any("request", request), slog.Any("error", err))
		p.encode(w, r, response, err)
	}
}

// changed is a call that changes something and has an answer.
func changed[Request, Response any](p *Plugin, do func(context.Context, *Request) (Response, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request Request
		err := decode(w, r, &request)
		if err != nil {
			p.encode(w, r, nil, err)
			return
		}
		response, err := do(r.Context(), &request)
		p.log.Debug("engine called", slog.String("call", r.URL.Path), slog.Any("request", request), slog.Any("error", err))
		p.encode(w, r, response, err)
	}
}

// told is a call that changes something and has no answer.
func told[Request any](p *Plugin, do func(context.Context, *Request) error) http.HandlerFunc {
	return changed(p, func(ctx context.Context, r *Request) (struct{}, error) { return struct{}{}, do(ctx, r) })
}

// decode reads a call. The engine repeats one whose connection broke with an empty
// body.
func decode(w http.ResponseWriter, r *http.Request, request any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(body)).Decode(request)
	}
	if err != nil {
		return invalid("the call cannot be read: %v", err)
	}
	name, id := "", "-"
	switch r := request.(type) {
	case *plugin.CreateRequest:
		name = r.Name
	case *plugin.RemoveRequest:
		name = r.Name
	case *plugin.GetRequest:
		name = r.Name
	case *plugin.PathRequest:
		name = r.Name
	case *plugin.MountRequest:
		name, id = r.Name, r.ID
	case *plugin.UnmountRequest:
		name, id = r.Name, r.ID
	}
	if name == "" || id == "" {
		return errNameless
	}
	return nil
}

func invalid(format string, values ...any) error {
	return &volume.Error{
		Kind: volume.ErrInvalidRequest,
		What: fmt.Sprintf(format, values...),
		Fix:  "try again: a container engine sends this when a connection broke before",
	}
}

// encode answers with the text that the commands and the API have for an error.
func (p *Plugin) encode(w http.ResponseWriter, r *http.Request, response any, err error) {
	if err == nil {
		sdk.EncodeResponse(w, response, false)
		return
	}
	told := volume.Told(err)
	if errors.Is(told, volume.ErrInternal) {
		p.log.Error("call of the engine was not carried out", slog.String("call", r.URL.Path), slog.Any("error", err))
	}
	sdk.EncodeResponse(w, plugin.NewErrorResponse(told.Error()), true)
}
