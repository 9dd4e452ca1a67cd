// Package lagan_test holds the rules of the house: which package may import
// which, what the deterministic core must not do, and the shape of files and
// functions. The rules run over this repository, where they must find nothing,
// and over testdata/badhouse, where they must find every line that says so.
package lagan_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// house is one source tree, parsed. Files behind a build tag are part of it:
// what is not built today must keep the rules too.
type house struct {
	root   string
	module string
	fset   *token.FileSet
	files  []source
	limits limits
}

// source is one Go file of a house.
type source struct {
	path   string // relative to the root, with slashes
	folder string // of the file, "." for the root
	test   bool
	syntax *ast.File
}

// limits are the largest sizes that the shape rules let pass, in lines.
type limits struct{ functionLinesMax, fileLinesMax int }

// finding is a broken rule and where.
type finding struct {
	file string
	line int
	what string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.what) }

// open parses the module at root.
func open(t *testing.T, root string, max limits) *house {
	t.Helper()
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{root: root, fset: token.NewFileSet(), limits: max}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(mod), "\n")
	h.module = strings.TrimSpace(strings.TrimPrefix(first, "module "))
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && outside(name, d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		return h.add(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.files) == 0 {
		t.Fatalf("no Go files below %s", root)
	}
	return h
}

// outside reports whether a folder is no part of the module, by the rules of
// the go command.
func outside(name, base string) bool {
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil || base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
}

func (h *house) add(name string) error {
	relative, err := filepath.Rel(h.root, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(h.fset, name, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	relative = filepath.ToSlash(relative)
	h.files = append(h.files, source{
		path:   relative,
		folder: path.Dir(relative),
		test:   strings.HasSuffix(relative, "_test.go"),
		syntax: syntax,
	})
	return nil
}

// at says what is wrong with a node of a file of the house.
func (h *house) at(n ast.Node, format string, values ...any) finding {
	position := h.fset.Position(n.Pos())
	file, err := filepath.Rel(h.root, position.Filename)
	if err != nil {
		file = position.Filename
	}
	return finding{file: filepath.ToSlash(file), line: position.Line, what: fmt.Sprintf(format, values...)}
}

// imports calls visit with every import of a file.
func imports(f *ast.File, visit func(spec *ast.ImportSpec, target string)) {
	for _, spec := range f.Imports {
		if target, err := strconv.Unquote(spec.Path.Value); err == nil {
			visit(spec, target)
		}
	}
}

// matches reports whether a folder or import path fits a pattern: exactly, or
// at and below what stands before "/...".
func matches(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	above, below := strings.CutSuffix(pattern, "/...")
	return name == above || below && strings.HasPrefix(name, above+"/")
}

// rules are the tests of this package, each a function from a house to what is
// wrong with it.
func rules() map[string]func(*testing.T, *house) []finding {
	return map[string]func(*testing.T, *house) []finding{
		"layers":      layers,
		"determinism": determinism,
		"documents":   undocumented,
		"names":       badNames,
		"sizes":       tooLarge,
	}
}

func TestHouseKeepsItsRules(t *testing.T) {
	h := open(t, ".", limits{functionLinesMax: 70, fileLinesMax: 600})
	for name, rule := range rules() {
		t.Run(name, func(t *testing.T) {
			for _, f := range rule(t, h) {
				t.Error(f)
			}
		})
	}
}

// TestRulesFlagBadCode runs the rules over a tree that breaks each of them. A
// line that must be flagged ends with: // want "part of the finding".
func TestRulesFlagBadCode(t *testing.T) {
	h := open(t, filepath.Join("testdata", "badhouse"), limits{functionLinesMax: 8, fileLinesMax: 80})
	var found []finding
	for _, rule := range rules() {
		found = append(found, rule(t, h)...)
	}
	for _, want := range wanted(h) {
		i := slices.IndexFunc(found, func(f finding) bool {
			return f.file == want.file && f.line == want.line && strings.Contains(f.what, want.what)
		})
		if i < 0 {
			t.Errorf("%s:%d: not flagged: %q", want.file, want.line, want.what)
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	for _, f := range found {
		t.Errorf("flagged, but nothing is wrong there: %s", f)
	}
}

func wanted(h *house) (all []finding) {
	quoted := regexp.MustCompile(`"([^"]+)"`)
	for _, s := range h.files {
		for _, group := range s.syntax.Comments {
			for _, c := range group.List {
				_, list, ok := strings.Cut(c.Text, "// want ")
				if !ok {
					continue
				}
				for _, m := range quoted.FindAllStringSubmatch(list, -1) {
					all = append(all, finding{file: s.path, line: h.fset.Position(c.Pos()).Line, what: m[1]})
				}
			}
		}
	}
	return all
}
