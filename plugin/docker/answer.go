package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	plugin "github.com/docker/go-plugins-helpers/volume"

	"github.com/lagan-storage/lagan/core/volume"
)

// lookWithin bounds the wait for the cluster's word on a volume. The engine gives
// up after 60 s, and takes that for no volume.
const lookWithin = 10 * time.Second

// get says what a volume is. Only what the cluster itself says is absent is.
func (p *Plugin) get(ctx context.Context, r *plugin.GetRequest) (*plugin.GetResponse, error) {
	spec, err := volume.ParseNamed(r.Name, nil)
	if err != nil {
		return nil, err // no volume can have that name
	}
	report, err := p.look(ctx, spec.Name)
	if err != nil {
		return nil, err
	}
	return &plugin.GetResponse{Volume: p.describe(&report, r.Name)}, nil
}

// look returns a volume as it is or, while the cluster does not answer, as it
// was; it ends the request if neither is known.
func (p *Plugin) look(ctx context.Context, name string) (volume.Report, error) {
	asking, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	report, err := p.p.Volumes.Volume(asking, name)
	was, knew := p.catalogue.find(name)
	switch {
	case err == nil && report.Health == volume.Unreadable:
		if report.Spec.Name = name; knew {
			report.Spec = was.Spec
		}
		return report, nil
	case err == nil && report.Spec.Name == name && report.Health != volume.Deleting:
		p.keep(p.catalogue.put(report))
		return report, nil
	case err == nil: // it is named by its identity, or on its way out
		return volume.Report{}, absent(name)
	case errors.Is(err, volume.ErrVolumeNotFound), errors.Is(err, volume.ErrVolumeDeleted):
		p.keep(p.catalogue.remove(name))
		return volume.Report{}, absent(name)
	case !knew:
		hangUp()
	}
	return was, nil
}

// hangUp ends the request without an answer: the engine asks again, while every
// answer but one would mean to it that there is no such volume.
func hangUp() { panic(http.ErrAbortHandler) }

func absent(name string) error {
	return &volume.Error{
		Kind: volume.ErrVolumeNotFound,
		What: fmt.Sprintf("no such volume: there is no volume %q", name),
		Fix:  "look at:  lagan volume ls",
	}
}

// list says what volumes there are. How each is doing is for Get to say: the
// engine shows nothing of it in a list, and asks for lists often.
func (p *Plugin) list(ctx context.Context) *plugin.ListResponse {
	_ = p.refresh(ctx) // or what was known before
	reports, known := p.catalogue.all()
	if !known {
		hangUp()
	}
	response := &plugin.ListResponse{Volumes: []*plugin.Volume{}}
	for i := range reports {
		spec := &reports[i].Spec
		response.Volumes = append(response.Volumes, &plugin.Volume{
			Name: spec.Name, Mountpoint: p.mountedAt(spec.Name), CreatedAt: createdAt(spec.Created),
		})
	}
	return response
}

// path says where a volume is mounted, "" if it is not.
func (p *Plugin) path(r *plugin.PathRequest) (*plugin.PathResponse, error) {
	spec, err := volume.ParseNamed(r.Name, nil)
	if err != nil {
		return nil, err
	}
	return &plugin.PathResponse{Mountpoint: p.mountedAt(spec.Name)}, nil
}

// describe returns a volume as the engine shows it, under the name that the
// engine knows it by.
func (p *Plugin) describe(r *volume.Report, name string) *plugin.Volume {
	return &plugin.Volume{
		Name: name, Mountpoint: p.mountedAt(r.Spec.Name), CreatedAt: createdAt(r.Spec.Created), Status: statusOf(r),
	}
}

// createdAt returns a time that the engine can read: one that it cannot makes
// it drop the whole list.
func createdAt(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at = time.Unix(0, 0)
	}
	return at.UTC().Format(time.RFC3339)
}

// statusOf returns what docker volume inspect shows: what was asked for, as the
// options say it, and what is. An option that the engine dropped, as it does
// when the volume exists, is seen here to differ.
func statusOf(r *volume.Report) map[string]any {
	spec := map[string]string{}
	for _, option := range strings.Split(r.Spec.String(), ",") {
		if key, value, found := strings.Cut(option, "="); found && key != "name" {
			spec[key] = value
		}
	}
	replicas := []map[string]string{}
	for _, c := range r.Copies {
		replicas = append(replicas, map[string]string{"node": c.Node, "state": string(c.State)})
	}
	health := string(r.Health)
	if health == "" {
		health = "unknown"
	}
	status := map[string]any{"health": health, "spec": spec, "replicas": replicas, "node": r.Attached, "id": r.ID.String()}
	users := []string{}
	for i := range r.Users {
		users = append(users, r.Users[i].String())
	}
	slices.Sort(users)
	if len(users) > 0 {
		status["users"] = slices.Compact(users)
	}
	if r.Lingers {
		status["lingers"] = true
	}
	if r.Reason != "" {
		status["reason"] = r.Reason
	}
	if r.Epoch != 0 {
		status["epoch"] = uint64(r.Epoch)
	}
	return status
}
