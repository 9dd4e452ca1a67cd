package host

import (
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

func TestDiskIsUnwellWithErrorsAndForAWhileAfterItHung(t *testing.T) {
	p, d := patient{}, OwnDisk{Path: "/dev/x"}
	if text := p.diagnose(&d, time.Second); text != "" {
		t.Errorf("a disk that works: %q", text)
	}
	d.Work.Waiting = stalledAfter - 1
	if text := p.diagnose(&d, 2*time.Second); text != "" {
		t.Errorf("a disk that is slow: %q", text)
	}
	d.Work.Waiting = stalledAfter
	hung := p.diagnose(&d, 10*time.Second)
	if hung != "/dev/x did not answer for 5s or longer" {
		t.Errorf("a disk that hangs: %q", hung)
	}
	d.Work.Waiting = 0
	if text := p.diagnose(&d, 10*time.Second+wellAfter-1); text != hung {
		t.Errorf("shortly after it hung: %q", text)
	}
	if text := p.diagnose(&d, 10*time.Second+wellAfter); text != "" {
		t.Errorf("long after it hung: %q", text)
	}
	d.Work.Reads, d.Work.Syncs = volume.Operations{Errors: 1}, volume.Operations{Errors: 7}
	if text := p.diagnose(&d, time.Hour); !strings.Contains(text, "returned errors for reads and syncs") {
		t.Errorf("a disk with errors: %q", text)
	}
	d.Work.Writes.Errors++
	if text := p.diagnose(&d, time.Hour); !strings.Contains(text, "reads, writes and syncs") {
		t.Errorf("a disk with errors of all kinds: %q", text)
	}
}
