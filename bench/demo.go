package bench

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/lagan-storage/lagan/bench/load"
)

// demoFile is where the demonstration leaves the figure that only it can give,
// below the folder of the rows: {"failover_s": 3.1}.
const demoFile = "demo.json"

// errNoDemo says how to get the demonstration's figures.
var errNoDemo = errors.New("measured by the demonstration: run make demo first, then this again")

// readDemo takes over what the last demonstration measured.
func (s *suite) readDemo() {
	if s.unwanted("demo") {
		return
	}
	data, err := os.ReadFile(filepath.Join(s.Out, demoFile))
	var figures struct {
		Failover float64 `json:"failover_s"`
	}
	if err == nil {
		err = json.Unmarshal(data, &figures)
	}
	if err != nil || figures.Failover <= 0 {
		s.skip("demo/failover", errNoDemo)
	} else {
		s.results.add("demo/failover", "", load.Figures{load.Time: figures.Failover})
	}
}
