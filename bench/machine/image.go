package machine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Import gives the engine an image of nothing but the static busybox of this
// computer, with its commands at their usual place. No registry is asked.
func (m *Machine) Import(ctx context.Context, image string) error {
	archive, err := busybox(ctx)
	if err != nil {
		return fmt.Errorf("make image %s: %w", image, err)
	}
	_, err = m.Docker(ctx, bytes.NewReader(archive), "import", "--change", `CMD ["sh"]`, "-", image)
	return err
}

// busybox returns the image's files as an archive.
func busybox(ctx context.Context) ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	commands, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", path, err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err = w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))})
	if err == nil {
		_, err = w.Write(program)
	}
	for _, command := range strings.Fields(string(commands)) {
		if command != "busybox" && err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + command, Linkname: "busybox", Mode: 0o777})
		}
	}
	return archive.Bytes(), errors.Join(err, w.Close())
}
