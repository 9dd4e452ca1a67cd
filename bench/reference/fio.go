package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/lagan-storage/lagan/bench/load"
)

// fioSlack is what a run of fio may take beside its warm-up and span.
const fioSlack = 30 * time.Second

// ErrNoFio says that fio is not installed.
var ErrNoFio = errors.New("fio is not installed: .ci/install fio:fio")

// FindFio returns where fio is.
func FindFio() (program string, err error) {
	if program, err = exec.LookPath("fio"); err != nil {
		return "", ErrNoFio
	}
	return program, nil
}

// Fio runs fio with a pattern on the first size bytes of a file.
func Fio(ctx context.Context, program, file string, size int64, p Pattern) (load.Figures, error) {
	engine := "libaio"
	if p.Depth == 1 {
		engine = "psync" // one system call an operation, as ours
	}
	return runFio(ctx, program, file, size, p, "--filename="+file, "--direct=1", "--ioengine="+engine)
}

// FioNBD runs fio with a pattern on the first size bytes of what an NBD server has.
func FioNBD(ctx context.Context, program, uri string, size int64, p Pattern) (load.Figures, error) {
	return runFio(ctx, program, uri, size, p, "--ioengine=nbd", "--uri="+uri) // in this order: the engine brings the option
}

func runFio(ctx context.Context, program, on string, size int64, p Pattern, how ...string) (load.Figures, error) {
	direction := "read"
	if p.Write {
		direction = "write"
	}
	mode := direction
	if p.Random {
		mode = "rand" + direction
	}
	arguments := append([]string{"--name=reference"}, how...)
	arguments = append(arguments, "--size="+strconv.FormatInt(size, 10), "--rw="+mode, fmt.Sprintf("--bs=%d", p.Length),
		fmt.Sprintf("--iodepth=%d", p.Depth), "--time_based", "--runtime="+micros(p.Span),
		"--ramp_time="+micros(p.WarmUp), "--norandommap", "--randrepeat=0",
		"--percentile_list=50:99:99.9", "--output-format=json",
	)
	if p.Sync {
		arguments = append(arguments, "--fdatasync=1")
	}
	ctx, cancel := context.WithTimeout(ctx, p.Span+p.WarmUp+fioSlack)
	defer cancel()
	var complaints bytes.Buffer
	command := exec.CommandContext(ctx, program, arguments...)
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("fio on %s: %w: %s", on, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return parseFio(output, direction, p.Sync)
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) + "us" }

// parseFio reads fio's JSON. With an fdatasync after each write the latency is
// the sum of both: fio reports them apart, so that of a percentile is a bound.
func parseFio(output []byte, direction string, synced bool) (load.Figures, error) {
	type latency struct {
		Percentile map[string]float64 `json:"percentile"` // ns
	}
	type result struct {
		IOPS      float64 `json:"iops"`
		KiBps     float64 `json:"bw"`
		IOs       float64 `json:"total_ios"`
		RuntimeMs float64 `json:"runtime"`
		Latency   latency `json:"clat_ns"`
	}
	var report struct {
		Jobs []struct {
			Read   result  `json:"read"`
			Write  result  `json:"write"`
			User   float64 `json:"usr_cpu"` // % of the runtime
			System float64 `json:"sys_cpu"`
			Sync   struct {
				Latency latency `json:"lat_ns"`
			} `json:"sync"`
		} `json:"jobs"`
	}
	output = output[max(0, bytes.IndexByte(output, '{')):] // some engines say before it that they are connected
	if err := json.Unmarshal(output, &report); err != nil {
		return nil, fmt.Errorf("read fio's report: %w", err)
	}
	if len(report.Jobs) != 1 {
		return nil, fmt.Errorf("read fio's report: %d jobs, want 1", len(report.Jobs))
	}
	job := report.Jobs[0]
	r := job.Read
	if direction == "write" {
		r = job.Write
	}
	percentile := func(key string) float64 {
		ns := r.Latency.Percentile[key]
		if synced {
			ns += job.Sync.Latency.Percentile[key]
		}
		return ns / 1e3
	}
	return load.Figures{
		load.IOPS: r.IOPS, load.MBps: r.KiBps * 1024 / 1e6,
		load.P50: percentile("50.000000"), load.P99: percentile("99.000000"), load.P999: percentile("99.900000"),
		load.CPU: (job.User + job.System) / 100 * r.RuntimeMs * 1e3 / max(r.IOs, 1),
	}, nil
}
