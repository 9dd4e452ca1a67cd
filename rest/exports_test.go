package rest_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

func (n *node) Export(_ context.Context, name string, o volume.ExportOptions) (volume.ExportReport, error) {
	n.name, n.exported = name, o
	return volume.ExportReport{Name: name + "@" + o.Snapshot, Snapshot: o.Snapshot, URIs: []string{"nbd:"}, Clients: 3}, n.err
}

func (n *node) Unexport(_ context.Context, name string, o volume.UnexportOptions) error {
	n.name, n.ended = name, o
	return n.err
}

func TestExportsAreAskedForAndEnded(t *testing.T) {
	n := &node{}
	c, ctx := serve(t, n), t.Context()
	wantExport := api.Export{Name: "db@monday", Snapshot: "monday", ReadOnly: true, Uris: []string{"nbd:"}, Clients: 3}
	if e, err := c.Export(ctx, "db", "monday", true); err != nil || !reflect.DeepEqual(e, wantExport) || n.exported != (volume.ExportOptions{Snapshot: "monday", Force: true}) {
		t.Errorf("export: %+v, %v; asked for %+v", e, err, n.exported)
	}
	if err := c.Unexport(ctx, "db", "", true); err != nil || n.ended != (volume.UnexportOptions{Force: true}) {
		t.Errorf("unexport: %v; asked for %+v", err, n.ended)
	}
}
