package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/lagan-storage/lagan/core/volume"
)

// entry is a key of the file and what stands behind it.
type entry struct {
	key   string
	texts []string
	where string // FILE line N
}

// readFile returns what is in the file at path. One that must not be there may
// be missing.
func readFile(path string, must bool) ([]entry, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("%s is no YAML: %s", path, yaml.FormatError(err, false, true))
	}
	var entries []entry
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		pairs, is := doc.Body.(ast.MapNode)
		if !is {
			return nil, fmt.Errorf("%s line %d: want settings, as in  zone: east", path, doc.Body.GetToken().Position.Line)
		}
		for i := pairs.MapRange(); i.Next(); {
			e, err := readEntry(path, i.KeyValue())
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(entries, func(o entry) bool { return o.key == e.key }) {
				return nil, fmt.Errorf("%s: %s stands there twice", e.where, e.key)
			}
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func readEntry(path string, pair *ast.MappingValueNode) (entry, error) {
	e := entry{key: pair.Key.GetToken().Value, where: fmt.Sprintf("%s line %d", path, pair.Key.GetToken().Position.Line)}
	list, is := pair.Value.(*ast.SequenceNode)
	nodes := []ast.Node{pair.Value}
	if is {
		nodes = list.Values
	}
	for _, node := range nodes {
		scalar, is := node.(ast.ScalarNode)
		if !is || node.Type() == ast.NullType {
			return e, fmt.Errorf("%s: %s: want a value, or a list of values", e.where, e.key)
		}
		e.texts = append(e.texts, scalar.GetToken().Value) // as it is written: 1_000 is no number of ours
	}
	if i := slices.IndexFunc(table, func(s Setting) bool { return s.Name == e.key }); is && i >= 0 && !table[i].List {
		return e, fmt.Errorf("%s: %s: want one value, not a list", e.where, e.key)
	}
	return e, nil
}

// nearest says which setting a name that is none could mean.
func nearest(key string) string {
	var names []string
	for i := range table {
		names = append(names, table[i].Name)
	}
	if name := volume.Nearest(strings.ToLower(strings.ReplaceAll(key, "_", "-")), names); name != "" {
		return fmt.Sprintf("did you mean %s?", name)
	}
	return "see  lagan up --help"
}
