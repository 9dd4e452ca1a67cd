package lagan_test

import (
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	// byEveryone may be imported from everywhere: assertions and marks.
	byEveryone = "core/invariant"
	// byEveryTest may be imported from every test, and from nothing else: what
	// a test asks of the machine it runs on.
	byEveryTest = "plugin/require"
	// tableFile holds the one table of who may import whom.
	tableFile = "docs/architecture.md"
)

// row is a line of the layout table: a folder, everything below it, and the
// patterns of what it may import. A pattern that starts with "!" takes away.
type row struct {
	folder string
	may    []string
	tests  []string
}

// owner is a line of the table of modules with a single home.
type owner struct{ module, folder string }

// layers checks every import against the two tables of docs/architecture.md.
func layers(t *testing.T, h *house) (all []finding) {
	rows, owners := tables(t)
	for _, s := range h.files {
		own := rowOf(rows, s.folder)
		if own == nil && s.folder != "." {
			all = append(all, h.at(s.syntax.Name, "%s has no row in the layout table of %s", s.folder, tableFile))
			continue
		}
		imports(s.syntax, func(spec *ast.ImportSpec, target string) {
			if folder, ours := strings.CutPrefix(target, h.module+"/"); ours && own != nil {
				if !own.lets(folder, s.test) {
					all = append(all, h.at(spec, "%s may not import %s: see the layout table of %s", s.folder, folder, tableFile))
				}
			}
			for _, o := range owners {
				if matches(o.module, target) && !matches(o.folder+"/...", s.folder) {
					all = append(all, h.at(spec, "only %s may import %s", o.folder, target))
				}
			}
		})
	}
	return all
}

// lets reports whether code (or a test) of the row may import folder.
func (r *row) lets(folder string, test bool) bool {
	switch {
	case folder == byEveryTest:
		return test
	case folder == byEveryone, matches(r.folder+"/...", folder):
		return true
	case permits(r.may, folder):
		return true
	}
	return test && permits(r.tests, folder)
}

// permits reports whether one of the patterns takes folder in and none that
// starts with "!" takes it out.
func permits(patterns []string, folder string) bool {
	in := false
	for _, p := range patterns {
		if out, negative := strings.CutPrefix(p, "!"); negative {
			if matches(out, folder) {
				return false
			}
			continue
		}
		in = in || matches(p, folder)
	}
	return in
}

// rowOf returns the row with the longest folder at or above the given one.
func rowOf(rows []row, folder string) (best *row) {
	for i, r := range rows {
		if matches(r.folder+"/...", folder) && (best == nil || len(r.folder) > len(best.folder)) {
			best = &rows[i]
		}
	}
	return best
}

// tables reads the layout table (folder, owns, may import, its tests too) and
// the table of owners (module, only in). What counts in a cell is what stands
// in backquotes; the rest is prose.
func tables(t *testing.T) (rows []row, owners []owner) {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(tableFile))
	if err != nil {
		t.Fatal(err)
	}
	coded := regexp.MustCompile("`([^`]+)`")
	codes := func(cell string) (list []string) {
		for _, m := range coded.FindAllStringSubmatch(cell, -1) {
			list = append(list, m[1])
		}
		return list
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch first := codes(cells[0]); {
		case !strings.HasPrefix(line, "| `"):
		case len(cells) == 4 && len(first) == 1:
			rows = append(rows, row{folder: first[0], may: codes(cells[2]), tests: codes(cells[3])})
		case len(cells) == 2 && len(first) == 1 && len(codes(cells[1])) == 1:
			owners = append(owners, owner{module: first[0], folder: codes(cells[1])[0]})
		}
	}
	return rows, owners
}

// TestProgramContainsNoTests wants nothing in lagan that is for tests only, now that
// the simulation, most of whose neighbours are, is a part of it.
func TestProgramContainsNoTests(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags=nomsgpack", "./cmd/lagan")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "github.com/lagan-storage/lagan/sim") {
		t.Error("lagan does not contain sim: nothing was looked at")
	}
	for _, p := range packages {
		if p == "testing" || strings.HasPrefix(p, "testing/") {
			t.Errorf("lagan contains %s", p)
		}
	}
}

// TestTablesAreRead guards the reader above: a table that it no longer finds
// would forbid nothing.
func TestTablesAreRead(t *testing.T) {
	rows, owners := tables(t)
	for _, folder := range []string{"core/block", "core/host", "transport", "sim", "rest", "cmd/lagan"} {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.folder == folder }) {
			t.Errorf("no row for %s in %s", folder, tableFile)
		}
	}
	for _, module := range []string{"go.uber.org/fx/...", "go.etcd.io/..."} {
		if !slices.ContainsFunc(owners, func(o owner) bool { return o.module == module }) {
			t.Errorf("no owner of %s in %s", module, tableFile)
		}
	}
	if node := rowOf(rows, "core/node/inner"); node == nil || node.lets("core/host", false) || !node.lets("core/store/journal", false) {
		t.Error("core/node may import all of core but core/host")
	}
	if sim := rowOf(rows, "sim"); sim == nil || sim.lets("transport/etcd", false) || !sim.lets("transport/etcd", true) {
		t.Error("only the tests of sim may import transport/etcd")
	}
}
