package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/bench/load"
)

const (
	idleVolumes = 10
	// idleSettle is how long the volumes are idle before memory is looked at.
	idleSettle = 5 * time.Second
)

var errNoProgram = errors.New("needs the program bin/lagan: make build")

// measureDaemons measures the memory of whole daemons, etcd in them, with volumes
// that nobody uses: the largest of three.
func (s *suite) measureDaemons(ctx context.Context) error {
	const bench = "idle-10-volumes/daemon"
	if s.unwanted("idle-10-volumes") {
		return nil
	}
	rss, err := s.idleRSS(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.skip(bench, err)
		return nil
	}
	s.printf("\n%s: %.0f MiB resident in the largest of three\n", bench, rss)
	s.results.add(bench, "", load.Figures{load.RSS: rss})
	return nil
}

func (s *suite) idleRSS(ctx context.Context) (most float64, err error) {
	binary, err := filepath.Abs(s.Program)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(binary); err != nil {
		return 0, errNoProgram
	}
	names := []string{"a", "b", "c"}
	dir, err := os.MkdirTemp(s.Out, "daemons-")
	if err != nil {
		return 0, err
	}
	c, err := cluster.New(ctx, cluster.Params{Binary: binary, Dir: dir, Nodes: names, Disk: "1GiB", Pause: pause})
	if err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, c.Close(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	if err := c.Up(ctx); err != nil {
		return 0, err
	}
	for i := range idleVolumes {
		if _, err := c.Node("a").Lagan(ctx, nil, "volume", "create", fmt.Sprintf("v%d", i), "--size", "16MiB", "--replicas", "2"); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, idleSettle); err != nil {
		return 0, err
	}
	for _, name := range names {
		rss, err := resident(c.Node(name).PID())
		if err != nil {
			return 0, err
		}
		most = max(most, rss)
	}
	return most, nil
}

// resident returns how much memory a process has, in MiB.
func resident(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-waiting.Done()
	return ctx.Err()
}
