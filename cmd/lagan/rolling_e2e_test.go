package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// TestE2EEveryNodeIsStartedAgainUnderAWriter stops and starts the nodes that hold the
// copies and vote, one after the other and each as soon as a person is told that it may
// be: whoever writes to the volume and reads back what it wrote sees no error.
func TestE2EEveryNodeIsStartedAgainUnderAWriter(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "fio", "fio")
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newCluster(t, "512MiB", "a", "b", "c", "user")
	user := c.Node("user")
	user.SetDisks()
	up(t, c)
	create(t, user, "files", map[string]string{"size": "128MiB", "replicas": "3"})
	at := filepath.Join(user.Dir(), "mnt")
	attach(t, user, "files", api.Attach{Mount: at})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- verify(ctx, "--directory="+at) }()
	for _, name := range []string{"a", "b", "c"} {
		until(t, c, "node "+name+" may be started again", func() (bool, error) {
			_, err := user.Lagan(t.Context(), nil, "node", "can-reboot", name)
			return err == nil, err
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		n := c.Node(name)
		if err := errors.Join(n.Stop(ctx), n.Start(ctx), n.AwaitReady(ctx)); err != nil {
			t.Error(err)
		}
		cancel()
	}
	calm, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := awaitInSync(calm, c, user, "files"); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
