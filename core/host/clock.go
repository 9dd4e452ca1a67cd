package host

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/step"
)

// newStopwatch returns a clock for short spans that costs a tenth of Boottime:
// it is read twice for every operation of a volume.
func newStopwatch() func() time.Duration {
	start := time.Now() //nolint:forbidigo // the body is where real time comes from
	return func() time.Duration {
		return time.Since(start) //nolint:forbidigo // the same
	}
}

// Boottime reads CLOCK_BOOTTIME, which goes on while the machine sleeps: a
// grant given before a suspend has run out after it.
func Boottime() step.Time {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("host: CLOCK_BOOTTIME cannot be read: " + err.Error()) // since Linux 2.6.39 it can
	}
	return step.Time(t.Nano())
}
