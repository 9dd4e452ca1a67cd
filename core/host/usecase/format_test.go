package usecase

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
)

// disk is a Filesystem that carries what a test says and notes what is done.
type disk struct {
	Filesystem
	carries  string
	eraseErr error
	done     []string
}

func (d *disk) Probe(string) (string, error) { return d.carries, nil }

func (d *disk) Make(_ context.Context, _, kind string) error {
	d.done = append(d.done, "make "+kind)
	return nil
}

func (d *disk) Erase(context.Context, string) error {
	d.done = append(d.done, "erase")
	return d.eraseErr
}

func TestFileSystemIsMadeOnlyWhereThereIsNone(t *testing.T) {
	for _, c := range []struct {
		name, carries string
		eraseErr      error
		want          []string
		err           error
	}{
		{name: "blank", carries: "", want: []string{"make ext4"}},
		{name: "made, but not yet recorded", carries: "ext4"},
		{name: "interrupted", carries: "unknown data", want: []string{"erase", "make ext4"}},
		{name: "another complete one", carries: "xfs", eraseErr: errors.New("it carries xfs"), want: []string{"erase"}, err: volume.ErrForeignData},
	} {
		d := &disk{carries: c.carries, eraseErr: c.eraseErr}
		n := New(Params{Filesystem: d, Log: slog.New(slog.DiscardHandler)})
		err := n.format(t.Context(), &volume.Spec{Name: "db", Filesystem: "ext4"}, "/dev/x")
		if !errors.Is(err, c.err) || !slices.Equal(d.done, c.want) {
			t.Errorf("%s: did %v, %v; want %v, %v", c.name, d.done, err, c.want, c.err)
		}
	}
}

func TestRangesOutsideAVolumeAreRefused(t *testing.T) {
	const size = 1 << 20
	for _, c := range []struct{ offset, length int64 }{
		{-4096, 4096}, {0, -4096}, {0, size + 4096}, {size, 4096}, {1, 4096}, {0, 1}, {1 << 62, 1 << 62},
	} {
		if err := checkRange("db", size, c.offset, c.length); !errors.Is(err, volume.ErrInvalidRange) {
			t.Errorf("%d bytes at %d of %d: %v", c.length, c.offset, size, err)
		}
	}
	for _, c := range []struct{ offset, length int64 }{{0, size}, {size, 0}, {size - 4096, 4096}} {
		if err := checkRange("db", size, c.offset, c.length); err != nil {
			t.Errorf("%d bytes at %d of %d: %v", c.length, c.offset, size, err)
		}
	}
}
