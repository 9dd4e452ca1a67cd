package filesystem

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/lagan-storage/lagan/plugin/program"
)

// thawScript freezes a mounted file system, says so, and thaws it when its input
// ends or the time is over. The kernel itself thaws nothing: a file system stays
// frozen when the process that froze it dies. So this is a process of its own,
// which nothing but a SIGKILL of it keeps from thawing, and whose input ends with
// the daemon. It keeps the directory open: what is thawed is what was frozen, also
// if that was unmounted by force meanwhile.
const thawScript = `trap '' HUP INT TERM PIPE
exec 9<"$1" || exit 1
fsfreeze --freeze /proc/self/fd/9 || exit 1
echo frozen
timeout "$2" cat >/dev/null
fsfreeze --unfreeze /proc/self/fd/9`

// Freeze writes out everything of the file system mounted at target and has its
// writers wait until thaw is called, until most has passed, or until this process
// has ended, however that is. If ctx ends first, it is thawed as soon as it was
// frozen.
func Freeze(ctx context.Context, target string, most time.Duration) (thaw func() error, err error) {
	seconds := strconv.FormatFloat(most.Seconds(), 'f', 3, 64)
	thaw, err = program.Hold(ctx, "sh", "-c", thawScript, "sh", target, seconds)
	if err != nil {
		return nil, fmt.Errorf("freeze the file system at %s: %w", target, err)
	}
	return thaw, nil
}
