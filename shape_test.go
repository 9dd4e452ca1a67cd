package lagan_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// undocumented finds packages whose comment does not say what they are.
func undocumented(_ *testing.T, h *house) (all []finding) {
	documented := map[string]bool{}
	first := map[string]source{}
	var folders []string
	for _, s := range h.files {
		if s.test {
			continue
		}
		if _, seen := first[s.folder]; !seen {
			first[s.folder] = s
			folders = append(folders, s.folder)
		}
		if name := s.syntax.Name.Name; name == "main" || strings.HasPrefix(s.syntax.Doc.Text(), "Package "+name+" ") {
			documented[s.folder] = documented[s.folder] || s.syntax.Doc.Text() != ""
		}
	}
	for _, folder := range folders {
		if name := first[folder].syntax.Name; !documented[folder] {
			all = append(all, h.at(name, "no package comment: say what %s owns, what it promises and who calls it", name.Name))
		}
	}
	return all
}

// badNames finds packages named after nothing.
func badNames(_ *testing.T, h *house) (all []finding) {
	empty := []string{"common", "helper", "helpers", "misc", "shared", "types", "util", "utils"}
	for _, s := range h.files {
		if name := s.syntax.Name; slices.Contains(empty, strings.TrimSuffix(name.Name, "_test")) {
			all = append(all, h.at(name, "a package is named after its subject, not %q", name.Name))
		}
	}
	return all
}

// tooLarge finds files and functions that are more than one subject. Written by
// a program is excused; so are functions of tests, whose tables are long.
func tooLarge(_ *testing.T, h *house) (all []finding) {
	for _, s := range h.files {
		if ast.IsGenerated(s.syntax) {
			continue
		}
		if lines := h.fset.File(s.syntax.Pos()).LineCount(); lines > h.limits.fileLinesMax {
			all = append(all, h.at(s.syntax.Name, "file of %d lines, at most %d: split it by subject", lines, h.limits.fileLinesMax))
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || s.test {
				continue
			}
			lines := h.fset.Position(f.Body.Rbrace).Line - h.fset.Position(f.Body.Lbrace).Line - 1
			if lines > h.limits.functionLinesMax {
				all = append(all, h.at(f, "%s has %d lines, at most %d", f.Name.Name, lines, h.limits.functionLinesMax))
			}
		}
	}
	return all
}
