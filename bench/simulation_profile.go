package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// cpuProfile is a CPU profile being taken; nil if another one is.
type cpuProfile struct{ file *os.File }

// startProfile takes a CPU profile, beside the rows.
func (s *suite) startProfile() (*cpuProfile, error) {
	f, err := os.Create(filepath.Join(s.Out, s.Now.UTC().Format("simulation-20060102-150405.pprof")))
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil { // of the whole suite, by -cpuprofile
		return nil, errors.Join(f.Close(), os.Remove(f.Name()))
	}
	return &cpuProfile{file: f}, nil
}

func (p *cpuProfile) stop() error {
	if p == nil {
		return nil
	}
	pprof.StopCPUProfile()
	return p.file.Close()
}

// printProfile ends a profile and says which packages the time goes to.
func (s *suite) printProfile(ctx context.Context, p *cpuProfile) error {
	if p == nil {
		return nil
	}
	if err := p.stop(); err != nil {
		return fmt.Errorf("CPU profile: %w", err)
	}
	traces, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", p.file.Name()).Output()
	if err != nil {
		s.printf("profile: %s; by package: not known: %v\n", p.file.Name(), err)
		return nil
	}
	s.printf("profile: %s; of the CPU time, by the package of the innermost function that is not Go's own:\n", p.file.Name())
	byPackage, total := sumTraces(traces)
	for _, one := range byPackage {
		if share := 100 * one.time.Seconds() / total.Seconds(); share >= 1 {
			s.printf("%5.1f %%  %s\n", share, one.name)
		}
	}
	return nil
}

// spent is what a package took.
type spent struct {
	name string
	time time.Duration
}

// sumTraces reads what go tool pprof -traces prints: blocks between dashed lines,
// a time and the innermost function on the first line, its callers below.
func sumTraces(traces []byte) (list []spent, total time.Duration) {
	sums := map[string]time.Duration{}
	var took time.Duration
	owner := ""
	end := func() {
		if took > 0 {
			sums[cmp.Or(owner, "collection of garbage, and scheduling")] += took
			total += took
		}
		took, owner = 0, ""
	}
	lines := bufio.NewScanner(bytes.NewReader(traces))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0:
			continue
		case strings.HasPrefix(words[0], "---"):
			end()
			continue
		}
		if d, err := time.ParseDuration(words[0]); err == nil && len(words) > 1 {
			took, words = d, words[1:]
		}
		if name, ours := packageOf(words[0]); ours && owner == "" {
			owner = name
		}
	}
	end()
	for name, d := range sums { // any order: sorted below
		list = append(list, spent{name, d})
	}
	slices.SortFunc(list, func(a, b spent) int { return cmp.Or(cmp.Compare(b.time, a.time), strings.Compare(a.name, b.name)) })
	return list, total
}

// packageOf returns the package of a function, and whether it is one of a module.
func packageOf(function string) (name string, ours bool) {
	folder, rest := "", function
	if slash := strings.LastIndexByte(function[:strings.IndexByte(function+"(", '(')], '/'); slash >= 0 {
		folder, rest = function[:slash+1], function[slash+1:]
	}
	name, _, _ = strings.Cut(rest, ".")
	root, _, _ := strings.Cut(folder, "/")
	return strings.TrimPrefix(folder+name, "github.com/lagan-storage/lagan/"), strings.Contains(root, ".")
}
