package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/load"
)

// printf writes to the report. Whoever reads it sees that it is cut.
func (s *suite) printf(format string, values ...any) {
	_, _ = fmt.Fprintf(s.Report, format, values...)
}

// printMachine says where the figures come from.
func (s *suite) printMachine() {
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	var fs unix.Statfs_t
	free := int64(0)
	if unix.Statfs(s.Out, &fs) == nil {
		free = int64(fs.Bavail) * fs.Bsize >> 30
	}
	s.printf("machine: %d cores, GOMAXPROCS %d, %s, Linux %s; disks below %s (%d GiB free); load before: %s\n",
		runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), kernel, s.Out, free, loadAverage())
	s.printf("figures: medians of %d runs of %v in turn (A B A B …), after %v of warm-up each\n", s.scale.rounds, s.scale.span, s.scale.warmUp)
	if s.scale.settle > 0 {
		s.printf("each round begins when the engine is idle, at the latest after %v: the references come first\n", s.scale.settle)
	}
	s.printf("engine: client, %d nodes and etcd in this one process; CPU is of all of them. Copies are on the serving node\n", nodes)
	s.printf("and others, or all on others (remote); plain and tls say how nodes talk. Volumes were written from end to end.\n")
	if s.Short {
		s.printf("SHORT: small volumes and short runs, to see that it works: no figures to quote\n")
	}
}

// loadAverage returns what else runs on this machine, as the kernel counts it.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(data), " ")
	return first
}

// printContest prints the medians of a contest.
func (s *suite) printContest(c *contest, rounds int, span time.Duration) {
	s.printf("\n%s (%d × %v; load %s; %s)\n", c.name, rounds, span, loadAverage(), c.conditions)
	t := tabwriter.NewWriter(s.Report, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\tIOPS\tMB/s\tp50 µs\tp99 µs\tp99.9 µs\tCPU µs/op\tallocs/op\t"+relativeTo(c)+"\t")
	for _, one := range c.contenders {
		bench := c.name + "/" + one.name
		f, ok := s.results.figures[bench]
		if !ok {
			continue
		}
		cells := []string{one.name}
		for _, m := range []load.Metric{load.IOPS, load.MBps, load.P50, load.P99, load.P999, load.CPU, load.Allocs} {
			cells = append(cells, cell(f, m))
		}
		ratio := ""
		if reference := s.results.figures[c.name+"/"+c.against][load.P50]; reference > 0 && one.name != c.against {
			ratio = fmt.Sprintf("%.2f", f[load.P50]/reference)
		}
		_, _ = fmt.Fprintln(t, strings.Join(append(cells, ratio), "\t")+"\t")
	}
	_ = t.Flush() // whoever reads the report sees that it is cut
}

func relativeTo(c *contest) string {
	if c.against == "" {
		return ""
	}
	return "p50 × " + c.against
}

func cell(f load.Figures, m load.Metric) string {
	v, ok := f[m]
	switch {
	case !ok:
		return ""
	case m == load.Allocs && v < 0.05:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// printVerdict prints every row that has a bar.
func (s *suite) printVerdict(rows []Row) {
	s.printf("\nbars (bars.json)\n")
	t := tabwriter.NewWriter(s.Report, 0, 0, 2, ' ', 0)
	for i := range rows {
		r := &rows[i]
		if r.Holds == nil {
			continue
		}
		verdict, value := "holds", fmt.Sprintf("%g %s", r.Value, r.Unit)
		if !*r.Holds {
			verdict = "DOES NOT HOLD"
		}
		if r.Reason != "" {
			value = r.Reason
		} else if r.Ratio > 0 {
			value += fmt.Sprintf(" = %.2f × %s (%g)", r.Ratio, r.Against, r.Reference)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\n", verdict, r.Bench, r.Metric, r.Bar, value)
	}
	_ = t.Flush() // as above
}
