package lagan_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// deterministic reports whether a folder belongs to the part of core that a
// simulator replays from a seed.
func deterministic(folder string) bool {
	return matches("core/...", folder) && !matches("core/host/...", folder)
}

// coreMayImport lists what of the world core may know: arithmetic on values.
// No clock, lock, file, socket, logger or randomness. hash/maphash and reflect
// are missing on purpose: their results differ between runs.
func coreMayImport(folder, target string) bool {
	if target == "sync/atomic" {
		return folder == "core/block" // buffers cross shards, by count of references
	}
	return slices.Contains([]string{
		"bufio", "bytes", "cmp", "container/heap", "container/list", "embed",
		"encoding", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json",
		"errors", "fmt", "hash", "hash/crc32", "hash/crc64", "hash/fnv", "io", "iter", "maps",
		"math", "math/big", "math/bits", "regexp", "slices", "sort", "strconv", "strings",
		"text/tabwriter", "time", "unicode", "unicode/utf8", "unsafe", "github.com/zeebo/xxh3",
	}, target)
}

// determinism finds what would let a run of core differ from its replay.
func determinism(t *testing.T, h *house) (all []finding) {
	for _, s := range h.files {
		if deterministic(s.folder) && !s.test {
			all = append(all, h.foreignImports(s)...)
			all = append(all, h.concurrency(s)...)
		}
	}
	// What is built only for the mutants is core all the same.
	for _, tags := range []string{"", "mutants"} {
		for _, f := range h.typed(t, tags) {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

func (h *house) foreignImports(s source) (all []finding) {
	imports(s.syntax, func(spec *ast.ImportSpec, target string) {
		if !strings.HasPrefix(target, h.module+"/") && !coreMayImport(s.folder, target) {
			all = append(all, h.at(spec, "core may not import %s: it is a pure machine (see coreMayImport)", target))
		}
	})
	return all
}

// concurrency finds by syntax alone, so in files behind any build tag.
func (h *house) concurrency(s source) (all []finding) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			all = append(all, h.at(n, "go statement in core"))
		case *ast.SelectStmt:
			all = append(all, h.at(n, "select in core"))
		case *ast.ChanType:
			all = append(all, h.at(n, "channel in core"))
		case *ast.SendStmt:
			all = append(all, h.at(n, "send on a channel in core"))
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				all = append(all, h.at(n, "receive from a channel in core"))
			}
		}
		return true
	})
	return all
}

// listed is what the go command tells about a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
	Error                   *struct{ Err string }
}

// typed finds what only types show: ranges over maps and uses of the clock.
func (h *house) typed(t *testing.T, tags string) (all []finding) {
	t.Helper()
	packages := h.list(t, tags)
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	imported := importer.ForCompiler(h.fset, "gc", func(target string) (io.ReadCloser, error) {
		return os.Open(exports[target])
	})
	for _, p := range packages {
		if p.DepOnly {
			continue
		}
		if p.Error != nil {
			t.Fatal(p.Error.Err)
		}
		all = append(all, h.judge(t, p, imported)...)
	}
	return all
}

func (h *house) list(t *testing.T, tags string) (all []listed) {
	t.Helper()
	arguments := []string{"list", "-export", "-deps", "-tags=" + tags, "-json=ImportPath,Dir,Export,GoFiles,DepOnly,Error"}
	for _, s := range h.files {
		if pattern := "./" + s.folder; deterministic(s.folder) && !s.test && !slices.Contains(arguments, pattern) {
			arguments = append(arguments, pattern)
		}
	}
	list := exec.CommandContext(t.Context(), "go", arguments...)
	list.Dir = h.root
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s: %s", list, exit.Stderr)
		}
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func (h *house) judge(t *testing.T, p listed, imported types.Importer) (all []finding) {
	t.Helper()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(h.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imported}
	if _, err := config.Check(p.ImportPath, h.fset, files, info); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		all = append(all, h.judgeFile(f, info)...)
	}
	return all
}

func (h *house) judgeFile(f *ast.File, info *types.Info) (all []finding) {
	excused := h.excused(f)
	sorted := map[ast.Node]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		anyOrder := n != nil && excused[h.fset.Position(n.Pos()).Line]
		switch n := n.(type) {
		case *ast.RangeStmt:
			switch ranged := underlying(info.TypeOf(n.X)).(type) {
			case *types.Chan:
				all = append(all, h.at(n, "range over a channel in core"))
			case *types.Map:
				if !anyOrder {
					all = append(all, h.at(n, "range over a map in core, %s: sort first, or say on this line why not: // any order: …", ranged))
				}
			}
		case *ast.CallExpr:
			if called := function(info, n.Fun); len(n.Args) > 0 && slices.Contains(sorters(), called) {
				sorted[n.Args[0]] = true
			} else if slices.Contains(mapOrders(), called) && !sorted[n] && !anyOrder {
				all = append(all, h.at(n, "%s outside slices.Sorted in core: sort, or say on this line why not: // any order: …", called))
			}
		case *ast.Ident:
			if what := impure(info.Uses[n]); what != "" {
				all = append(all, h.at(n, "%s in core", what))
			}
		}
		return true
	})
	return all
}

// excused returns the lines that say why their order does not matter.
func (h *house) excused(f *ast.File) map[int]bool {
	reason := regexp.MustCompile(`^// any order: \pL`)
	lines := map[int]bool{}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if reason.MatchString(c.Text) {
				lines[h.fset.Position(c.Pos()).Line] = true
			}
		}
	}
	return lines
}

// underlying returns what a type is made of; of a type parameter such as
// M ~map[K]V, what it stands for.
func underlying(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	constraint, ok := t.Underlying().(*types.Interface)
	if !ok || constraint.NumEmbeddeds() != 1 {
		return t.Underlying()
	}
	if union, ok := constraint.EmbeddedType(0).(*types.Union); ok && union.Len() == 1 {
		return union.Term(0).Type().Underlying()
	}
	return constraint.EmbeddedType(0).Underlying()
}

func sorters() []string {
	return []string{"slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc"}
}

func mapOrders() []string {
	return []string{"maps.All", "maps.Keys", "maps.Values", "maps.DeleteFunc"}
}

// function returns package and name of what a call calls, as in "maps.Keys".
func function(info *types.Info, called ast.Expr) string {
	if index, ok := called.(*ast.IndexExpr); ok {
		called = index.X
	}
	selector, ok := called.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if f, ok := info.Uses[selector.Sel].(*types.Func); ok && f.Pkg() != nil {
		return f.Pkg().Path() + "." + f.Name()
	}
	return ""
}

// impure names what reads the clock or writes to the world without an import
// that would have told.
func impure(used types.Object) string {
	switch used := used.(type) {
	case *types.Builtin:
		if used.Name() == "print" || used.Name() == "println" {
			return used.Name()
		}
	case *types.Func:
		clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
		if used.Pkg() == nil || used.Signature().Recv() != nil {
			return ""
		}
		if used.Pkg().Path() == "time" && slices.Contains(clock, used.Name()) || used.Pkg().Path() == "fmt" && strings.HasPrefix(used.Name(), "Print") {
			return used.FullName()
		}
	}
	return ""
}
