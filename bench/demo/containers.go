package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lagan-storage/lagan/bench/cluster"
)

const (
	// containerName is what the container that uses the volume is called.
	containerName = "demo-writer"
	// contentAt and treeAt are where a container has the volume and the tree.
	contentAt, treeAt = "/data", "/tree"
	// appendScript writes one file after the other, and says so of each when it is
	// durable: what it has said is promised.
	appendScript = `cd /data
i=0
while dd if=/dev/urandom of=more-$i bs=256k count=1 2> /dev/null && sync more-$i . && sha256sum more-$i; do i=$((i + 1)); done`
)

// containers has a container on the node's own engine write files, as a database
// would be one. Checksums of what was synced are kept here, outside the volume.
type containers struct {
	d      *demo
	node   *cluster.Node
	sums   []string // of what was synced, as sha256sum writes them
	bytes  int64
	writer *exec.Cmd // writes file after file; nil: none was started
	said   *bufio.Reader
}

// Create makes the volume. It may be taken from a node that does not answer
// without waiting until the cluster is sure of its death: who runs the container
// elsewhere knows that the first one is gone.
func (c *containers) Create(ctx context.Context, n *cluster.Node) error {
	_, err := n.Machine().Docker(ctx, nil, "volume", "create", "--driver", "lagan",
		"--opt", "size="+volumeSize, "--opt", "replicas=2", "--opt", "preempt=true", volumeName)
	return err
}

// Open runs the container, asking again while the node is refused the volume: for
// as long as it lingers on another, or the cluster chooses who speaks for it.
func (c *containers) Open(ctx context.Context, n *cluster.Node, _ bool) error {
	c.node = n
	bounded, cancel := context.WithTimeout(ctx, openMax)
	defer cancel()
	return c.d.cluster.Until(bounded, "a container on node "+n.Name+" has the volume", func() (bool, error) {
		_, err := n.Machine().Docker(bounded, nil, "run", "--detach", "--rm", "--name", containerName, "--network", "none",
			"--volume-driver", "lagan", "--volume", volumeName+":"+contentAt, "--volume", c.d.p.Tree+":"+treeAt+":ro",
			cluster.Image, "sleep", "infinity")
		return err == nil, err
	})
}

// Close ends the container.
func (c *containers) Close(ctx context.Context) error {
	_, err := c.node.Machine().Docker(ctx, nil, "rm", "--force", containerName)
	return err
}

// Remove deletes the volume.
func (c *containers) Remove(ctx context.Context) error {
	_, err := c.node.Machine().Docker(ctx, nil, "volume", "rm", volumeName)
	return err
}

// inside runs a command in the container.
func (c *containers) inside(ctx context.Context, in io.Reader, script string) (string, error) {
	return c.node.Machine().Docker(ctx, in, "exec", "--interactive", containerName, "sh", "-c", script)
}

// Fill copies the tree to the volume.
func (c *containers) Fill(ctx context.Context) (string, error) {
	if err := c.checksums(); err != nil {
		return "", err
	}
	files, began := len(c.sums), c.d.p.Now()
	if _, err := c.inside(ctx, nil, "cp -r /tree /data/tree && sync -f /data"); err != nil {
		return "", err
	}
	return fmt.Sprintf("the container copied %d files, %d MiB, and synced them in %.1f s",
		files, c.bytes>>20, c.d.p.Now().Sub(began).Seconds()), nil
}

// checksums reads the tree itself.
func (c *containers) checksums() error {
	return filepath.WalkDir(c.d.p.Tree, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.d.p.Tree, path)
		if err != nil {
			return err
		}
		c.bytes += int64(len(data))
		c.sums = append(c.sums, fmt.Sprintf("%x  %s", sha256.Sum256(data), filepath.Join("tree", name)))
		return nil
	})
}

// Append waits for the writer's next file.
func (c *containers) Append(ctx context.Context, _ int) error {
	if c.writer == nil {
		c.writer = c.node.Machine().DockerCommand(ctx, "exec", containerName, "sh", "-c", appendScript)
		out, err := c.writer.StdoutPipe()
		if err != nil {
			return err
		}
		c.writer.Stderr = &bytes.Buffer{}
		if err := c.writer.Start(); err != nil {
			return err
		}
		c.said = bufio.NewReader(out)
	}
	line, err := c.said.ReadString('\n')
	if err == nil {
		c.sums = append(c.sums, strings.TrimSuffix(line, "\n"))
		return nil
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return fmt.Errorf("docker exec ended: %w %s", c.writer.Wait(), strings.TrimSpace(fmt.Sprint(c.writer.Stderr)))
}

// Glance reads one file.
func (c *containers) Glance(ctx context.Context) error {
	return c.verify(ctx, c.sums[len(c.sums)/2:][:1])
}

// verify has the container compare files with their checksums.
func (c *containers) verify(ctx context.Context, sums []string) error {
	out, err := c.inside(ctx, strings.NewReader(strings.Join(sums, "\n")+"\n"), "cd /data && sha256sum -c -")
	held := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if name, failed := strings.CutSuffix(line, ": FAILED"); failed {
			return fmt.Errorf("%s: it was synced, but it is gone or its content is another now", name)
		}
		if strings.HasSuffix(line, ": OK") {
			held++
		}
	}
	if err == nil && held != len(sums) {
		err = fmt.Errorf("the container read %d files of %d", held, len(sums))
	}
	return err
}

// Verify reads every file that was synced.
func (c *containers) Verify(ctx context.Context) (string, error) {
	began := c.d.p.Now()
	if err := c.verify(ctx, c.sums); err != nil {
		return "", err
	}
	return fmt.Sprintf("a container verified all %d files that had been synced, in %.1f s",
		len(c.sums), c.d.p.Now().Sub(began).Seconds()), nil
}
