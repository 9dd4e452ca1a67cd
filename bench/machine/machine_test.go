package machine

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/plugin/require"
)

func TestFoldersAreRemovedFromBelow(t *testing.T) {
	top := filepath.Join(t.TempDir(), "group")
	if err := os.MkdirAll(filepath.Join(top, "one", "two"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is gone is no error
		if err := removeFolders(top); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(top); !os.IsNotExist(err) {
			t.Errorf("after removal: %v", err)
		}
	}
}

func TestImageHasAShell(t *testing.T) {
	require.Program(t, "busybox", "busybox-static")
	archive, err := busybox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		links[header.Name] = header.Linkname
	}
	if _, there := links["bin/busybox"]; !there || links["bin/sh"] != "busybox" {
		t.Errorf("the image has %v", links)
	}
}
